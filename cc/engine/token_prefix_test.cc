#include "cc/engine/token_prefix.h"

#include <gtest/gtest.h>

#include <vector>

#include "cc/engine/fake_engine.h"

namespace gemma {
namespace {

class TokenPrefixTest : public ::testing::Test {
 protected:
  // What is reused of `prompt` by a session that holds `held`.
  size_t Reused(const std::vector<int32_t>& held, const std::vector<int32_t>& prompt) {
    EXPECT_TRUE(session_->Rewind(0).ok());
    if (!held.empty()) {
      EXPECT_TRUE(session_->Prefill(held, {}).ok());
    }
    const absl::StatusOr<size_t> kept = KeepPrefix(*session_, held, prompt);
    EXPECT_TRUE(kept.ok()) << kept.status();
    EXPECT_EQ(session_->position(), static_cast<int64_t>(*kept));
    return *kept;
  }

  FakeEngine engine_{{}};
  std::unique_ptr<Session> session_ = *engine_.NewSession({});
};

TEST_F(TokenPrefixTest, KeepsWhatBothBeginWith) {
  EXPECT_EQ(Reused({5, 6, 7}, {5, 6, 8, 9}), 2u);
  EXPECT_EQ(Reused({5, 6, 7}, {5, 6, 7, 8}), 3u);
  EXPECT_EQ(Reused({5, 6, 7}, {9}), 0u);
  EXPECT_EQ(Reused({}, {1, 2}), 0u);
}

TEST_F(TokenPrefixTest, LeavesOneTokenToCompute) {
  EXPECT_EQ(Reused({5, 6, 7}, {5, 6, 7}), 2u);
  EXPECT_EQ(Reused({5, 6, 7}, {5, 6}), 1u);
  EXPECT_EQ(Reused({5}, {5}), 0u);
  EXPECT_EQ(Reused({5}, {}), 0u);
}

// A session whose window has overwritten what an earlier position needs.
class WindowedSession final : public Session {
 public:
  int64_t position() const override { return position_; }
  absl::StatusOr<int32_t> Prefill(std::span<const int32_t>, const SamplingParams&) override {
    return 0;
  }
  absl::StatusOr<int32_t> Decode(int32_t, const SamplingParams&) override { return 0; }
  absl::Status Append(std::span<const int32_t>, std::span<float>) override {
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<TokenScore>> Score(std::span<const int32_t>) override {
    return std::vector<TokenScore>();
  }
  absl::Status Rewind(int64_t position) override {
    if (position != 0) return absl::FailedPreconditionError("overwritten");
    position_ = 0;
    return absl::OkStatus();
  }

 private:
  int64_t position_ = 3;
};

TEST(WindowedTokenPrefixTest, StartsFromEmptyWhereTheWindowHasMovedOn) {
  WindowedSession session;
  const std::vector<int32_t> held = {5, 6, 7}, prompt = {5, 6, 8};
  EXPECT_EQ(*KeepPrefix(session, held, prompt), 0u);
  EXPECT_EQ(session.position(), 0);
}

}  // namespace
}  // namespace gemma
