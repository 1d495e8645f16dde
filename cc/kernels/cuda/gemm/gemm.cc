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

// Hopper's kernel, the one for all other GPUs (Ampere's instructions), and the fallback.
enum class Kernel { kSm90, kMma, kAnyShape };

bool HasSm90(const Device& device) {
  return device.features().wgmma && device.shared_bytes >= kGemmSharedBytes;
}

int TileTokens(int64_t tokens) { return tokens <= kFewTokens ? kFewTokens : kGemmTokens; }

size_t SharedBytesOf(WeightLayout layout, const MmaTile& tile) {
  return static_cast<size_t>(MmaSharedOf(layout, tile.rows, tile.tokens).bytes);
}

// The largest of Ampere's tiles that fits shared memory beside the weights.
MmaTile MmaTileOf(WeightLayout layout, int64_t tokens, const Device& device) {
  const int most = TileTokens(tokens);
  for (const MmaTile tile : {MmaTile{kGemmRows, most}, MmaTile{kFewRows, most}}) {
    if (SharedBytesOf(layout, tile) <= device.shared_bytes) return tile;
  }
  return {kFewRows, kFewTokens};
}

// Both kernels copy 16 bytes of values and 4 of scales at a time.
bool FitsTiles(const WeightShape& shape, uint64_t input_address) {
  if (!HasTileKernels(shape.layout) || input_address % 16 != 0) return false;
  const uint32_t step = IsFloat(shape.layout) ? 8 : HasHalfScales(shape.layout) ? 64 : 32;
  if (shape.columns % step != 0) return false;
  if (!HasGroups(shape.layout)) return true;
  if (shape.group == shape.columns) return !HasMins(shape.layout);
  const bool group_fits = shape.group == 32 || shape.group == 64 || shape.group == 128;
  return group_fits && shape.columns / shape.group % 2 == 0;
}

Kernel KernelOf(const Product& op, size_t output, const Device& device) {
  const WeightShape& shape = op.outputs[output].weight.shape;
  const bool fits = FitsTiles(shape, reinterpret_cast<uintptr_t>(op.in)) &&
                    (!op.gated || SameKind(op.outputs[0].weight.shape, op.outputs[1].weight.shape));
  if (!fits) return Kernel::kAnyShape;
  if (device.features().wgmma) return HasSm90(device) ? Kernel::kSm90 : Kernel::kAnyShape;
  const MmaTile least{kFewRows, kFewTokens};
  return SharedBytesOf(shape.layout, least) <= device.shared_bytes ? Kernel::kMma
                                                                   : Kernel::kAnyShape;
}

struct Launchers {
  cudaError_t (*sm90)(const GemmTileParams&, const TileMap&, int, const LaunchOptions&);
  cudaError_t (*mma)(const GemmTileParams&, const MmaTile&, const LaunchOptions&);
};
constexpr auto kLaunchers = ForEachLayout([]<WeightLayout kLayout>() {
  if constexpr (HasTileKernels(kLayout)) {
    return Launchers{&LaunchGemmSm90<kLayout>, &LaunchGemmMma<kLayout>};
  } else {
    return Launchers{};
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

// A run of fewer columns is not worth the exchange of its sums.
constexpr int kMinRunColumns = 512;

// blocks: a multiprocessor has one
GemmSchedule ScheduleOf(WeightLayout layout, const GemmParams& params, int row_tiles,
                        int tile_tokens, int blocks) {
  const int columns = GemmStageOf(layout).columns;
  GemmSchedule s;
  s.row_tiles = row_tiles;
  s.token_tiles = (params.tokens + tile_tokens - 1) / tile_tokens;
  s.units = (params.columns + columns - 1) / columns;
  const int tiles = s.row_tiles * s.token_tiles;
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

absl::Status LaunchTiles(const GemmParams& params, Kernel kernel, const Context& context) {
  const WeightLayout layout = params.parts[0].first.layout;
  const bool sm90 = kernel == Kernel::kSm90;
  const MmaTile tile = sm90 ? MmaTile{kGemmRows, TileTokens(params.tokens)}
                            : MmaTileOf(layout, params.tokens, context.device);
  GemmTileParams tiles;
  tiles.gemm = params;
  const int rows = tile.rows / (params.gated ? 2 : 1);
  int row_tiles = 0;
  for (int i = 0; i < params.part_count; ++i)
    tiles.tile_end[i] = row_tiles += (params.parts[i].first.rows + rows - 1) / rows;
  tiles.schedule =
      ScheduleOf(layout, params, row_tiles, tile.tokens, context.device.multiprocessors);
  GEMMA_ASSIGN_OR_RETURN(tiles.partials,
                         context.workspace->Find<float>(PartialSums(context.device)));
  GEMMA_ASSIGN_OR_RETURN(tiles.flags,
                         context.workspace->Find<uint32_t>(PartialFlags(context.device)));
  const Launchers& launchers = kLaunchers[static_cast<size_t>(layout)];
  if (!sm90) return ToStatus(launchers.mma(tiles, tile, context.launch()), "gemm");
  TileMap map;
  GEMMA_RETURN_IF_ERROR(
      ToStatus(MakeTileMap(params.in, params.tokens, params.columns, tile.tokens, map),
               "gemm: cannot describe the input to the copy engine"));
  return ToStatus(launchers.sm90(tiles, map, tile.tokens, context.launch()), "gemm");
}

// Outputs of one kind, which one launch serves, from `first` on; marks them as done.
GemmParams PartsLike(const Product& op, size_t first, Kernel kernel, const Device& device,
                     std::vector<bool>& done) {
  GemmParams params = CommonParams(op);
  if (op.gated) {
    AddPart(op.outputs[0], op.outputs[1], params);
    done.assign(done.size(), true);
    return params;
  }
  for (size_t i = first; i < op.outputs.size(); ++i) {
    const bool same = KernelOf(op, i, device) == kernel &&
                      (kernel == Kernel::kAnyShape ||
                       SameKind(op.outputs[i].weight.shape, op.outputs[first].weight.shape));
    if (done[i] || !same) continue;
    AddPart(op.outputs[i], op.outputs[i], params);
    done[i] = true;
  }
  return params;
}

}  // namespace

Regions GemmRegions(const Device& device) { return {PartialSums(device), PartialFlags(device)}; }

std::vector<PlannedLaunch> PlanGemm(const Product& op, const Device& device) {
  std::vector<PlannedLaunch> launches;
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    const WeightLayout layout = op.outputs[i].weight.shape.layout;
    switch (KernelOf(op, i, device)) {
      case Kernel::kSm90: {
        const GemmRings rings = GemmRingsOf(layout, TileTokens(op.rows()));
        launches.push_back({"gemm Hopper", static_cast<size_t>(rings.bytes)});
        break;
      }
      case Kernel::kMma: {
        const MmaTile tile = MmaTileOf(layout, op.rows(), device);
        launches.push_back({"gemm Ampere", SharedBytesOf(layout, tile)});
        break;
      }
      case Kernel::kAnyShape:
        launches.push_back({"gemm any shape", 0});
    }
  }
  return launches;
}

bool HasTileGemm(const Product& op, const Device& device) {
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    if (KernelOf(op, i, device) == Kernel::kAnyShape) return false;
  }
  return !op.outputs.empty();
}

absl::Status RunGemm(const Product& op, const Context& context) {
  GEMMA_RETURN_IF_ERROR(Check(op));
  std::vector<bool> done(op.outputs.size(), false);
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    if (done[i]) continue;
    const Kernel kernel = KernelOf(op, i, context.device);
    const GemmParams params = PartsLike(op, i, kernel, context.device, done);
    if (kernel == Kernel::kAnyShape) {
      GEMMA_RETURN_IF_ERROR(ToStatus(LaunchGemmAnyShape(params, context.launch()), "gemm"));
    } else {
      GEMMA_RETURN_IF_ERROR(LaunchTiles(params, kernel, context));
    }
  }
  return absl::OkStatus();
}

}  // namespace gemma::cuda
