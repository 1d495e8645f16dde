#include "cc/kernels/cuda/matvec/matvec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/device/matrix_from.h"
#include "cc/kernels/cuda/matvec/stream.h"

namespace gemma::cuda {
namespace {

using LaunchFunction = cudaError_t (*)(const MatvecParams&, const MatvecLaunch&);

LaunchFunction LauncherOf(WeightLayout layout) {
  switch (layout) {
    case WeightLayout::kF32:
      return LaunchMatvecF32;
    case WeightLayout::kF16:
      return LaunchMatvecF16;
    case WeightLayout::kBF16:
      return LaunchMatvecBF16;
    case WeightLayout::kInt8:
      return LaunchMatvecInt8;
    case WeightLayout::kInt4:
      return LaunchMatvecInt4;
    case WeightLayout::kInt4Min:
      return LaunchMatvecInt4Min;
    case WeightLayout::kInt5:
      return LaunchMatvecInt5;
    case WeightLayout::kInt5Min:
      return LaunchMatvecInt5Min;
    case WeightLayout::kQ4_K:
      return LaunchMatvecQ4K;
    case WeightLayout::kQ5_K:
      return LaunchMatvecQ5K;
    case WeightLayout::kQ6_K:
      return LaunchMatvecQ6K;
  }
  return LaunchMatvecAnyShape;
}

// The tensor core kernel copies 4 bytes of scales at a time and multiplies blocks of 32 columns.
bool HasTiles(const WeightShape& shape) {
  if (shape.columns % 32 != 0) return false;
  if (!HasGroups(shape.layout) || shape.group == shape.columns) return true;
  const bool group_fits = shape.group == 32 || shape.group == 64 || shape.group == 128;
  return group_fits && shape.columns / shape.group % 2 == 0;
}

bool AllHaveTiles(const Matvec& op) {
  return std::all_of(op.outputs.begin(), op.outputs.end(),
                     [](const auto& o) { return HasTiles(o.weight.shape); });
}

// One launch can serve both.
bool SameKind(const WeightShape& a, const WeightShape& b) {
  return a.layout == b.layout && a.group == b.group;
}

bool NeedsInputTotals(const WeightShape& shape) {
  return HasGroups(shape.layout) && shape.group == shape.columns &&
         (shape.layout == WeightLayout::kInt4Min || shape.layout == WeightLayout::kInt5Min);
}

// Rows of the input.
int64_t RowsOf(const Matvec& op) { return op.paired ? 2 * op.tokens : op.tokens; }

absl::Status Check(const Matvec& op) {
  const int64_t most = op.paired ? kMaxMatvecTokens / 2 : kMaxMatvecTokens;
  if (op.tokens < 1 || op.tokens > most) {
    return absl::InvalidArgumentError(absl::StrCat("matvec: ", op.tokens,
                                                   op.paired ? " tokens of pairs" : " tokens",
                                                   " (1 to ", most, "; use the GEMM for more)"));
  }
  if (op.outputs.empty() || op.outputs.size() > kMaxMatvecParts) {
    return absl::InvalidArgumentError(
        absl::StrCat("matvec: ", op.outputs.size(), " outputs (1 to ", kMaxMatvecParts, ")"));
  }
  const WeightShape& first = op.outputs[0].weight.shape;
  for (const Matvec::Output& output : op.outputs) {
    if (output.weight.shape.columns != first.columns) {
      return absl::InvalidArgumentError(
          absl::StrCat("matvec: weights of ", output.weight.shape.columns, " and ", first.columns,
                       " columns cannot share an input"));
    }
  }
  if (op.gated && (op.outputs.size() != 2 || op.outputs[1].weight.shape.rows != first.rows)) {
    return absl::InvalidArgumentError("matvec: a gated product needs two weights of equal shape");
  }
  if (op.norm.x != nullptr && !CanFuseNorm(op)) {
    return absl::InvalidArgumentError(absl::StrCat("matvec: cannot fuse a norm of ", first.columns,
                                                   " columns for ", op.tokens, " tokens"));
  }
  return absl::OkStatus();
}

MatvecPart PlainPart(const Matvec::Output& output, int tile_rows) {
  MatvecPart part;
  part.first = part.second = MatrixFrom(output.weight);
  part.second_row = tile_rows / 2;
  part.tile_step = tile_rows;
  part.out = output.out;
  return part;
}

MatvecPart GatedPart(const Matvec& op, int tile_rows) {
  MatvecPart part = PlainPart(op.outputs[0], tile_rows);
  part.second = MatrixFrom(op.outputs[1].weight);
  part.second_row = 0;
  part.tile_step = tile_rows / 2;
  return part;
}

// Sums that a block leaves for its neighbour, and flags, 0 between launches.
Region BoundarySums(const Device& device) {
  const size_t blocks = static_cast<size_t>(device.multiprocessors) + 1;
  return {"matvec: sums of shared tiles", blocks * kTileRows * kMaxMatvecTokens * sizeof(float)};
}
Region BoundaryFlags(const Device& device) {
  const size_t blocks = static_cast<size_t>(device.multiprocessors) + 1;
  return {"matvec: flags of shared tiles", blocks * sizeof(uint32_t), /*zeroed=*/true};
}
// Streamed: counters of claimed tiles, 0 between launches, of which launches take turns.
constexpr Region kClaims{"matvec: claims", kStreamClaims * sizeof(uint32_t), /*zeroed=*/true};

absl::StatusOr<MatvecParams> CommonParams(const Matvec& op, const Context& context) {
  MatvecParams params;
  params.columns = static_cast<int32_t>(op.outputs[0].weight.shape.columns);
  params.tokens = static_cast<int32_t>(RowsOf(op));
  params.paired = op.paired;
  params.gated = op.gated;
  params.half_out = op.half_out;
  params.softcap = op.softcap;
  params.in = op.in;
  params.in_stride = params.columns;
  params.norm = op.norm;
  GEMMA_ASSIGN_OR_RETURN(params.boundary_sums,
                         context.workspace->Find<float>(BoundarySums(context.device)));
  GEMMA_ASSIGN_OR_RETURN(params.boundary_flags,
                         context.workspace->Find<uint32_t>(BoundaryFlags(context.device)));
  return params;
}

void AddPart(MatvecPart part, MatvecParams& params) {
  const int32_t before = params.part_count == 0 ? 0 : params.parts[params.part_count - 1].tile_end;
  part.tile_end = before + (part.first.rows + part.tile_step - 1) / part.tile_step;
  params.parts[params.part_count++] = part;
}

// Sets the columns [first, first + count) that the launch covers.
void SetColumns(Layout layout, int first, int count, MatvecParams& params) {
  params.first_column = first;
  params.units_per_tile = (count + UnitColumns(layout) - 1) / UnitColumns(layout);
  params.total_units = params.parts[params.part_count - 1].tile_end * params.units_per_tile;
  const Matrix& matrix = params.parts[0].first;
  const int aligned = IsFloat(layout) ? UnitColumns(layout) : 256;
  const bool aligned_scales =
      !HasGroups(static_cast<WeightLayout>(layout)) || matrix.float_scales || matrix.group == 32;
  params.group = matrix.float_scales ? 0 : matrix.group;
  params.float_scales = matrix.float_scales;
  bool whole = params.columns % aligned == 0 && aligned_scales &&
               params.units_per_tile * UnitColumns(layout) == params.columns;
  for (int i = 0; i < params.part_count; ++i)
    whole = whole && params.parts[i].first.rows % params.parts[i].tile_step == 0;
  params.full_rows = whole;
}

// Chooses the grid for the columns set. False when the input does not fit shared memory.
bool FitLaunch(Layout layout, const Context& context, MatvecParams& params, MatvecLaunch& launch) {
  const MatvecShared shared = MatvecSharedOf(layout, TokenSlots(params), params.units_per_tile);
  if (static_cast<size_t>(shared.bytes) > context.device.shared_bytes) return false;
  const int tiles = params.total_units / params.units_per_tile;
  // Two blocks may share a tile, three may not.
  params.whole_tiles = params.total_units / context.device.multiprocessors < params.units_per_tile;
  launch.blocks = params.whole_tiles ? std::min(tiles, context.device.multiprocessors)
                                     : context.device.multiprocessors;
  return true;
}

// One launch of outputs with equal layouts, or several over slices of the columns when the input of
// all tokens does not fit shared memory.
absl::Status LaunchTiles(Layout layout, const Matvec& op, const Context& context,
                         MatvecParams& params) {
  MatvecLaunch launch;
  launch.overlap = context.overlap;
  launch.stream = context.stream;
  const LaunchFunction function = LauncherOf(static_cast<WeightLayout>(layout));
  const int columns = params.columns;
  int slice = columns;
  SetColumns(layout, 0, slice, params);
  while (!FitLaunch(layout, context, params, launch)) {
    slice = (slice / 2 + kSliceColumns - 1) / kSliceColumns * kSliceColumns;
    SetColumns(layout, 0, slice, params);
  }
  if (slice < columns &&
      (op.half_out || op.gated || op.softcap > 0 || params.parts[0].first.float_scales)) {
    return absl::InvalidArgumentError(
        absl::StrCat("matvec: ", op.tokens, op.paired ? " tokens of pairs of " : " tokens of ",
                     columns, " columns do not fit shared memory (use fewer tokens)"));
  }
  for (int first = 0; first < columns; first += slice) {
    SetColumns(layout, first, std::min(slice, columns - first), params);
    FitLaunch(layout, context, params, launch);
    params.accumulate = first > 0;
    GEMMA_RETURN_IF_ERROR(ToStatus(function(params, launch), "matvec"));
  }
  return absl::OkStatus();
}

// Pieces that rows are cut into, or 0 where they cannot be: each is a multiple of 256 columns and
// at most kMaxPieceColumns.
int StreamPieces(int columns) {
  for (int pieces = 1; columns % 256 == 0 && pieces <= columns / 256; ++pieces) {
    if (columns / 256 % pieces == 0 && columns / pieces <= kMaxPieceColumns) return pieces;
  }
  return 0;
}

// Params of a streamed launch, or false where there is none.
bool PlanStream(const Context& context, MatvecParams& params, MatvecStream& stream) {
  const Matrix& first = params.parts[0].first;
  const bool has_kernel = context.device.compute_major >= 9 && params.tokens <= kMaxStreamTokens &&
                          (first.layout == Layout::kInt4 || first.layout == Layout::kInt4Min);
  if (!has_kernel || first.group != 32 || first.float_scales) return false;
  for (int i = 0; i < params.part_count; ++i) {
    if (params.parts[i].first.rows % params.parts[i].tile_step != 0) return false;
  }
  stream.pieces = StreamPieces(params.columns);
  if (stream.pieces == 0) return false;
  stream.piece_columns = params.columns / stream.pieces;
  stream.tiles = params.parts[params.part_count - 1].tile_end;
  for (stream.stages = kMaxStreamStages; stream.stages > 1; --stream.stages) {
    const StreamShared layout = StreamSharedOf(params.columns, stream.piece_columns,
                                               HasMins(first.layout), params.tokens, stream.stages);
    if (static_cast<size_t>(layout.bytes) <= context.device.shared_bytes) return true;
  }
  return false;
}

// What to bring near of the product that follows: its first rows, in proportion to the outputs.
void PlanPrefetch(const Matvec& next, MatvecStream& stream) {
  constexpr int64_t kBudget = int64_t{8} << 20;  // of values; measured
  int ranges = 0;
  int64_t left = kBudget;
  auto add = [&](const WeightView& weight, uint64_t plane, int64_t bytes) {
    if (plane == WeightPlanes::kAbsent || ranges == MatvecStream::kMaxRanges) return;
    stream.next[ranges++] = {weight.plane(plane), bytes / 16 * 16};
  };
  for (const Matvec::Output& output : next.outputs) {
    const WeightShape& shape = output.weight.shape;
    const int64_t row_bytes =
        int64_t{shape.columns / 32} * ValueBytes(static_cast<Layout>(shape.layout));
    if (row_bytes == 0) continue;
    const int64_t share = next.gated ? kBudget / 2 : left;
    const int64_t rows = std::min<int64_t>(shape.rows, share / row_bytes);
    add(output.weight, output.weight.planes.values, rows * row_bytes);
    if (HasGroups(shape.layout) && !output.weight.planes.float_scales) {
      const int64_t scale_bytes = rows * (shape.columns / shape.group) * 2;
      add(output.weight, output.weight.planes.scales, scale_bytes);
      add(output.weight, output.weight.planes.mins, scale_bytes);
    }
    left -= rows * row_bytes;
  }
}

absl::Status LaunchStream(const Matvec& op, const Context& context, MatvecParams& params,
                          MatvecStream& stream) {
  if (op.next != nullptr) PlanPrefetch(*op.next, stream);
  SetColumns(params.parts[0].first.layout, 0, params.columns, params);
  GEMMA_ASSIGN_OR_RETURN(uint32_t* const claims, context.workspace->Find<uint32_t>(kClaims));
  stream.claims = claims + context.workspace->NextTurn() % kStreamClaims;
  MatvecLaunch launch;
  launch.blocks = context.device.multiprocessors;
  launch.overlap = context.overlap;
  launch.stream = context.stream;
  return ToStatus(LaunchMatvecStream(params, stream, launch), "matvec");
}

absl::StatusOr<MatvecParams> ParamsOf(const Matvec& op, const std::vector<size_t>& outputs,
                                      const Context& context, int tile_rows) {
  GEMMA_ASSIGN_OR_RETURN(MatvecParams params, CommonParams(op, context));
  for (const size_t i : outputs)
    AddPart(op.gated ? GatedPart(op, tile_rows) : PlainPart(op.outputs[i], tile_rows), params);
  return params;
}

// Outputs of one layout and group, which one launch can serve.
absl::Status LaunchOutputs(const Matvec& op, const std::vector<size_t>& outputs,
                           const Context& context) {
  GEMMA_ASSIGN_OR_RETURN(MatvecParams params, ParamsOf(op, outputs, context, kStreamTileRows));
  MatvecStream stream;
  if (PlanStream(context, params, stream)) return LaunchStream(op, context, params, stream);
  GEMMA_ASSIGN_OR_RETURN(params, ParamsOf(op, outputs, context, kTileRows));
  return LaunchTiles(params.parts[0].first.layout, op, context, params);
}

absl::Status LaunchAnyShape(const Context& context, const MatvecParams& params) {
  MatvecLaunch launch;
  launch.overlap = context.overlap;
  launch.stream = context.stream;
  return ToStatus(LaunchMatvecAnyShape(params, launch), "matvec");
}

}  // namespace

Regions MatvecRegions(const Device& device) {
  return {BoundarySums(device), BoundaryFlags(device), kClaims};
}

bool CanFuseNorm(const Matvec& op) {
  return op.tokens == 1 && !op.outputs.empty() &&
         op.outputs[0].weight.shape.columns <= kMaxFusedNormColumns && AllHaveTiles(op) &&
         std::none_of(op.outputs.begin(), op.outputs.end(),
                      [](const auto& output) { return NeedsInputTotals(output.weight.shape); });
}

absl::Status RunMatvec(const Matvec& op, const Context& context) {
  GEMMA_RETURN_IF_ERROR(Check(op));
  const bool tiles = AllHaveTiles(op) && (!op.gated || SameKind(op.outputs[0].weight.shape,
                                                                op.outputs[1].weight.shape));
  if (!tiles) {
    GEMMA_ASSIGN_OR_RETURN(MatvecParams params, CommonParams(op, context));
    if (op.gated) {
      AddPart(GatedPart(op, kTileRows), params);
    } else {
      for (const Matvec::Output& output : op.outputs) AddPart(PlainPart(output, kTileRows), params);
    }
    return LaunchAnyShape(context, params);
  }
  if (op.gated) return LaunchOutputs(op, {0}, context);
  // Outputs of one layout and group go into one launch.
  std::vector<bool> done(op.outputs.size(), false);
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    if (done[i]) continue;
    std::vector<size_t> outputs;
    for (size_t j = i; j < op.outputs.size(); ++j) {
      if (!SameKind(op.outputs[j].weight.shape, op.outputs[i].weight.shape)) continue;
      outputs.push_back(j);
      done[j] = true;
    }
    GEMMA_RETURN_IF_ERROR(LaunchOutputs(op, outputs, context));
  }
  return absl::OkStatus();
}

}  // namespace gemma::cuda
