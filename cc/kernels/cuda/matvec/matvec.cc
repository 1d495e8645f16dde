#include "cc/kernels/cuda/matvec/matvec.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/device/matrix_from.h"
#include "cc/kernels/cuda/matvec/params.h"
#include "cc/kernels/cuda/matvec/stream.h"

namespace gemma::cuda {
namespace {

static_assert(kMaxProductOutputs == kMaxMatvecParts);

// ---- which kernel ----

enum class Kernel { kStream, kTiles, kAnyShape };

// How some outputs of a product are computed:
// all of one layout and group, or, in the fallback, any.
struct MatvecPlan {
  Kernel kernel = Kernel::kAnyShape;
  std::vector<size_t> outputs;
  int slice = 0;  // kTiles: columns of a launch; fewer than all where the input is cut to fit
  MatvecStream stream = {};  // kStream
  size_t shared_bytes = 0;
  bool fits = true;  // false: kAnyShape for want of shared memory alone
};

// The tensor core kernel copies 4 bytes of scales at a time and multiplies blocks of 32 columns.
bool HasTiles(const WeightShape& shape) {
  if (shape.columns % (HasHalfScales(shape.layout) ? 64 : 32) != 0) return false;
  if (!HasGroups(shape.layout) || shape.group == shape.columns) return true;
  const bool group_fits = shape.group == 32 || shape.group == 64 || shape.group == 128;
  return group_fits && shape.columns / shape.group % 2 == 0;
}

bool AllHaveTiles(const Product& op) {
  const bool all = std::all_of(op.outputs.begin(), op.outputs.end(),
                               [](const auto& o) { return HasTiles(o.weight.shape); });
  return all && (!op.gated || SameKind(op.outputs[0].weight.shape, op.outputs[1].weight.shape));
}

bool NeedsInputTotals(const WeightShape& shape) {
  return HasMins(shape.layout) && shape.group == shape.columns;
}

int Columns(const Product& op) { return static_cast<int>(op.outputs[0].weight.shape.columns); }

int SlotsOf(const Product& op) {
  MatvecParams params;
  params.tokens = static_cast<int32_t>(op.rows());
  return TokenSlots(params);
}

// Sums over slices of the columns can be added to what is there.
bool CanBeCut(const Product& op, const WeightShape& shape) {
  const bool row_scales = HasGroups(shape.layout) && shape.group == shape.columns;
  return op.out_number == Number::kFloat32 && !op.gated && !(op.softcap > 0) && !row_scales &&
         op.norm.x == nullptr;
}

size_t TileBytes(const Product& op, WeightLayout layout, int columns) {
  const int units = (columns + UnitColumns(layout) - 1) / UnitColumns(layout);
  return static_cast<size_t>(MatvecSharedOf(layout, SlotsOf(op), units).bytes);
}

// The most columns whose input fits shared memory beside a ring of weights; 0: not even the fewest.
int LargestSlice(const Product& op, const WeightShape& shape, const Device& device) {
  int slice = Columns(op);
  while (TileBytes(op, shape.layout, slice) > device.shared_bytes) {
    if (!CanBeCut(op, shape) || slice <= kSliceColumns) return 0;
    slice = (slice / 2 + kSliceColumns - 1) / kSliceColumns * kSliceColumns;
  }
  return slice;
}

// The largest slice of so many columns that a block takes the input of.
int SliceColumns(int columns) {
  for (int slices = 1; slices <= kMaxStreamSlices; ++slices) {
    if (columns % (256 * slices) == 0 && columns / slices <= kMaxPieceColumns)
      return columns / slices;
  }
  return columns;
}

// Pieces that rows are cut into, or 0 where they cannot be: each is a multiple of 256 columns and
// at most kMaxPieceColumns.
int StreamPieces(int columns) {
  for (int pieces = 1; columns % 256 == 0 && pieces <= columns / 256; ++pieces) {
    if (columns / 256 % pieces == 0 && columns / pieces <= kMaxPieceColumns) return pieces;
  }
  return 0;
}

// Rows of `first` from one tile to the next.
int TileStep(const Product& op, int tile_rows) { return op.gated ? tile_rows / 2 : tile_rows; }

bool HasStreamKernel(const Product& op, const std::vector<size_t>& outputs, const Device& device) {
  const WeightShape& shape = op.outputs[outputs[0]].weight.shape;
  if (!device.features().bulk_copies || op.rows() > kMaxDecodeTokens) return false;
  if (shape.layout != WeightLayout::kInt4 && shape.layout != WeightLayout::kInt4Min) return false;
  if (shape.group != 32) return false;
  const uint32_t step = static_cast<uint32_t>(TileStep(op, kStreamTileRows));
  return std::all_of(outputs.begin(), outputs.end(),
                     [&](size_t i) { return op.outputs[i].weight.shape.rows % step == 0; });
}

// There is room for the sums of so many tiles.
bool CanBeSliced(const Product& op, const std::vector<size_t>& outputs, const Device& device) {
  if (op.gated) return false;
  int64_t tiles = 0;
  for (const size_t i : outputs)
    tiles += op.outputs[i].weight.shape.rows / static_cast<uint32_t>(kStreamTileRows);
  return tiles <= kMaxSlicedTiles &&
         Columns(op) / SliceColumns(Columns(op)) <= device.multiprocessors;
}

int StreamSlots(int64_t tokens) {
  return tokens <= 2 ? static_cast<int>(tokens) : tokens <= 4 ? 4 : kMaxDecodeTokens;
}

std::optional<MatvecPlan> PlanStream(const Product& op, const std::vector<size_t>& outputs,
                                     const Device& device) {
  if (!HasStreamKernel(op, outputs, device)) return std::nullopt;
  const int columns = Columns(op);
  MatvecPlan plan{.kernel = Kernel::kStream, .outputs = outputs, .slice = columns};
  MatvecStream& stream = plan.stream;
  stream.slots = StreamSlots(op.rows());
  const bool sliced = stream.slots > 2 && CanBeSliced(op, outputs, device);
  stream.slice_columns = sliced ? SliceColumns(columns) : columns;
  stream.slices = columns / stream.slice_columns;
  stream.pieces = StreamPieces(stream.slice_columns);
  if (stream.pieces == 0 || (stream.slots > 2 && stream.pieces > 1)) return std::nullopt;
  stream.piece_columns = stream.slice_columns / stream.pieces;
  const bool mins = HasMins(op.outputs[outputs[0]].weight.shape.layout);
  for (stream.stages = kMaxStreamStages; stream.stages > 1; --stream.stages) {
    plan.shared_bytes = static_cast<size_t>(StreamSharedOf(columns, stream, mins).bytes);
    if (plan.shared_bytes <= device.shared_bytes) return plan;
  }
  return std::nullopt;
}

MatvecPlan PlanOutputs(const Product& op, const std::vector<size_t>& outputs,
                       const Device& device) {
  if (auto stream = PlanStream(op, outputs, device); stream.has_value()) return *stream;
  const WeightShape& shape = op.outputs[outputs[0]].weight.shape;
  const int slice = LargestSlice(op, shape, device);
  if (slice == 0) return {.outputs = outputs, .fits = false};
  return {.kernel = Kernel::kTiles,
          .outputs = outputs,
          .slice = slice,
          .shared_bytes = TileBytes(op, shape.layout, slice)};
}

std::vector<MatvecPlan> PlansOf(const Product& op, const Device& device) {
  if (!AllHaveTiles(op)) {
    MatvecPlan plan;
    for (size_t i = 0; i < op.outputs.size(); ++i) plan.outputs.push_back(i);
    return {plan};
  }
  if (op.gated) return {PlanOutputs(op, {0}, device)};
  std::vector<MatvecPlan> plans;
  std::vector<bool> done(op.outputs.size(), false);
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    if (done[i]) continue;
    std::vector<size_t> outputs;
    for (size_t j = i; j < op.outputs.size(); ++j) {
      if (!SameKind(op.outputs[j].weight.shape, op.outputs[i].weight.shape)) continue;
      outputs.push_back(j);
      done[j] = true;
    }
    plans.push_back(PlanOutputs(op, outputs, device));
  }
  return plans;
}

absl::Status Check(const Product& op, const Device& device) {
  GEMMA_RETURN_IF_ERROR(CheckProduct("matvec", op));
  const int64_t most = kMaxDecodeTokens / RowsOf(op.in_number);
  if (op.tokens > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("matvec: ", op.tokens, IsPair(op.in_number) ? " tokens of pairs" : " tokens",
                     " (1 to ", most, "; use the GEMM for more)"));
  }
  if (op.norm.x != nullptr && !CanFuseNorm(op, device)) {
    return absl::InvalidArgumentError(absl::StrCat("matvec: cannot fuse a norm of ", Columns(op),
                                                   " columns for ", op.tokens, " tokens"));
  }
  return absl::OkStatus();
}

// ---- parameters ----

// Sums that a block leaves for its neighbour, and flags, 0 between launches.
Region BoundarySums(const Device& device) {
  const size_t blocks = static_cast<size_t>(device.multiprocessors) + 1;
  return {"matvec: sums of shared tiles", blocks * kTileRows * kMaxDecodeTokens * sizeof(float)};
}
Region BoundaryFlags(const Device& device) {
  const size_t blocks = static_cast<size_t>(device.multiprocessors) + 1;
  return {"matvec: flags of shared tiles", blocks * sizeof(uint32_t), /*zeroed=*/true};
}
// Streamed: counters of claimed tiles, 0 between launches, of which launches take turns.
constexpr Region kClaims{"matvec: claims", kStreamClaims * kMaxStreamSlices * sizeof(uint32_t),
                         /*zeroed=*/true};
constexpr Region kSliceSums{
    "matvec: sums of slices",
    size_t{kMaxSlicedTiles} * kMaxStreamSlices * StreamOutputs(kMaxDecodeTokens) * sizeof(float)};
constexpr Region kSliceCounters{"matvec: counters of slices", kMaxSlicedTiles * sizeof(uint32_t),
                                /*zeroed=*/true};

absl::StatusOr<MatvecParams> CommonParams(const Product& op, const Context& context) {
  MatvecParams params;
  params.columns = Columns(op);
  params.tokens = static_cast<int32_t>(op.rows());
  params.in_number = op.in_number;
  params.out_number = op.out_number;
  params.gated = op.gated;
  params.softcap = op.softcap;
  params.in = op.in;
  params.in_stride = params.columns;
  params.norm = op.norm;
  params.blocks = context.device.multiprocessors;
  GEMMA_ASSIGN_OR_RETURN(params.boundary_sums,
                         context.workspace->Find<float>(BoundarySums(context.device)));
  GEMMA_ASSIGN_OR_RETURN(params.boundary_flags,
                         context.workspace->Find<uint32_t>(BoundaryFlags(context.device)));
  return params;
}

MatvecPart PartOf(const Product& op, size_t output, int tile_rows) {
  MatvecPart part;
  part.first = MatrixFrom(op.outputs[output].weight);
  part.second = op.gated ? MatrixFrom(op.outputs[1].weight) : part.first;
  part.second_row = op.gated ? 0 : tile_rows / 2;
  part.tile_step = TileStep(op, tile_rows);
  part.out = op.outputs[output].out;
  return part;
}

void AddPart(MatvecPart part, MatvecParams& params) {
  const int32_t before = params.part_count == 0 ? 0 : params.parts[params.part_count - 1].tile_end;
  part.tile_end = before + (part.first.rows + part.tile_step - 1) / part.tile_step;
  params.parts[params.part_count++] = part;
}

absl::StatusOr<MatvecParams> ParamsOf(const Product& op, const MatvecPlan& plan,
                                      const Context& context) {
  GEMMA_ASSIGN_OR_RETURN(MatvecParams params, CommonParams(op, context));
  const int tile_rows = plan.kernel == Kernel::kStream ? kStreamTileRows : kTileRows;
  for (const size_t i : plan.outputs) {
    if (op.gated && i > 0) continue;
    AddPart(PartOf(op, i, tile_rows), params);
  }
  return params;
}

// Sets the columns [first, first + count) that the launch covers.
void SetColumns(int first, int count, MatvecParams& params) {
  const Matrix& matrix = params.parts[0].first;
  const WeightLayout layout = matrix.layout;
  params.first_column = first;
  params.units_per_tile = (count + UnitColumns(layout) - 1) / UnitColumns(layout);
  params.total_units = params.parts[params.part_count - 1].tile_end * params.units_per_tile;
  const int aligned = IsFloat(layout) ? UnitColumns(layout) : 256;
  const bool aligned_scales = !HasGroups(layout) || matrix.float_scales || matrix.group == 32;
  params.group = matrix.float_scales ? 0 : matrix.group;
  params.float_scales = matrix.float_scales;
  bool whole = params.columns % aligned == 0 && aligned_scales &&
               params.units_per_tile * UnitColumns(layout) == params.columns;
  for (int i = 0; i < params.part_count; ++i)
    whole = whole && params.parts[i].first.rows % params.parts[i].tile_step == 0;
  params.full_rows = whole;
}

// ---- launches ----

void ChooseGrid(const Device& device, MatvecParams& params) {
  const int tiles = params.total_units / params.units_per_tile;
  // Two blocks may share a tile, three may not.
  params.whole_tiles = params.total_units / device.multiprocessors < params.units_per_tile;
  params.blocks =
      params.whole_tiles ? std::min(tiles, device.multiprocessors) : device.multiprocessors;
}

constexpr auto kLaunchers =
    ForEachLayout([]<WeightLayout kLayout>() { return &LaunchMatvec<kLayout>; });

// One launch, or one for each slice of the columns.
absl::Status LaunchTiles(const MatvecPlan& plan, const Context& context, MatvecParams& params) {
  const auto launch = kLaunchers[static_cast<size_t>(params.parts[0].first.layout)];
  for (int first = 0; first < params.columns; first += plan.slice) {
    SetColumns(first, std::min(plan.slice, params.columns - first), params);
    ChooseGrid(context.device, params);
    params.accumulate = first > 0;
    GEMMA_RETURN_IF_ERROR(ToStatus(launch(params, context.launch()), "matvec"));
  }
  return absl::OkStatus();
}

absl::Status LaunchStream(const Product& op, const MatvecPlan& plan, const Context& context,
                          MatvecParams& params) {
  MatvecStream stream = plan.stream;
  stream.prefetch = op.prefetch;
  SetColumns(0, stream.slice_columns, params);
  stream.tiles = params.parts[params.part_count - 1].tile_end;
  GEMMA_ASSIGN_OR_RETURN(uint32_t* const claims, context.workspace->Find<uint32_t>(kClaims));
  stream.claims = claims + context.workspace->NextTurn() % kStreamClaims * kMaxStreamSlices;
  GEMMA_ASSIGN_OR_RETURN(stream.slice_sums, context.workspace->Find<float>(kSliceSums));
  GEMMA_ASSIGN_OR_RETURN(stream.slice_counters, context.workspace->Find<uint32_t>(kSliceCounters));
  return ToStatus(LaunchMatvecStream(params, stream, context.launch()), "matvec");
}

absl::Status LaunchPlan(const Product& op, const MatvecPlan& plan, const Context& context) {
  GEMMA_ASSIGN_OR_RETURN(MatvecParams params, ParamsOf(op, plan, context));
  switch (plan.kernel) {
    case Kernel::kStream:
      return LaunchStream(op, plan, context, params);
    case Kernel::kTiles:
      return LaunchTiles(plan, context, params);
    case Kernel::kAnyShape:
      break;
  }
  return ToStatus(LaunchMatvecAnyShape(params, context.launch()), "matvec");
}

absl::string_view NameOf(Kernel kernel) {
  switch (kernel) {
    case Kernel::kStream:
      return "matvec stream";
    case Kernel::kTiles:
      return "matvec tiles";
    case Kernel::kAnyShape:
      break;
  }
  return "matvec any shape";
}

}  // namespace

Regions MatvecRegions(const Device& device) {
  return {BoundarySums(device), BoundaryFlags(device), kClaims, kSliceSums, kSliceCounters};
}

bool CanFuseNorm(const Product& op, const Device& device) {
  if (op.tokens != 1 || op.outputs.empty() || Columns(op) > kMaxFusedNormColumns) return false;
  if (!AllHaveTiles(op)) return false;
  if (std::any_of(op.outputs.begin(), op.outputs.end(),
                  [](const auto& output) { return NeedsInputTotals(output.weight.shape); }))
    return false;
  const std::vector<MatvecPlan> plans = PlansOf(op, device);
  return std::all_of(plans.begin(), plans.end(), [&](const MatvecPlan& plan) {
    return plan.kernel == Kernel::kStream ||
           (plan.kernel == Kernel::kTiles && plan.slice == Columns(op));
  });
}

bool MatvecStreams(const Product& op, const Device& device) {
  const std::vector<MatvecPlan> plans = PlansOf(op, device);
  return std::all_of(plans.begin(), plans.end(),
                     [](const MatvecPlan& plan) { return plan.kernel == Kernel::kStream; });
}

bool MatvecFits(const Product& op, const Device& device) {
  const std::vector<MatvecPlan> plans = PlansOf(op, device);
  return std::all_of(plans.begin(), plans.end(), [](const MatvecPlan& plan) { return plan.fits; });
}

std::vector<PlannedLaunch> PlanMatvec(const Product& op, const Device& device) {
  std::vector<PlannedLaunch> launches;
  for (const MatvecPlan& plan : PlansOf(op, device))
    launches.push_back({NameOf(plan.kernel), plan.shared_bytes});
  return launches;
}

absl::Status RunMatvec(const Product& op, const Context& context) {
  GEMMA_RETURN_IF_ERROR(Check(op, context.device));
  for (const MatvecPlan& plan : PlansOf(op, context.device))
    GEMMA_RETURN_IF_ERROR(LaunchPlan(op, plan, context));
  return absl::OkStatus();
}

}  // namespace gemma::cuda
