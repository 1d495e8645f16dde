#include "cc/kernels/cuda/gemm/gemm.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/device/matrix_from.h"
#include "cc/kernels/cuda/gemm/params.h"

namespace gemma::cuda {
namespace {

static_assert(kMaxProductOutputs == kMaxGemmParts);

absl::Status Check(const Product& op) {
  if (op.norm.x != nullptr) return absl::InvalidArgumentError("gemm: cannot fuse a norm");
  return CheckProduct("gemm", op);
}

bool HasSm90(const Device& device) {
  return device.features().wgmma && device.shared_bytes >= kGemmSharedBytes;
}

// The Hopper kernel copies 16 bytes of values and 4 of scales at a time.
bool FitsSm90(const WeightShape& shape, uint64_t input_address) {
  if (!HasSm90Kernel(shape.layout) || input_address % 16 != 0) return false;
  const uint32_t step = IsFloat(shape.layout) ? 8 : HasHalfScales(shape.layout) ? 64 : 32;
  if (shape.columns % step != 0) return false;
  if (!HasGroups(shape.layout)) return true;
  if (shape.group == shape.columns) return !HasMins(shape.layout);
  const bool group_fits = shape.group == 32 || shape.group == 64 || shape.group == 128;
  return group_fits && shape.columns / shape.group % 2 == 0;
}

bool UsesSm90(const Product& op, size_t output, const Device& device) {
  const WeightShape& shape = op.outputs[output].weight.shape;
  return HasSm90(device) && FitsSm90(shape, reinterpret_cast<uintptr_t>(op.in)) &&
         (!op.gated || SameKind(op.outputs[0].weight.shape, op.outputs[1].weight.shape));
}

constexpr auto kLaunchers = ForEachLayout([]<WeightLayout kLayout>() {
  using Launcher =
      cudaError_t (*)(const GemmSm90Params&, const TileMap&, int, const LaunchOptions&);
  if constexpr (HasSm90Kernel(kLayout)) {
    return static_cast<Launcher>(&LaunchGemmSm90<kLayout>);
  } else {
    return Launcher{};
  }
});

GemmParams CommonParams(const Product& op) {
  GemmParams params;
  params.columns = static_cast<int32_t>(op.outputs[0].weight.shape.columns);
  params.tokens = static_cast<int32_t>(op.rows());
  params.in_number = op.in_number;
  params.out_number = op.out_number;
  params.gated = op.gated;
  params.softcap = op.softcap;
  params.in = op.in;
  return params;
}

void AddPart(const Product::Output& first, const Product::Output& second, GemmParams& params) {
  params.parts[params.part_count++] = {MatrixFrom(first.weight), MatrixFrom(second.weight),
                                       first.out};
}

int TileTokens(int tokens) { return tokens <= kFewTokens ? kFewTokens : kGemmTokens; }

// A run of fewer columns is not worth the exchange of its sums.
constexpr int kMinRunColumns = 512;

GemmSchedule ScheduleOf(WeightLayout layout, const GemmParams& params, int row_tiles,
                        const Device& device) {
  const int columns = GemmStageOf(layout).columns, tile_tokens = TileTokens(params.tokens);
  GemmSchedule s;
  s.row_tiles = row_tiles;
  s.token_tiles = (params.tokens + tile_tokens - 1) / tile_tokens;
  s.units = (params.columns + columns - 1) / columns;
  const int tiles = s.row_tiles * s.token_tiles, blocks = device.multiprocessors;
  s.whole_tiles = tiles / blocks * blocks;
  const int64_t rest = static_cast<int64_t>(tiles - s.whole_tiles) * s.units;
  const int64_t runs = std::max<int64_t>(rest / (kMinRunColumns / columns), 1);
  s.splits = rest == 0 ? 0 : static_cast<int>(std::min<int64_t>(runs, blocks));
  s.blocks = s.whole_tiles > 0 ? blocks : s.splits;
  return s;
}

// Sums that blocks leave for the one that has a tile's first columns,
// and flags, 0 between launches.
Region PartialSums(const Device& device) {
  const size_t blocks = static_cast<size_t>(device.multiprocessors);
  return {"gemm: partial sums", blocks * kGemmRows * kGemmTokens * sizeof(float)};
}
Region PartialFlags(const Device& device) {
  const size_t blocks = static_cast<size_t>(device.multiprocessors);
  return {"gemm: flags of partial sums", 2 * blocks * sizeof(uint32_t), /*zeroed=*/true};
}

absl::Status LaunchSm90(const GemmParams& params, const Context& context) {
  const WeightLayout layout = params.parts[0].first.layout;
  GemmSm90Params sm90;
  sm90.gemm = params;
  const int rows = params.gated ? kGemmRows / 2 : kGemmRows;
  int row_tiles = 0;
  for (int i = 0; i < params.part_count; ++i)
    sm90.tile_end[i] = row_tiles += (params.parts[i].first.rows + rows - 1) / rows;
  sm90.schedule = ScheduleOf(layout, params, row_tiles, context.device);
  GEMMA_ASSIGN_OR_RETURN(sm90.partials,
                         context.workspace->Find<float>(PartialSums(context.device)));
  GEMMA_ASSIGN_OR_RETURN(sm90.flags,
                         context.workspace->Find<uint32_t>(PartialFlags(context.device)));
  const int tile_tokens = TileTokens(params.tokens);
  TileMap map;
  GEMMA_RETURN_IF_ERROR(
      ToStatus(MakeTileMap(params.in, params.tokens, params.columns, tile_tokens, map),
               "gemm: cannot describe the input to the copy engine"));
  const auto launch = kLaunchers[static_cast<size_t>(layout)];
  return ToStatus(launch(sm90, map, tile_tokens, context.launch()), "gemm");
}

// Outputs of one kind, which one launch serves, from `first` on; marks them as done.
GemmParams PartsLike(const Product& op, size_t first, bool sm90, const Device& device,
                     std::vector<bool>& done) {
  GemmParams params = CommonParams(op);
  if (op.gated) {
    AddPart(op.outputs[0], op.outputs[1], params);
    done.assign(done.size(), true);
    return params;
  }
  for (size_t i = first; i < op.outputs.size(); ++i) {
    const bool same = UsesSm90(op, i, device) ? sm90 && SameKind(op.outputs[i].weight.shape,
                                                                 op.outputs[first].weight.shape)
                                              : !sm90;
    if (done[i] || !same) continue;
    AddPart(op.outputs[i], op.outputs[i], params);
    done[i] = true;
  }
  return params;
}

}  // namespace

Regions GemmRegions(const Device& device) {
  if (!HasSm90(device)) return {};
  return {PartialSums(device), PartialFlags(device)};
}

std::vector<PlannedLaunch> PlanGemm(const Product& op, const Device& device) {
  std::vector<PlannedLaunch> launches;
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    if (UsesSm90(op, i, device)) {
      const WeightLayout layout = op.outputs[i].weight.shape.layout;
      const GemmRings rings = GemmRingsOf(layout, TileTokens(static_cast<int>(op.rows())));
      launches.push_back({"gemm Hopper", static_cast<size_t>(rings.bytes)});
    } else {
      launches.push_back({"gemm any shape", 0});
    }
  }
  return launches;
}

bool IsHopperGemm(const Product& op, const Device& device) {
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    if (!UsesSm90(op, i, device)) return false;
  }
  return !op.outputs.empty();
}

absl::Status RunGemm(const Product& op, const Context& context) {
  GEMMA_RETURN_IF_ERROR(Check(op));
  std::vector<bool> done(op.outputs.size(), false);
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    if (done[i]) continue;
    const bool sm90 = UsesSm90(op, i, context.device);
    const GemmParams params = PartsLike(op, i, sm90, context.device, done);
    if (sm90) {
      GEMMA_RETURN_IF_ERROR(LaunchSm90(params, context));
    } else {
      GEMMA_RETURN_IF_ERROR(ToStatus(LaunchGemmAnyShape(params, context.launch()), "gemm"));
    }
  }
  return absl::OkStatus();
}

}  // namespace gemma::cuda
