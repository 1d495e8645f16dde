#include "cc/plan/testing/tiny_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/kernels/reference.h"

namespace gemma {
namespace {

using Bytes = std::vector<std::byte>;

// Scales that make a row's values about 1 / sqrt(columns),
// so that activations neither vanish nor explode.
void FillScales(const WeightView& view, std::mt19937& random, Bytes& bytes) {
  std::uniform_real_distribution<float> factor(0.5f, 1.5f);
  const float scale =
      1 / std::sqrt(static_cast<float>(view.shape.columns)) / TraitsOf(view.shape.layout).spread;
  const float middle = HasBitPlane(view.shape.layout) ? 16 : 8;
  for (const ScaleNumbers& numbers : ScaleNumbersOf(view.shape, view.planes)) {
    for (uint64_t i = 0; i < numbers.count; ++i) {
      const float value = (numbers.mins ? -middle : 1) * scale * factor(random);
      const uint16_t half = reference::FloatToHalf(value);
      std::byte* const to = &bytes[numbers.offset + i * numbers.stride];
      if (numbers.floats) std::memcpy(to, &value, 4);
      if (!numbers.floats) std::memcpy(to, &half, 2);
    }
  }
}

// Any bits would do for a quantized weight, but among random floats there are NaNs.
void FillFloats(const WeightShape& shape, std::mt19937& random, Bytes& bytes) {
  const size_t width = shape.layout == WeightLayout::kF32 ? 4 : 2;
  std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(shape.columns)));
  for (size_t i = 0; i < bytes.size(); i += width) {
    const float value = normal(random);
    const uint16_t narrow = shape.layout == WeightLayout::kF16 ? reference::FloatToHalf(value)
                                                               : reference::FloatToBfloat16(value);
    std::memcpy(&bytes[i], width == 4 ? static_cast<const void*>(&value) : &narrow, width);
  }
}

Bytes RandomMatrix(const PlanWeight& weight, std::mt19937& random) {
  Bytes bytes(weight.bytes);
  const WeightView view = *WeightView::Create(weight.shape, bytes);
  if (IsFloat(weight.shape.layout)) {
    FillFloats(weight.shape, random, bytes);
    return bytes;
  }
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  FillScales(view, random, bytes);
  return bytes;
}

Bytes FloatBytes(const std::vector<float>& values) {
  Bytes bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// Fills the tables of a TinyModel.
class WeightMaker {
 public:
  explicit WeightMaker(TinyModel& model) : model_(model), random_(model.config.seed) {}

  void Matrix(const std::string& name, int64_t rows, int64_t columns) {
    const WeightLayout layout = model_.config.layout;
    const PlanWeight& weight = Add(name, layout, rows, columns, HasGroups(layout) ? 32 : 0);
    model_.data[weight.data_key] = RandomMatrix(weight, random_);
  }

  void Norm(const std::string& name, int64_t columns) {
    std::uniform_real_distribution<float> factor(0.5f, 1.5f);
    std::vector<float> values(columns);
    for (float& value : values) value = factor(random_);
    Vector(name, values);
  }

  void Vector(const std::string& name, const std::vector<float>& values) {
    const PlanWeight& weight =
        Add(name, WeightLayout::kF32, 1, static_cast<int64_t>(values.size()), 0);
    model_.data[weight.data_key] = FloatBytes(values);
  }

 private:
  const PlanWeight& Add(const std::string& name, WeightLayout layout, int64_t rows, int64_t columns,
                        uint32_t group) {
    const WeightShape shape = {layout, static_cast<uint32_t>(rows), static_cast<uint32_t>(columns),
                               group};
    model_.table.push_back({name, name, shape, LayOutWeight(shape)->bytes});
    return model_.table.back();
  }

  TinyModel& model_;
  std::mt19937 random_;
};

std::vector<float> Frequencies(int64_t head_dim, double base) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    frequencies.push_back(static_cast<float>(
        std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim))));
  }
  return frequencies;
}

bool IsFull(const TinyModelConfig& config, int layer) {
  return (layer + 1) % config.full_every == 0;
}

// Builds a plan step by step.
class PlanMaker {
 public:
  PlanMaker(const TinyModel& model, PlanMethod method) : model_(model), config_(model.config) {
    plan_.model = "tiny";
    plan_.method = method;
    plan_.vocab_size = config_.vocab;
    plan_.max_tokens = method == PlanMethod::kDecode ? 1 : config_.max_tokens;
    plan_.max_context = config_.max_context;
    plan_.weights = model.table;
  }

  Plan Make() {
    const Index x = Value("x", config_.hidden);
    Step("embed", EmbedStep{Weight("embed_tokens.weight"), 2.0f, x});
    for (int layer = 0; layer < config_.layers; ++layer) Layer(layer, x);
    if (plan_.method == PlanMethod::kScore) {
      const Index h = Value("final", config_.hidden);
      Step("norm", RmsNormStep{.in = x,
                               .weight = Weight("norm.weight"),
                               .width = config_.hidden,
                               .epsilon = kEpsilon,
                               .out = h});
      Step("score", ScoreStep{h, Weight("embed_tokens.weight"), config_.softcap, 5});
    } else {
      Head(x);
    }
    plan_.activations = config_.activations.value_or(PrecisionOf(plan_.caches));
    return std::move(plan_);
  }

 private:
  static constexpr float kEpsilon = 1e-6f;

  Index Value(const std::string& name, int64_t columns, bool one_row = false) {
    plan_.values.push_back({name, columns, one_row});
    return static_cast<Index>(plan_.values.size() - 1);
  }

  Index Weight(absl::string_view name) const {
    const auto found = std::find_if(model_.table.begin(), model_.table.end(),
                                    [&](const PlanWeight& weight) { return weight.name == name; });
    return static_cast<Index>(found - model_.table.begin());
  }

  void Step(const std::string& name, PlanOperation operation) {
    plan_.steps.push_back({name, std::move(operation)});
  }

  Index Cache(int layer) {
    const int64_t window = IsFull(config_, layer) ? 0 : config_.window;
    const bool whole = window == 0 || config_.flat_caches;
    PlanCache cache = {
        .name = absl::StrCat("layers.", layer, ".kv_cache"),
        .kv_heads = config_.kv_heads,
        .head_dim = config_.head_dim,
        .capacity = whole ? config_.max_context
                          : std::min(config_.max_context, window - 1 + config_.max_tokens),
        .window = window,
        .type = config_.cache};
    cache.bytes =
        2 * cache.kv_heads * cache.head_dim * cache.capacity * CacheElementBytes(cache.type);
    plan_.caches.push_back(cache);
    return static_cast<Index>(plan_.caches.size() - 1);
  }

  void Norm(const std::string& name, Index in, Index add, Index scalar, Index out) {
    Step(name,
         RmsNormStep{in, Weight(name + ".weight"), config_.hidden, kEpsilon, add, scalar, out});
  }

  void Layer(int layer, Index x) {
    const std::string prefix = absl::StrCat("layers.", layer, ".");
    Attend(layer, prefix, x);
    const Index h = Value(prefix + "mlp_in", config_.hidden);
    const Index gate = Value(prefix + "gate", config_.mlp);
    const Index up = Value(prefix + "up", config_.mlp);
    const Index down = Value(prefix + "down", config_.hidden);
    Norm(prefix + "pre_feedforward_layernorm", x, kAbsent, kAbsent, h);
    Step(prefix + "gate_up",
         LinearStep{h, {Weight(prefix + "gate"), Weight(prefix + "up")}, {gate, up}});
    Step(prefix + "gelu", GatedGeluStep{gate, up, gate});
    Step(prefix + "down", LinearStep{gate, {Weight(prefix + "down")}, {down}});
    Norm(prefix + "post_feedforward_layernorm", down, x, Weight(prefix + "layer_scalar"), x);
  }

  void Attend(int layer, const std::string& prefix, Index x) {
    const int64_t kv_columns = config_.kv_heads * config_.head_dim;
    const bool full = IsFull(config_, layer);
    const Index h = Value(prefix + "attention_in", config_.hidden);
    const Index q = Value(prefix + "q", config_.heads * config_.head_dim);
    const Index k = Value(prefix + "k", kv_columns);
    const Index v = full ? kAbsent : Value(prefix + "v", kv_columns);
    const Index a = Value(prefix + "a", config_.heads * config_.head_dim);
    const Index o = Value(prefix + "o", config_.hidden);
    const Index cache = Cache(layer);
    LinearStep qkv = {h, {Weight(prefix + "q_proj"), Weight(prefix + "k_proj")}, {q, k}};
    if (!full) qkv.weights.push_back(Weight(prefix + "v_proj"));
    if (!full) qkv.outs.push_back(v);
    Norm(prefix + "input_layernorm", x, kAbsent, kAbsent, h);
    Step(prefix + "qkv", qkv);
    Step(prefix + "prepare",
         PrepareAttentionStep{.q = q,
                              .k = k,
                              .v = v,
                              .q_norm = Weight(prefix + "q_norm"),
                              .k_norm = Weight(prefix + "k_norm"),
                              .normalize_v = true,
                              .epsilon = kEpsilon,
                              .frequencies = Weight(full ? "rope.full" : "rope.sliding"),
                              .heads = config_.heads,
                              .cache = cache,
                              .out = q});
    Step(prefix + "attention", AttentionStep{q, cache, config_.heads, config_.attention_scale, a});
    Step(prefix + "o", LinearStep{a, {Weight(prefix + "o_proj")}, {o}});
    Norm(prefix + "post_attention_layernorm", o, x, kAbsent, x);
  }

  void Head(Index x) {
    const Index last = Value("last", config_.hidden, true);
    const Index logits = Value("logits", config_.vocab, true);
    Step("select", SelectLastStep{x, last});
    Norm("norm", last, kAbsent, kAbsent, last);
    Step("head", LinearStep{last, {Weight("embed_tokens.weight")}, {logits}});
    if (config_.softcap > 0) Step("softcap", SoftcapStep{logits, config_.softcap, logits});
    Step("sample", SampleStep{logits});
  }

  const TinyModel& model_;
  const TinyModelConfig& config_;
  Plan plan_;
};

void MakeLayerWeights(const TinyModelConfig& config, int layer, WeightMaker& make) {
  const std::string prefix = absl::StrCat("layers.", layer, ".");
  const int64_t q_rows = config.heads * config.head_dim;
  const int64_t kv_rows = config.kv_heads * config.head_dim;
  make.Matrix(prefix + "q_proj", q_rows, config.hidden);
  make.Matrix(prefix + "k_proj", kv_rows, config.hidden);
  if (!IsFull(config, layer)) make.Matrix(prefix + "v_proj", kv_rows, config.hidden);
  make.Matrix(prefix + "o_proj", config.hidden, q_rows);
  make.Matrix(prefix + "gate", config.mlp, config.hidden);
  make.Matrix(prefix + "up", config.mlp, config.hidden);
  make.Matrix(prefix + "down", config.hidden, config.mlp);
  for (const char* norm : {"input", "post_attention", "pre_feedforward", "post_feedforward"}) {
    make.Norm(absl::StrCat(prefix, norm, "_layernorm.weight"), config.hidden);
  }
  make.Norm(prefix + "q_norm", config.head_dim);
  make.Norm(prefix + "k_norm", config.head_dim);
  make.Vector(prefix + "layer_scalar", {0.9f + 0.05f * static_cast<float>(layer)});
}

}  // namespace

TinyModel::TinyModel(const TinyModelConfig& config) : config(config) {
  WeightMaker make(*this);
  make.Matrix("embed_tokens.weight", config.vocab, config.hidden);
  for (int layer = 0; layer < config.layers; ++layer) MakeLayerWeights(config, layer, make);
  make.Norm("norm.weight", config.hidden);
  make.Vector("rope.sliding", Frequencies(config.head_dim, 1e4));
  make.Vector("rope.full", Frequencies(config.head_dim, 1e6));
}

Plan TinyModel::MakePlan(PlanMethod method) const { return PlanMaker(*this, method).Make(); }

}  // namespace gemma
