// What CallResults::logits promises, checked for any executor against another one.
#ifndef CC_EXECUTOR_TESTING_DRAWN_LOGITS_H_
#define CC_EXECUTOR_TESTING_DRAWN_LOGITS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <span>
#include <vector>

#include "cc/executor/model.h"
#include "gtest/gtest.h"

namespace gemma {

// Appends `tokens` greedily; `logits` gets those that the drawn token, which is returned, came from.
inline int64_t DrawWithLogits(const Model& model, PlanMethod method, SessionState& session,
                              std::span<const int64_t> tokens, std::vector<float>& logits) {
  int64_t token = -1;
  const Call call = {
      .tokens = tokens, .start = session.length(), .emit = true, .sampling = {}, .targets = {}};
  const absl::Status status = model.Run(method, session, call, {.token = &token, .logits = logits});
  EXPECT_TRUE(status.ok()) << status;
  return token;
}

// Prefills `prompt` and decodes a little on both models: the logits are the expected ones, the
// greedy token is the largest, and that of `suppressed` (of `model` alone) is the lowest float32.
inline void ExpectDrawsFromItsLogits(const Model& model, const Model& expected,
                                     std::span<const int64_t> prompt, size_t suppressed,
                                     float tolerance) {
  const auto vocab = static_cast<size_t>(model.FindPlan(PlanMethod::kDecode)->vocab_size);
  std::vector<float> logits(vocab), expected_logits(vocab);
  const auto session = *model.NewSession(), expected_session = *expected.NewSession();
  std::vector<int64_t> tokens(prompt.begin(), prompt.end());
  float largest = 0;
  for (int i = 0; i < 4; ++i) {
    const PlanMethod method = i == 0 ? PlanMethod::kPrefill : PlanMethod::kDecode;
    const int64_t token = DrawWithLogits(model, method, *session, tokens, logits);
    DrawWithLogits(expected, method, *expected_session, tokens, expected_logits);
    EXPECT_EQ(token, std::ranges::max_element(logits) - logits.begin());
    EXPECT_EQ(logits[suppressed], std::numeric_limits<float>::lowest());
    logits[suppressed] = expected_logits[suppressed];
    for (size_t id = 0; id < vocab; ++id)
      largest = std::max(largest, std::abs(logits[id] - expected_logits[id]));
    tokens = {token};
  }
  EXPECT_LT(largest, tolerance);
  std::printf("logits error %.2e, %.2f %% of the tolerance\n", static_cast<double>(largest),
              static_cast<double>(100 * largest / tolerance));
  std::vector<float> small(vocab - 1);
  int64_t token = -1;
  const Call call = {
      .tokens = tokens, .start = session->length(), .emit = true, .sampling = {}, .targets = {}};
  EXPECT_FALSE(
      model.Run(PlanMethod::kDecode, *session, call, {.token = &token, .logits = small}).ok());
}

}  // namespace gemma

#endif  // CC_EXECUTOR_TESTING_DRAWN_LOGITS_H_
