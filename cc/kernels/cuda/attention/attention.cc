#include "cc/kernels/cuda/attention/attention.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"

namespace gemma::cuda {
namespace {

constexpr int kMinDecodeStages = 2;
constexpr int kMaxDecodeStages = 5;

// Splits of the context: with a block for each and each kv head, the multiprocessors are full.
int DecodeSplits(const Device& device, int kv_heads) {
  return std::clamp(device.multiprocessors / kv_heads, 1, kMaxSplits);
}

int RowsOfKvHead(const PrepareParams& p) { return p.tokens * (p.heads / p.cache.kv_heads); }

bool UsesDecodeKernel(const PrepareParams& p, const Device& device) {
  if (p.tokens > kMaxDecodeTokens || !HasDecodeKernel(p.cache)) return false;
  if (RowsOfKvHead(p) > kMaxDecodeRows) return false;
  const DecodeShared smallest =
      DecodeSharedOf(p.cache, RowTiles(RowsOfKvHead(p)), p.tokens, kMinDecodeStages);
  return static_cast<size_t>(smallest.bytes) <= device.shared_bytes;
}

absl::Status Check(const Attention& op, const Context& context) {
  const PrepareParams& p = op.prepare;
  const DeviceCache& cache = p.cache;
  if (cache.kv_heads < 1 || cache.kv_heads > kMaxKvHeads || p.heads < 1 ||
      p.heads % cache.kv_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat("attention: ", p.heads, " heads do not share ",
                                                   cache.kv_heads, " key/value heads evenly"));
  }
  if (cache.head_dim < 2 || cache.head_dim % 2 != 0 || cache.head_dim > kMaxHeadDim) {
    return absl::InvalidArgumentError(absl::StrCat("attention: head size ", cache.head_dim,
                                                   " (an even number up to ", kMaxHeadDim, ")"));
  }
  if ((cache.form == CacheForm::kShared || cache.rotated != 0) && !HasDecodeKernel(cache)) {
    return absl::InvalidArgumentError(
        absl::StrCat("attention: no shared cache for head size ", cache.head_dim, " with ",
                     cache.rotated, " rotated dimensions (use separate keys and values)"));
  }
  if (p.tokens < 1)
    return absl::InvalidArgumentError(absl::StrCat("attention: ", p.tokens, " tokens"));
  const int64_t needed = cache.window == 0
                             ? op.max_context
                             : std::min<int64_t>(op.max_context, cache.window - 1 + p.tokens);
  if (cache.capacity < needed) {
    return absl::InvalidArgumentError(absl::StrCat("attention: a cache of ", cache.capacity,
                                                   " positions is too small for ", needed));
  }
  if (AttentionNeedsQueries(op, context.device) && op.queries == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("attention: ", p.tokens, " tokens need a buffer for queries"));
  }
  return absl::OkStatus();
}

DecodeShared FitShared(const Attention& op, const Context& context, int& ring_stages) {
  const PrepareParams& p = op.prepare;
  const int row_tiles = RowTiles(RowsOfKvHead(p));
  for (ring_stages = kMaxDecodeStages; ring_stages >= kMinDecodeStages; --ring_stages) {
    const DecodeShared shared = DecodeSharedOf(p.cache, row_tiles, p.tokens, ring_stages);
    if (static_cast<size_t>(shared.bytes) <= context.device.shared_bytes) return shared;
  }
  return {};
}

// What splits of the context leave for each other, and their counters.
Region Partials(const Device& device, const PrepareParams& p) {
  const size_t splits = static_cast<size_t>(DecodeSplits(device, p.cache.kv_heads));
  const int floats = SplitFloats(RowsOfKvHead(p), p.cache.head_dim);
  return {"attention: sums of splits", splits * static_cast<size_t>(p.cache.kv_heads) *
                                           static_cast<size_t>(floats) * sizeof(float)};
}
constexpr Region kCounters{"attention: counters of splits", kMaxKvHeads * sizeof(SplitCounters),
                           /*zeroed=*/true};

absl::Status RunDecode(const Attention& op, const Context& context) {
  AttentionParams params;
  params.prepare = op.prepare;
  params.scale = op.scale;
  params.out = op.out;
  params.splits = DecodeSplits(context.device, op.prepare.cache.kv_heads);
  GEMMA_ASSIGN_OR_RETURN(params.partials,
                         context.workspace->Find<float>(Partials(context.device, op.prepare)));
  GEMMA_ASSIGN_OR_RETURN(params.counters, context.workspace->Find<SplitCounters>(kCounters));
  params.prefetch = op.prefetch;
  const DecodeShared shared = FitShared(op, context, params.ring_stages);
  return ToStatus(LaunchDecodeAttention(params, shared, context.launch()), "attention");
}

}  // namespace

int SharedCacheRotation(const float* frequencies, int head_dim, bool has_v, bool normalize_v) {
  if (has_v || !normalize_v) return 0;
  int turned = head_dim / 2;
  while (turned > 0 && frequencies[turned - 1] == 0) --turned;
  for (const HeadSizes& sizes : kHeadSizes) {
    if (sizes.form == CacheForm::kShared && sizes.head_dim == head_dim &&
        2 * turned <= sizes.rotated)
      return sizes.rotated;
  }
  return 0;
}

absl::StatusOr<uint64_t> CacheBytes(const DeviceCache& cache) {
  const uint64_t columns =
      static_cast<uint64_t>(ScoreColumns(cache)) +
      (cache.form == CacheForm::kShared ? 0 : static_cast<uint64_t>(cache.head_dim));
  GEMMA_ASSIGN_OR_RETURN(const uint64_t rows,
                         CheckedMul<uint64_t>(static_cast<uint64_t>(cache.kv_heads),
                                              static_cast<uint64_t>(cache.capacity)));
  return CheckedMul<uint64_t>(rows, columns * sizeof(uint16_t));
}

Regions AttentionRegions(const Device& device, const DeviceCache& cache, int heads,
                         int64_t tokens) {
  PrepareParams p;
  p.cache = cache;
  p.heads = heads;
  p.tokens = static_cast<int32_t>(std::min<int64_t>(tokens, kMaxDecodeTokens));
  // Fewer tokens need less, and take the decode kernel where more do.
  while (p.tokens > 0 && !UsesDecodeKernel(p, device)) --p.tokens;
  if (p.tokens == 0) return {};
  return {Partials(device, p), kCounters};
}

constexpr int64_t kCachePrefetchBytes = int64_t{16} << 20;

PrefetchCache VisibleCacheOf(const PrepareParams& prepare) {
  const DeviceCache& cache = prepare.cache;
  const auto* const keys = reinterpret_cast<const std::byte*>(cache.keys);
  const auto* const values = reinterpret_cast<const std::byte*>(cache.values);
  PrefetchCache prefetch;
  prefetch.row_bytes = ScoreColumns(cache) * static_cast<int32_t>(sizeof(uint16_t));
  if (prefetch.row_bytes % 16 != 0) return {};
  // Rows of keys and of values are as long but for pairs, whose values are left out.
  prefetch.planes[0] = keys == nullptr ? values : keys;
  if (keys != nullptr && cache.form == CacheForm::kSeparate) prefetch.planes[1] = values;
  prefetch.kv_heads = cache.kv_heads;
  prefetch.capacity = cache.capacity;
  prefetch.window = cache.window;
  prefetch.start = prepare.start;
  prefetch.most_bytes = kCachePrefetchBytes;
  return prefetch;
}

bool AttentionNeedsQueries(const Attention& op, const Device& device) {
  return !UsesDecodeKernel(op.prepare, device);
}

absl::string_view AttentionKernelName(const Attention& op, const Device& device) {
  if (UsesDecodeKernel(op.prepare, device)) return "decode";
  if (!HasPromptKernel(op.prepare.cache)) return "any shape";
  return device.features().wgmma ? "prompt Hopper" : "prompt Ampere";
}

absl::Status RunAttention(const Attention& op, const Context& context) {
  GEMMA_RETURN_IF_ERROR(Check(op, context));
  if (!AttentionNeedsQueries(op, context.device)) return RunDecode(op, context);
  const LaunchOptions launch = context.launch();
  GEMMA_RETURN_IF_ERROR(
      ToStatus(LaunchPrepareAttention(op.prepare, op.queries, launch), "attention: queries"));
  AttentionParams params;
  params.prepare = op.prepare;
  params.q = op.queries;
  params.scale = op.scale;
  params.out = op.out;
  if (!HasPromptKernel(op.prepare.cache))
    return ToStatus(LaunchAttentionAnyShape(params, launch), "attention");
  return ToStatus(context.device.features().wgmma
                      ? LaunchPromptAttention(params, launch)
                      : LaunchPromptAttentionMma(params, context.device.shared_bytes, launch),
                  "attention");
}

}  // namespace gemma::cuda
