#include "cc/kernels/cuda/benchmark/decoder.h"

#include <algorithm>
#include <utility>

#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/benchmark/device_work.h"

namespace gemma::cuda {
namespace {

constexpr float kEpsilon = 1e-6f;

template <typename T>
absl::Status TakeArray(size_t count, Arena& arena, T*& array) {
  GEMMA_ASSIGN_OR_RETURN(void* memory, arena.Take(count * sizeof(T)));
  array = static_cast<T*>(memory);
  return absl::OkStatus();
}

// Room for all weights at up to `bits` a weight, caches and buffers.
size_t ArenaBytes(const DecoderShape& s) {
  const double layer = static_cast<double>(s.hidden) *
                       (3.0 * s.intermediate + 2.0 * s.heads * s.full_head_dim + 8192);
  const double weights =
      (layer * s.layers * 0.9 + 1.1 * static_cast<double>(s.hidden) * s.vocab * 2) * 0.7;
  const double full =
      static_cast<double>(s.full_kv_heads) * s.max_context * 2 * s.full_head_dim * 2;
  const double sliding = static_cast<double>(s.sliding_kv_heads) * (s.window + s.max_tokens + 64) *
                         2 * s.sliding_head_dim * 2;
  return static_cast<size_t>(weights + s.layers * (full / s.full_every + sliding) + 1e9);
}

}  // namespace

Regions DecoderRegions(const Device& device) {
  const DecoderShape shape;
  Regions regions = ProductRegions(device, kMaxDecodeTokens + 1);
  AddRegions(SampleRegions(), regions);
  for (const int rotated : {0, shape.rotated}) {
    DeviceCache cache;
    cache.kv_heads = shape.full_kv_heads;
    cache.head_dim = shape.full_head_dim;
    cache.form = rotated > 0 ? CacheForm::kShared : CacheForm::kSeparate;
    cache.rotated = rotated;
    AddRegions(AttentionRegions(device, cache, shape.heads, kMaxDecodeTokens), regions);
  }
  DeviceCache sliding;
  sliding.kv_heads = shape.sliding_kv_heads;
  sliding.head_dim = shape.sliding_head_dim;
  AddRegions(AttentionRegions(device, sliding, shape.heads, kMaxDecodeTokens), regions);
  return regions;
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(const DecoderShape& shape,
                                                         const Context& context) {
  GEMMA_ASSIGN_OR_RETURN(Arena arena, Arena::Create(ArenaBytes(shape)));
  std::unique_ptr<Decoder> decoder(new Decoder(shape, std::move(arena)));
  for (int i = 0; i < shape.layers; ++i) {
    GEMMA_ASSIGN_OR_RETURN(Layer layer, decoder->TakeLayer(i, context.stream));
    decoder->layers_.push_back(std::move(layer));
  }
  GEMMA_ASSIGN_OR_RETURN(decoder->embedding_, decoder->TakeWeight(shape.head_layout, shape.vocab,
                                                                  shape.hidden, context.stream));
  GEMMA_ASSIGN_OR_RETURN(decoder->final_norm_,
                         decoder->TakeFloats(shape.hidden, 0.5f, 1.5f, context.stream));
  GEMMA_RETURN_IF_ERROR(decoder->TakeBuffers(context.stream));
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaStreamSynchronize(context.stream), "random weights"));
  return decoder;
}

absl::StatusOr<WeightView> Decoder::TakeWeight(WeightLayout layout, int rows, int columns,
                                               Stream stream) {
  // The 8-bit head has one scale a row, everything else groups of 32.
  const bool head = rows == shape_.vocab;
  const uint32_t group = !HasGroups(layout) ? 0 : head ? static_cast<uint32_t>(columns) : 32;
  GEMMA_ASSIGN_OR_RETURN(WeightView weight,
                         RandomDeviceWeight({layout, static_cast<uint32_t>(rows),
                                             static_cast<uint32_t>(columns), group},
                                            arena_, seed_++, stream));
  weight_bytes_ += static_cast<double>(weight.planes.bytes);
  return weight;
}

absl::StatusOr<const float*> Decoder::TakeFloats(int count, float low, float high, Stream stream) {
  float* floats = nullptr;
  GEMMA_RETURN_IF_ERROR(TakeArray(static_cast<size_t>(count), arena_, floats));
  GEMMA_RETURN_IF_ERROR(ToStatus(
      FillNumbers(floats, static_cast<size_t>(count), Stored::kF32, low, high, seed_++, stream),
      "random norms"));
  return floats;
}

absl::StatusOr<DeviceCache> Decoder::TakeCache(bool full, Stream stream) {
  DeviceCache cache;
  cache.kv_heads = full ? shape_.full_kv_heads : shape_.sliding_kv_heads;
  cache.head_dim = full ? shape_.full_head_dim : shape_.sliding_head_dim;
  cache.window = full ? 0 : shape_.window;
  cache.capacity = full ? shape_.max_context
                        : std::min(shape_.max_context, shape_.window - 1 + shape_.max_tokens);
  cache.rotated = full ? shape_.rotated : 0;
  cache.form = cache.rotated > 0 ? CacheForm::kShared : CacheForm::kSeparate;
  const size_t rows = static_cast<size_t>(cache.kv_heads) * static_cast<size_t>(cache.capacity);
  const size_t values = rows * static_cast<size_t>(ScoreColumns(cache));
  GEMMA_RETURN_IF_ERROR(TakeArray(values, arena_, cache.values));
  GEMMA_RETURN_IF_ERROR(ToStatus(
      FillNumbers(cache.values, values, Stored::kBF16, -1, 1, seed_++, stream), "random cache"));
  if (cache.rotated > 0) return cache;
  GEMMA_RETURN_IF_ERROR(TakeArray(values, arena_, cache.keys));
  GEMMA_RETURN_IF_ERROR(ToStatus(
      FillNumbers(cache.keys, values, Stored::kBF16, -1, 1, seed_++, stream), "random cache"));
  return cache;
}

absl::StatusOr<Decoder::Layer> Decoder::TakeLayer(int index, Stream stream) {
  const bool full = IsFull(index);
  const int head_dim = full ? shape_.full_head_dim : shape_.sliding_head_dim;
  const int q_rows = shape_.heads * head_dim;
  const int kv_rows = (full ? shape_.full_kv_heads : shape_.sliding_kv_heads) * head_dim;
  Layer layer;
  for (const int rows : {q_rows, kv_rows, kv_rows}) {
    if (full && layer.projections.size() == 2) break;
    GEMMA_ASSIGN_OR_RETURN(const WeightView weight,
                           TakeWeight(shape_.layout, rows, shape_.hidden, stream));
    layer.projections.push_back(weight);
  }
  GEMMA_ASSIGN_OR_RETURN(layer.o, TakeWeight(shape_.layout, shape_.hidden, q_rows, stream));
  GEMMA_ASSIGN_OR_RETURN(layer.gate,
                         TakeWeight(shape_.layout, shape_.intermediate, shape_.hidden, stream));
  GEMMA_ASSIGN_OR_RETURN(layer.up,
                         TakeWeight(shape_.layout, shape_.intermediate, shape_.hidden, stream));
  GEMMA_ASSIGN_OR_RETURN(layer.down,
                         TakeWeight(shape_.layout, shape_.hidden, shape_.intermediate, stream));
  for (const float*& norm : layer.norms) {
    GEMMA_ASSIGN_OR_RETURN(norm, TakeFloats(shape_.hidden, 0.5f, 1.5f, stream));
  }
  GEMMA_ASSIGN_OR_RETURN(layer.scalar, TakeFloats(1, 0.5f, 1.0f, stream));
  GEMMA_ASSIGN_OR_RETURN(layer.q_norm, TakeFloats(head_dim, 0.1f, 0.2f, stream));
  GEMMA_ASSIGN_OR_RETURN(layer.k_norm, TakeFloats(head_dim, 0.1f, 0.2f, stream));
  GEMMA_ASSIGN_OR_RETURN(layer.frequencies, TakeFloats(head_dim / 2, 0, 1, stream));
  GEMMA_ASSIGN_OR_RETURN(layer.cache, TakeCache(full, stream));
  return layer;
}

absl::Status Decoder::TakeBuffers(Stream stream) {
  const size_t hidden = static_cast<size_t>(shape_.hidden);
  const size_t widest = static_cast<size_t>(shape_.heads * shape_.full_head_dim);
  for (float*& x : stream_) GEMMA_RETURN_IF_ERROR(TakeArray(hidden, arena_, x));
  for (float*& x : qkv_) GEMMA_RETURN_IF_ERROR(TakeArray(widest, arena_, x));
  GEMMA_RETURN_IF_ERROR(TakeArray(widest, arena_, attended_));
  GEMMA_RETURN_IF_ERROR(TakeArray(hidden, arena_, branch_));
  GEMMA_RETURN_IF_ERROR(TakeArray(static_cast<size_t>(shape_.intermediate), arena_, gated_));
  GEMMA_RETURN_IF_ERROR(TakeArray(static_cast<size_t>(shape_.vocab), arena_, logits_));
  GEMMA_RETURN_IF_ERROR(TakeArray(1, arena_, position_));
  GEMMA_RETURN_IF_ERROR(TakeArray(1, arena_, token_));
  GEMMA_RETURN_IF_ERROR(TakeArray(1, arena_, request_));
  const SampleRequest request{{.temperature = 1, .top_k = 64, .top_p = 0.95f, .seed = 1}, 1};
  GEMMA_RETURN_IF_ERROR(
      ToStatus(cudaMemcpyAsync(request_, &request, sizeof(request), cudaMemcpyHostToDevice, stream),
               "copy"));
  return ToStatus(cudaMemsetAsync(token_, 0, sizeof(*token_), stream), "clear");
}

double Decoder::CacheBytesAt(int64_t position) const {
  double bytes = 0;
  for (const Layer& layer : layers_) {
    const DeviceCache& c = layer.cache;
    const double positions =
        static_cast<double>(c.window == 0 ? position : std::min<int64_t>(position, c.window));
    const int columns = c.rotated > 0 ? ScoreColumns(c) : 2 * c.head_dim;
    bytes += positions * c.kv_heads * columns * 2;
  }
  return bytes;
}

absl::Status Decoder::SetPosition(int64_t position) {
  return ToStatus(cudaMemcpy(position_, &position, sizeof(position), cudaMemcpyHostToDevice),
                  "copy");
}

Product Decoder::ProductOf(const std::vector<WeightView>& weights) {
  Product product;
  product.tokens = 1;
  for (const WeightView& weight : weights) product.outputs.push_back({weight, nullptr});
  return product;
}

absl::Status Decoder::RunLayer(const Layer& layer, const Layer* before, const Layer* after,
                               const Context& context, const Parts& parts) {
  Product qkv = ProductOf(layer.projections), o = ProductOf({layer.o});
  Product gate_up = ProductOf({layer.gate, layer.up}), down = ProductOf({layer.down});
  const Product next = after == nullptr ? ProductOf({embedding_}) : ProductOf(after->projections);
  o.prefetch = FirstWeightsOf(gate_up);
  gate_up.prefetch = FirstWeightsOf(down);
  down.prefetch = FirstWeightsOf(next);

  // The stream enters with the previous layer's MLP branch still to be added.
  qkv.norm = {stream_[current_],
              before == nullptr ? nullptr : branch_,
              before == nullptr ? nullptr : before->norms[3],
              before == nullptr ? nullptr : before->scalar,
              layer.norms[0],
              stream_[1 - current_],
              kEpsilon};
  if (before != nullptr) current_ = 1 - current_;
  for (size_t i = 0; i < layer.projections.size(); ++i) qkv.outputs[i].out = qkv_[i];

  Attention attention;
  attention.prepare.q = qkv_[0];
  attention.prepare.k = qkv_[1];
  attention.prepare.v = layer.projections.size() == 3 ? qkv_[2] : nullptr;
  attention.prepare.q_norm = layer.q_norm;
  attention.prepare.k_norm = layer.k_norm;
  attention.prepare.frequencies = layer.frequencies;
  attention.prepare.normalize_v = true;
  attention.prepare.epsilon = kEpsilon;
  attention.prepare.heads = shape_.heads;
  attention.prepare.tokens = 1;
  attention.prepare.start = position_;
  attention.prepare.cache = layer.cache;
  attention.out = attended_;
  attention.max_context = shape_.max_context;
  attention.prefetch = FirstWeightsOf(o);
  qkv.prefetch = attention.prefetch;
  qkv.prefetch.cache = VisibleCacheOf(attention.prepare);
  if (parts.linears) GEMMA_RETURN_IF_ERROR(RunProduct(qkv, context));
  if (parts.attention) GEMMA_RETURN_IF_ERROR(RunAttention(attention, context));
  if (!parts.linears) return absl::OkStatus();

  o.in = attended_;
  o.outputs[0].out = branch_;
  GEMMA_RETURN_IF_ERROR(RunProduct(o, context));

  gate_up.norm = {stream_[current_],     branch_, layer.norms[1], nullptr, layer.norms[2],
                  stream_[1 - current_], kEpsilon};
  current_ = 1 - current_;
  gate_up.outputs[0].out = gated_;
  gate_up.gated = true;
  gate_up.out_number = Number::kFloat16;
  GEMMA_RETURN_IF_ERROR(RunProduct(gate_up, context));

  down.in = gated_;
  down.outputs[0].out = branch_;
  return RunProduct(down, context);
}

absl::Status Decoder::DecodeStep(const Context& context, const Parts& parts) {
  current_ = 0;
  EmbedParams embed;
  embed.ids = token_;
  embed.tokens = 1;
  embed.scale = 73.5f;
  embed.out = stream_[0];
  GEMMA_RETURN_IF_ERROR(RunEmbed(embedding_, embed, context));
  const Layer* before = nullptr;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer* after = i + 1 < layers_.size() ? &layers_[i + 1] : nullptr;
    GEMMA_RETURN_IF_ERROR(RunLayer(layers_[i], before, after, context, parts));
    before = &layers_[i];
  }
  if (!parts.head) return absl::OkStatus();
  Product head;
  head.tokens = 1;
  head.norm = {stream_[current_],     branch_, before->norms[3], before->scalar, final_norm_,
               stream_[1 - current_], kEpsilon};
  head.outputs = {{embedding_, logits_}};
  head.softcap = 30;
  GEMMA_RETURN_IF_ERROR(RunProduct(head, context));
  if (!parts.sample) return absl::OkStatus();
  return RunSample(logits_, shape_.vocab, {}, request_, token_, context);
}

}  // namespace gemma::cuda
