// Queries, keys and values of many tokens: a block for each token, a warp for each head.
#include "cc/kernels/cuda/attention/rope.h"
#include "cc/kernels/cuda/device/launch.h"

namespace gemma::cuda {
namespace {

constexpr int kThreads = kAttentionWarps * kWarp;

template <int kHeadDim, int kRotated, bool kPaired>
__global__ void __launch_bounds__(kThreads)
    PrepareKernel(const __grid_constant__ PrepareParams p, uint16_t* __restrict__ q_out) {
  constexpr int kTurned = kRotatedPairs<kHeadDim, kRotated>;
  constexpr int kColumns = (kPaired ? 2 : 1) * kHeadDim + kRotated;
  GEMMA_SHARED_MEMORY(shared);
  Rotation* const rotations = reinterpret_cast<Rotation*>(shared);
  const int64_t token = blockIdx.x;
  const int64_t position = *p.start + token;
  for (int i = static_cast<int>(threadIdx.x); i < kTurned; i += kThreads) {
    rotations[i] = RotationOf(position, p.frequencies[i]);
  }
  HeadVector<kHeadDim> q_norm, k_norm;
  q_norm.Load(p.q_norm);
  k_norm.Load(p.k_norm);
  WaitForPreviousKernel();
  LetNextKernelStart();
  __syncthreads();
  for (int i = WarpIndex(); i < p.heads + p.cache.kv_heads; i += kAttentionWarps) {
    if (i < p.heads) {
      const int64_t row = token * p.heads + i;
      PrepareQuery<kHeadDim, kRotated, kPaired>(p, row * kHeadDim, q_norm, k_norm, rotations,
                                                q_out + row * kColumns);
    } else {
      const int head = i - p.heads;
      const int64_t slot = SlotOf(p.cache, head, position);
      PrepareKeyValue<kHeadDim, kRotated, kPaired>(
          p, (token * p.cache.kv_heads + head) * kHeadDim, k_norm, rotations,
          p.cache.keys + slot * (kPaired ? kColumns : kHeadDim),
          p.cache.values + slot * (kHeadDim + kRotated));
    }
  }
}

template <int kHeadDim, int kRotated, bool kPaired>
cudaError_t LaunchHead(const PrepareParams& p, uint16_t* q_out, const LaunchOptions& launch) {
  const LaunchShape shape{dim3(static_cast<unsigned>(p.tokens)), kThreads,
                          sizeof(Rotation) * kRotatedPairs<kHeadDim, kRotated>, launch};
  return Launch(PrepareKernel<kHeadDim, kRotated, kPaired>, shape, p, q_out);
}

// Head sizes without a kernel of their own: a thread takes every kThreads-th element.
__global__ void __launch_bounds__(kThreads)
    PrepareAnyShapeKernel(const __grid_constant__ PrepareParams p, uint16_t* __restrict__ q_out) {
  const int head_dim = p.cache.head_dim, half = head_dim / 2;
  const int64_t token = blockIdx.x, position = *p.start + token;
  WaitForPreviousKernel();
  LetNextKernelStart();
  for (int i = WarpIndex(); i < p.heads + 2 * p.cache.kv_heads; i += kAttentionWarps) {
    const bool is_query = i < p.heads, is_value = i >= p.heads + p.cache.kv_heads;
    const int head = is_query ? i : (i - p.heads) % p.cache.kv_heads;
    const int heads = is_query ? p.heads : p.cache.kv_heads;
    const float* from = is_query ? p.q : is_value && p.v != nullptr ? p.v : p.k;
    const int64_t offset = (token * heads + head) * head_dim;
    auto load = [&](int j) { return from[offset + j]; };
    float squares = 0;
    for (int j = Lane(); j < head_dim; j += kWarp) squares += load(j) * load(j);
    float factor = 1.0f / sqrtf(WarpSum(squares) / static_cast<float>(head_dim) + p.epsilon);
    if (is_value && !p.normalize_v) factor = 1;
    const int64_t slot = SlotOf(p.cache, head, position);
    const bool paired = p.cache.form == CacheForm::kPairs && !is_value;
    const int columns = paired ? 2 * head_dim : head_dim;
    uint16_t* to = is_query   ? q_out + (token * heads + head) * columns
                   : is_value ? p.cache.values + slot * columns
                              : p.cache.keys + slot * columns;
    const float* weight = is_query ? p.q_norm : p.k_norm;
    for (int j = Lane(); j < half; j += kWarp) {
      float a = load(j) * factor, b = load(j + half) * factor;
      if (!is_value) {
        const Rotation r = RotationOf(position, p.frequencies[j]);
        a *= weight[j], b *= weight[j + half];
        const float turned = a * r.cosine - b * r.sine;
        b = b * r.cosine + a * r.sine;
        a = turned;
      }
      to[j] = static_cast<uint16_t>(PackHalf(a, 0));
      to[j + half] = static_cast<uint16_t>(PackHalf(b, 0));
      if (!paired) continue;
      to[head_dim + j] = static_cast<uint16_t>(PackHalf(HalfRest(a), 0));
      to[head_dim + j + half] = static_cast<uint16_t>(PackHalf(HalfRest(b), 0));
    }
  }
}

}  // namespace

cudaError_t LaunchPrepareAttention(const PrepareParams& p, uint16_t* q_out,
                                   const LaunchOptions& launch) {
  if (HasDecodeKernel(p.cache)) {
    return WithHeadSizes</*kPrompts=*/false>(
        p.cache, [&]<int kHeadDim, int kRotated, bool kPaired>() {
          return LaunchHead<kHeadDim, kRotated, kPaired>(p, q_out, launch);
        });
  }
  const LaunchShape shape{dim3(static_cast<unsigned>(p.tokens)), kThreads, 0, launch};
  return Launch(PrepareAnyShapeKernel, shape, p, q_out);
}

}  // namespace gemma::cuda
