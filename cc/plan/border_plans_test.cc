// The C++ checker against the plans that both checkers refuse,
// and those that both accept (python/plan/testing/border_plans.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <span>
#include <string>

#include "absl/strings/escaping.h"
#include "cc/plan/plan_check.h"
#include "cc/plan/plan_read.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

absl::Status Check(const std::string& payload) {
  absl::StatusOr<Plan> plan = ReadPlan(std::as_bytes(std::span<const char>(payload)));
  return plan.ok() ? CheckPlan(*plan) : plan.status();
}

TEST(BorderPlansTest, BothCheckersJudgeAlike) {
  std::ifstream file(std::getenv("BORDER_PLANS"));
  int refused = 0, accepted = 0;
  for (std::string line; std::getline(file, line);) {
    const auto plan = nlohmann::json::parse(line);
    const std::string name = plan["name"];
    std::string payload;
    ASSERT_TRUE(absl::HexStringToBytes(plan["plan"].get<std::string>(), &payload)) << name;
    const absl::Status status = Check(payload);
    EXPECT_EQ(status.ok(), plan["accepted"].get<bool>())
        << "export's checker says \"" << name << "\", this one \"" << status << "\"";
    (status.ok() ? accepted : refused) += 1;
  }
  std::printf("%d plans refused, %d accepted\n", refused, accepted);
  EXPECT_GT(refused, 60);
  EXPECT_GT(accepted, 15);
}

}  // namespace
}  // namespace gemma
