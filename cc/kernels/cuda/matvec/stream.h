// The shared memory of the streamed product (stream.cu), for the kernel and its launcher.
#ifndef CC_KERNELS_CUDA_MATVEC_STREAM_H_
#define CC_KERNELS_CUDA_MATVEC_STREAM_H_

#include <cstdint>

#include "cc/kernels/cuda/matvec/params.h"

namespace gemma::cuda {

// A stage of the ring holds a chunk: 16 rows of a piece of the columns. Where rows are cut, those
// of each plane are padded so that reads of neighbouring rows meet different banks; whole rows lie
// as they come, in a few large copies.
struct StreamStage {
  int value_bytes = 0;  // of a row
  int value_row = 0;    // from one row to the next
  int scale_bytes = 0;
  int scale_row = 0;
  int scales = 0;
  int mins = 0;
  int bytes = 0;
};

constexpr StreamStage StreamStageOf(int columns, int piece_columns, bool has_mins, int tokens) {
  StreamStage s;
  const bool whole = columns == piece_columns;
  s.value_bytes = piece_columns / 2;
  // Lanes read 16 bytes of four groups of two rows at once, or, with more tokens, a word of one
  // group of eight rows.
  const int apart = tokens > 2 ? 16 : whole ? 0 : 64;
  s.value_row = s.value_bytes + apart;
  s.scale_bytes = piece_columns / 16;
  s.scale_row = s.scale_bytes + (whole || s.scale_bytes / 16 % 2 == 1 ? 0 : 16);
  s.scales = kStreamTileRows * s.value_row;
  s.mins = s.scales + kStreamTileRows * s.scale_row;
  s.bytes = s.mins + (has_mins ? kStreamTileRows * s.scale_row : 0);
  return s;
}

struct StreamShared {
  StreamStage stage;
  MatvecShared input;    // the input's offsets alone
  int64_t zeros = 0;     // 64 bytes
  int64_t partials = 0;  // [slot][warp][StreamOutputs] float32
  int64_t barriers = 0;  // full, empty [stage], sums_full, sums_empty [slot]
  int64_t tiles = 0;     // [stage], [slot] int32
  int64_t bytes = 0;
};

inline constexpr int kStreamSlots = 4;
// What sums of more than two tokens start from: [warp][set][group of the set][pair of tokens] float2.
inline constexpr int kTokenStarts = kWarpSets * 4 * 4;

// `columns` of the matrix; `stream` needs its slots, slices, pieces and stages alone.
constexpr StreamShared StreamSharedOf(int columns, const MatvecStream& stream, bool has_mins) {
  StreamShared s;
  const int tokens = stream.slots;
  s.stage = StreamStageOf(columns, stream.piece_columns, has_mins, tokens);
  const bool shared_input = tokens <= 2;
  s.input.activations = int64_t{stream.stages} * s.stage.bytes;
  s.input.activation_stride = int64_t{stream.slice_columns} * 2 + 64;
  s.input.sums = s.input.activations + (shared_input ? tokens * s.input.activation_stride : 0);
  const int64_t sums = shared_input ? stream.slice_columns / 32 * StartsPerGroup(tokens) * 16
                                    : kStreamWarps * kTokenStarts * 8;
  // Lanes that add nothing read zeros, from other banks than those that do (stream_multiply.h).
  s.zeros = (s.input.sums + sums + 127) / 128 * 128 + 32;
  s.partials = s.zeros + 64;
  s.barriers = s.partials + int64_t{kStreamSlots} * kStreamWarps * StreamOutputs(tokens) * 4;
  s.tiles = s.barriers + (kMaxStreamStages + kStreamSlots) * 2 * 8;
  s.input.scratch = s.tiles + (kMaxStreamStages + kStreamSlots) * 4;
  s.bytes = s.input.scratch + (kMatvecThreads / 32) * 4;
  return s;
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_STREAM_H_
