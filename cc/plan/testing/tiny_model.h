// A small random decoder for tests: Gemma's structure (sliding and full layers, norms around
// attention and MLP, layer scalars, softcap) with every size free, so that tests can put them next
// to each border.
#ifndef CC_PLAN_TESTING_TINY_MODEL_H_
#define CC_PLAN_TESTING_TINY_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cc/kernels/operations.h"
#include "cc/kernels/weight_layout.h"
#include "cc/plan/plan.h"

namespace gemma {

struct TinyModelConfig {
  int layers = 3;
  // Layer i is full if (i + 1) % full_every == 0; its values come from its keys.
  int full_every = 3;
  int64_t hidden = 64;
  int64_t heads = 4;
  int64_t kv_heads = 2;
  int64_t head_dim = 16;
  int64_t mlp = 96;
  int64_t vocab = 128;
  int64_t window = 8;
  int64_t max_tokens = 16;  // of prefill and score
  int64_t max_context = 64;
  float softcap = 30;  // 0: none
  float attention_scale = 0.7f;
  WeightLayout layout = WeightLayout::kF32;  // of the matrices
  CacheType cache = CacheType::kF32;
  // Absent: what the caches' type means in a plan that states none.
  std::optional<ActivationPrecision> activations = {};
  // Sliding caches hold the whole context instead of as little as they may.
  bool flat_caches = false;
  uint32_t seed = 1;
};

struct TinyModel {
  explicit TinyModel(const TinyModelConfig& config);

  // A plan that CheckPlan accepts.
  Plan MakePlan(PlanMethod method) const;

  TinyModelConfig config;
  std::vector<PlanWeight> table;                       // of all plans
  std::map<std::string, std::vector<std::byte>> data;  // by data_key
};

}  // namespace gemma

#endif  // CC_PLAN_TESTING_TINY_MODEL_H_
