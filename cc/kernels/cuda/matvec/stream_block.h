// What all warps of a block of the streamed product know (stream.cu): its shared memory and
// barriers.
#ifndef CC_KERNELS_CUDA_MATVEC_STREAM_BLOCK_H_
#define CC_KERNELS_CUDA_MATVEC_STREAM_BLOCK_H_

#include "cc/kernels/cuda/device/barrier.h"
#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/matvec/params.h"
#include "cc/kernels/cuda/matvec/stream.h"

namespace gemma::cuda {

// Warps that add: sums of slices pass through device memory. (With one, 16 warps in all, the others
// may have 128 registers a thread instead of 96.)
constexpr int StreamAdders(bool sliced) { return sliced ? 2 : 1; }
constexpr int StreamProducer(bool sliced) { return kStreamWarps + StreamAdders(sliced); }
constexpr int StreamThreads(bool sliced) { return (StreamProducer(sliced) + 1) * kWarp; }
// Instead of a tile: there is no other.
inline constexpr int kStreamEnd = -1;

// What all warps of a block know.
struct StreamBlock {
  const MatvecParams& p;
  const MatvecStream& s;
  const StreamShared& layout;
  std::byte* shared;

  int slice;   // of the columns; neighbouring blocks have different ones
  int rank;    // among the blocks of the slice
  int blocks;  // of the slice

  GEMMA_DEVICE Barrier* Barriers() const {
    return reinterpret_cast<Barrier*>(shared + layout.barriers);
  }
  GEMMA_DEVICE Barrier& Full(int stage) const { return Barriers()[stage]; }
  GEMMA_DEVICE Barrier& Empty(int stage) const { return Barriers()[kMaxStreamStages + stage]; }
  GEMMA_DEVICE Barrier& SumsFull(int slot) const { return Barriers()[2 * kMaxStreamStages + slot]; }
  GEMMA_DEVICE Barrier& SumsEmpty(int slot) const {
    return Barriers()[2 * kMaxStreamStages + kStreamSlots + slot];
  }
  GEMMA_DEVICE int32_t& TileOfStage(int stage) const {
    return reinterpret_cast<int32_t*>(shared + layout.tiles)[stage];
  }
  GEMMA_DEVICE int32_t& TileOfSlot(int slot) const {
    return reinterpret_cast<int32_t*>(shared + layout.tiles)[kMaxStreamStages + slot];
  }
  GEMMA_DEVICE std::byte* Stage(int stage) const { return shared + stage * layout.stage.bytes; }
  // [kTokens][kStreamTileRows]
  template <int kTokens>
  GEMMA_DEVICE float* Partials(int slot, int warp) const {
    return reinterpret_cast<float*>(shared + layout.partials) +
           (slot * kStreamWarps + warp) * StreamOutputs(kTokens);
  }
};

// A place in a ring of `size`, and the parity of the phases of its barriers.
struct ChunkPlace {
  int index = 0;
  int parity = 0;

  GEMMA_DEVICE void Advance(int size) {
    if (++index < size) return;
    index = 0;
    parity ^= 1;
  }
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_STREAM_BLOCK_H_
