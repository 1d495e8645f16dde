#include "cc/runner/score_line.h"

#include <cmath>

#include "nlohmann/json.hpp"

namespace gemma {

std::string ScoreLine(size_t position, int32_t token, const TokenScore& score) {
  // JSON has no NaN; nlohmann writes null for it, and we say so ourselves.
  using FloatJson = nlohmann::basic_json<nlohmann::ordered_map, std::vector, std::string, bool, int64_t, uint64_t, float>;
  FloatJson line;
  line["position"] = position;
  line["token"] = token;
  line["next_logprob"] = std::isnan(score.next_logprob) ? FloatJson(nullptr) : FloatJson(score.next_logprob);
  line["top_ids"] = score.top_ids;
  line["top_logprobs"] = score.top_logprobs;
  return line.dump();
}

}  // namespace gemma
