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
  if (p.tokens > kMaxDecodeTokens ||
      !HasDecodeKernel(p.cache.head_dim, p.cache.rotated, p.cache.paired))
    return false;
  if (RowsOfKvHead(p) > kMaxDecodeRows) return false;
  const DecodeShared smallest =
      DecodeSharedOf(p.cache, RowTiles(RowsOfKvHead(p)), p.tokens,
                     DecodeSplits(device, p.cache.kv_heads), kMinDecodeStages);
  return static_cast<size_t>(smallest.bytes) <= device.shared_bytes;
}

bool UsesPromptKernel(const PrepareParams& p, const Device& device) {
  return device.compute_major == 9 &&
         HasPromptKernel(p.cache.head_dim, p.cache.rotated, p.cache.paired);
}

absl::Status Check(const Attention& op, const Context& context) {
  const PrepareParams& p = op.prepare;
  const DeviceCache& cache = p.cache;
  if (cache.kv_heads < 1 || cache.kv_heads > kMaxKvHeads || p.heads < 1 ||
      p.heads % cache.kv_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat("attention: ", p.heads, " heads do not share ",
                                                   cache.kv_heads, " key/value heads evenly"));
  }
  if (cache.head_dim < 2 || cache.head_dim % 2 != 0 || cache.head_dim > kMaxHeadDimension) {
    return absl::InvalidArgumentError(absl::StrCat("attention: head size ", cache.head_dim,
                                                   " (an even number up to ", kMaxHeadDimension,
                                                   ")"));
  }
  if (cache.rotated != 0 && (cache.paired || !HasDecodeKernel(cache.head_dim, cache.rotated))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attention: no shared cache for head size ", cache.head_dim, " with ", cache.rotated,
        " turned dimensions", cache.paired ? " in pairs" : "", " (use separate keys and values)"));
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

DecodeShared FitShared(const Attention& op, const Context& context, int splits, int& ring_stages) {
  const PrepareParams& p = op.prepare;
  const int row_tiles = RowTiles(RowsOfKvHead(p));
  for (ring_stages = kMaxDecodeStages; ring_stages >= kMinDecodeStages; --ring_stages) {
    const DecodeShared shared = DecodeSharedOf(p.cache, row_tiles, p.tokens, splits, ring_stages);
    if (static_cast<size_t>(shared.bytes) <= context.device.shared_bytes) return shared;
  }
  return {};
}

// What splits of the context leave for the last one, and counters, 0 between launches.
Region Partials(const Device& device, const PrepareParams& p) {
  const size_t splits = static_cast<size_t>(DecodeSplits(device, p.cache.kv_heads));
  const size_t row = static_cast<size_t>(p.cache.head_dim + 2) * sizeof(float);
  return {"attention: sums of splits", splits * static_cast<size_t>(p.tokens * p.heads) * row};
}
constexpr Region kCounters{"attention: counters of splits", kMaxKvHeads * sizeof(uint32_t),
                           /*zeroed=*/true};

absl::Status RunDecode(const Attention& op, const Context& context) {
  AttentionParams params;
  params.prepare = op.prepare;
  params.scale = op.scale;
  params.out = op.out;
  params.splits = DecodeSplits(context.device, op.prepare.cache.kv_heads);
  GEMMA_ASSIGN_OR_RETURN(params.partials,
                         context.workspace->Find<float>(Partials(context.device, op.prepare)));
  GEMMA_ASSIGN_OR_RETURN(params.counters, context.workspace->Find<uint32_t>(kCounters));
  const DecodeShared shared = FitShared(op, context, params.splits, params.ring_stages);
  return ToStatus(LaunchDecodeAttention(params, shared, {context.overlap, context.stream}),
                  "attention");
}

}  // namespace

int SharedCacheRotation(const float* frequencies, int head_dim, bool has_v, bool normalize_v) {
  if (has_v || !normalize_v) return 0;
  int turned = head_dim / 2;
  while (turned > 0 && frequencies[turned - 1] == 0) --turned;
  for (const int rotated : {16, 128}) {
    if (2 * turned <= rotated && HasDecodeKernel(head_dim, rotated)) return rotated;
  }
  return 0;
}

absl::StatusOr<uint64_t> CacheBytes(const DeviceCache& cache) {
  const uint64_t columns = static_cast<uint64_t>(ScoreColumns(cache)) +
                           (cache.rotated > 0 ? 0 : static_cast<uint64_t>(cache.head_dim));
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

bool AttentionNeedsQueries(const Attention& op, const Device& device) {
  return !UsesDecodeKernel(op.prepare, device);
}

absl::string_view AttentionKernelName(const Attention& op, const Device& device) {
  if (UsesDecodeKernel(op.prepare, device)) return "decode";
  return UsesPromptKernel(op.prepare, device) ? "prompt" : "any shape";
}

absl::Status RunAttention(const Attention& op, const Context& context) {
  GEMMA_RETURN_IF_ERROR(Check(op, context));
  if (!AttentionNeedsQueries(op, context.device)) return RunDecode(op, context);
  const AttentionLaunch launch{context.overlap, context.stream};
  GEMMA_RETURN_IF_ERROR(
      ToStatus(LaunchPrepareAttention(op.prepare, op.queries, launch), "attention: queries"));
  AttentionParams params;
  params.prepare = op.prepare;
  params.q = op.queries;
  params.scale = op.scale;
  params.out = op.out;
  if (UsesPromptKernel(op.prepare, context.device))
    return ToStatus(LaunchPromptAttention(params, launch), "attention");
  return ToStatus(LaunchAttentionAnyShape(params, launch), "attention");
}

}  // namespace gemma::cuda
