// The matrix-vector product of 4-bit weights for one to eight tokens, as fast as memory can be
// read.
//
// Persistent and warp-specialized. Rows are cut into tiles of 16. The first tiles of each block are
// its own, all others are claimed from a counter, since some multiprocessors read a fifth faster
// than others. Of a block's warps, one claims tiles and has them copied into a ring in shared
// memory, chunk by chunk (where rows are long, a chunk is a piece of them); 14 multiply, each its
// own groups of all chunks; and one or two add up their sums and store outputs. They meet at
// barriers only. Weights depend on no kernel, so the ring fills while the block waits for
// the kernel that makes the input, and what the next kernel reads first is on its way when this one
// has nothing left to claim: memory hardly idles between two products.
//
// The input of one or two tokens lies in shared memory, that of more in registers
// (stream_tokens.h). Where the latter would be too few, the columns are cut into slices (split-K):
// a block has one of them and its part of the input, and the last block to come with its sums of a
// tile adds those of all slices in their order. (With one token slices cost more than they gain.)
//
// Which block computes a tile, and which comes last, does not change its sums: the same bits
// whatever the timing.
#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/matvec/input.h"
#include "cc/kernels/cuda/matvec/stream_adder.h"
#include "cc/kernels/cuda/matvec/stream_block.h"
#include "cc/kernels/cuda/matvec/stream_multiply.h"
#include "cc/kernels/cuda/matvec/stream_producer.h"

namespace gemma::cuda {
namespace {

// The warps that multiply.
template <WeightLayout kLayout, int kTokens, bool kSliced>
GEMMA_DEVICE void Multiply(const StreamBlock& block, const InputView& input) {
  using Multiplier = ChunkMultiplier<kLayout, kTokens, kSliced>;
  if constexpr (kTokens <= 2) {
    Multiplier(block, typename Multiplier::Lanes(block, input)).Run();
  } else {
    Multiplier(block, typename Multiplier::Lanes(block)).Run();
  }
}

// All warps but the producer's.
template <WeightLayout kLayout, int kTokens, bool kSliced>
GEMMA_DEVICE void Compute(const StreamBlock& block) {
  InputView view = {};
  if constexpr (kTokens <= 2) {
    constexpr int kThreads = StreamThreads(kSliced) - kWarp;
    const MatvecInput<kLayout, kTokens, kThreads, /*kAll=*/false> input(block.p, block.shared,
                                                                        block.layout.input);
    input.Prepare();
    MeetThreads(kInputBarrier, kThreads);
    view = input.View();
  } else {
    WaitForPreviousKernel();
    LetNextKernelStart();
  }
  if (WarpIndex() >= kStreamWarps) {
    TileAdder<kLayout, kTokens, kSliced>(block, WarpIndex() - kStreamWarps).Run();
  } else {
    Multiply<kLayout, kTokens, kSliced>(block, view);
  }
}

template <WeightLayout kLayout, int kTokens, bool kSliced>
__global__ void __launch_bounds__(StreamThreads(kSliced), 1)
    StreamKernel(const __grid_constant__ MatvecParams p, const __grid_constant__ MatvecStream s,
                 const __grid_constant__ StreamShared layout) {
  GEMMA_SHARED_MEMORY(shared);
  const int index = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  const int slices = kSliced ? s.slices : 1, slice = kSliced ? index % slices : 0;
  const StreamBlock block{
      p, s, layout, shared, slice, index / slices, (blocks - slice + slices - 1) / slices};
  ChunkProducer<kLayout> producer(block);
  if (WarpIndex() == StreamProducer(kSliced)) producer.InitBarriers();
  if (threadIdx.x < 16) reinterpret_cast<uint32_t*>(shared + layout.zeros)[threadIdx.x] = 0;
  __syncthreads();
  if (WarpIndex() == StreamProducer(kSliced)) {
    producer.Run();
    return;
  }
  Compute<kLayout, kTokens, kSliced>(block);
}

template <WeightLayout kLayout, int kTokens, bool kSliced = false>
cudaError_t LaunchTokens(const MatvecParams& params, const MatvecStream& stream,
                         const LaunchOptions& launch) {
  const StreamShared layout = StreamSharedOf(params.columns, stream, HasMins(kLayout));
  const LaunchShape shape{dim3(static_cast<unsigned>(params.blocks)), StreamThreads(kSliced),
                          Exclusive(layout.bytes, launch), launch};
  return Launch(StreamKernel<kLayout, kTokens, kSliced>, shape, params, stream, layout);
}

template <WeightLayout kLayout, int kTokens>
cudaError_t LaunchSlices(const MatvecParams& params, const MatvecStream& stream,
                         const LaunchOptions& launch) {
  return stream.slices > 1 ? LaunchTokens<kLayout, kTokens, true>(params, stream, launch)
                           : LaunchTokens<kLayout, kTokens>(params, stream, launch);
}

template <WeightLayout kLayout>
cudaError_t LaunchLayout(const MatvecParams& params, const MatvecStream& stream,
                         const LaunchOptions& launch) {
  switch (stream.slots) {
    case 1:
      return LaunchTokens<kLayout, 1>(params, stream, launch);
    case 2:
      return LaunchTokens<kLayout, 2>(params, stream, launch);
    case 4:
      return LaunchSlices<kLayout, 4>(params, stream, launch);
    default:
      return LaunchSlices<kLayout, 8>(params, stream, launch);
  }
}

}  // namespace

cudaError_t LaunchMatvecStream(const MatvecParams& params, const MatvecStream& stream,
                               const LaunchOptions& launch) {
  return params.parts[0].first.layout == WeightLayout::kInt4Min
             ? LaunchLayout<WeightLayout::kInt4Min>(params, stream, launch)
             : LaunchLayout<WeightLayout::kInt4>(params, stream, launch);
}

}  // namespace gemma::cuda
