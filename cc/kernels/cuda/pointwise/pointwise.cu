// Norms, embedding, and what else touches each number once.
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/block_sum.h"
#include "cc/kernels/cuda/device/decode.h"
#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/pointwise/params.h"

namespace gemma::cuda {
namespace {

constexpr int kThreads = 256;

GEMMA_DEVICE float LoadOne(const Activations& from, int64_t i) {
  if (from.half)
    return HalfBitsToFloat(static_cast<const uint16_t*>(from.data)[i]) * kActivationUnit;
  return static_cast<const float*>(from.data)[i];
}

// columns: of a row
GEMMA_DEVICE void StoreOne(const Activations& to, int64_t i, int64_t columns, float value) {
  if (to.paired) {
    __half* const nearest = static_cast<__half*>(to.data) + i + i / columns * columns;
    nearest[0] = __float2half_rn(value * kActivationScale);
    nearest[columns] = __float2half_rn(HalfRest(value * kActivationScale) * kPairScale);
  } else if (to.half) {
    static_cast<__half*>(to.data)[i] = __float2half_rn(value * kActivationScale);
  } else {
    static_cast<float*>(to.data)[i] = value;
  }
}

// Four neighbours, i a multiple of 4.
GEMMA_DEVICE float4 LoadFour(const Activations& from, int64_t i) {
  if (!from.half) return *reinterpret_cast<const float4*>(static_cast<const float*>(from.data) + i);
  const uint2 v = *reinterpret_cast<const uint2*>(static_cast<const uint16_t*>(from.data) + i);
  constexpr float kUnit = kActivationUnit;
  return make_float4(HalfLowToFloat(v.x) * kUnit, HalfHighToFloat(v.x) * kUnit,
                     HalfLowToFloat(v.y) * kUnit, HalfHighToFloat(v.y) * kUnit);
}

GEMMA_DEVICE uint2 PackFour(const float4& v, float scale) {
  return make_uint2(PackHalf(v.x * scale, v.y * scale), PackHalf(v.z * scale, v.w * scale));
}

// Not of pairs.
GEMMA_DEVICE void StoreFour(const Activations& to, int64_t i, const float4& v) {
  if (to.half) {
    *reinterpret_cast<uint2*>(static_cast<uint16_t*>(to.data) + i) = PackFour(v, kActivationScale);
  } else {
    *reinterpret_cast<float4*>(static_cast<float*>(to.data) + i) = v;
  }
}

GEMMA_DEVICE float4 Scaled(const float4& v, float factor, const float* weight, int i) {
  const float4 w =
      weight == nullptr ? make_float4(1, 1, 1, 1) : *reinterpret_cast<const float4*>(weight + i);
  return make_float4(v.x * factor * w.x, v.y * factor * w.y, v.z * factor * w.z,
                     v.w * factor * w.w);
}

GEMMA_DEVICE float SumOfSquares(const float4& v) {
  return (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
}

// One row, kept in shared memory between the passes. Columns are a multiple of 4.
class NormRow {
 public:
  GEMMA_DEVICE NormRow(const NormParams& p, std::byte* shared)
      : p_(p),
        start_(static_cast<int64_t>(blockIdx.x) * p.columns),
        scratch_(reinterpret_cast<float*>(shared)),
        row_(reinterpret_cast<float*>(shared) + kThreads / kWarp) {}

  GEMMA_DEVICE void Run() const {
    float squares = p_.branch.data == nullptr ? LoadStream() : AddBranch();
    if (p_.out.data == nullptr) return;
    squares = BlockSum<kThreads>(squares, scratch_);
    const float factor = Factor(squares);
    for (int i = First(); i < p_.columns; i += kStep) {
      const float4 v = Scaled(Row(i), factor, p_.weight, i);
      if (p_.out.paired) {
        StorePairs(i, v);
      } else {
        StoreFour(p_.out, start_ + i, v);
      }
    }
  }

 private:
  static constexpr int kStep = 4 * kThreads;
  GEMMA_DEVICE static int First() { return 4 * static_cast<int>(threadIdx.x); }
  GEMMA_DEVICE float4& Row(int i) const { return *reinterpret_cast<float4*>(row_ + i); }
  GEMMA_DEVICE void StorePairs(int i, const float4& v) const {
    constexpr float kScale = kActivationScale;
    uint16_t* const to = static_cast<uint16_t*>(p_.out.data) + 2 * start_ + i;
    *reinterpret_cast<uint2*>(to) = PackFour(v, kScale);
    const float4 rest = make_float4(HalfRest(v.x * kScale), HalfRest(v.y * kScale),
                                    HalfRest(v.z * kScale), HalfRest(v.w * kScale));
    *reinterpret_cast<uint2*>(to + p_.columns) = PackFour(rest, kPairScale);
  }
  GEMMA_DEVICE float Factor(float squares) const {
    return 1.0f / sqrtf(squares / static_cast<float>(p_.columns) + p_.epsilon);
  }

  // Each thread reads back only what it wrote itself, so the row needs no barrier.
  GEMMA_DEVICE float LoadStream() const {
    float squares = 0;
    for (int i = First(); i < p_.columns; i += kStep) {
      Row(i) = *reinterpret_cast<const float4*>(p_.x + start_ + i);
      squares += SumOfSquares(Row(i));
    }
    return squares;
  }

  GEMMA_DEVICE float AddBranch() const {
    float squares = 0;
    for (int i = First(); i < p_.columns; i += kStep) {
      Row(i) = LoadFour(p_.branch, start_ + i);
      squares += SumOfSquares(Row(i));
    }
    const float factor = Factor(BlockSum<kThreads>(squares, scratch_));
    const float scalar = p_.scalar == nullptr ? 1.0f : *p_.scalar;
    squares = 0;
    for (int i = First(); i < p_.columns; i += kStep) {
      float4 v = Scaled(Row(i), factor, p_.branch_weight, i);
      if (p_.x != nullptr) {
        const float4 x = *reinterpret_cast<const float4*>(p_.x + start_ + i);
        v = make_float4(x.x + v.x, x.y + v.y, x.z + v.z, x.w + v.w);
      }
      v = make_float4(v.x * scalar, v.y * scalar, v.z * scalar, v.w * scalar);
      Row(i) = v;
      if (p_.x_out != nullptr) *reinterpret_cast<float4*>(p_.x_out + start_ + i) = v;
      squares += SumOfSquares(v);
    }
    return squares;
  }

  const NormParams& p_;
  const int64_t start_;
  float* const scratch_;
  float* const row_;
};

__global__ void __launch_bounds__(kThreads) NormKernel(const __grid_constant__ NormParams p) {
  GEMMA_SHARED_MEMORY(shared);
  WaitForPreviousKernel();
  LetNextKernelStart();
  NormRow(p, shared).Run();
}

__global__ void __launch_bounds__(kThreads) EmbedKernel(const __grid_constant__ EmbedParams p) {
  WaitForPreviousKernel();
  LetNextKernelStart();
  const int64_t token = blockIdx.x;
  const int64_t row = p.ids[token];
  const int column = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
  if (column < p.weight.columns)
    p.out[token * p.weight.columns + column] = p.scale * LoadValue(p.weight, row, column);
}

GEMMA_DEVICE float Apply(const PointwiseParams& p, int64_t i) {
  const float a = LoadOne(p.a, i);
  switch (p.operation) {
    case Pointwise::kGatedGelu:
      return GeluTanh(a) * LoadOne(p.b, i);
    case Pointwise::kAdd:
      return a + LoadOne(p.b, i);
    default:
      return p.cap * tanhf(a / p.cap);
  }
}

GEMMA_DEVICE float4 ApplyFour(const PointwiseParams& p, int64_t i) {
  const float4 a = LoadFour(p.a, i);
  if (p.operation == Pointwise::kSoftcap) {
    return make_float4(p.cap * tanhf(a.x / p.cap), p.cap * tanhf(a.y / p.cap),
                       p.cap * tanhf(a.z / p.cap), p.cap * tanhf(a.w / p.cap));
  }
  const float4 b = LoadFour(p.b, i);
  if (p.operation == Pointwise::kAdd)
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
  return make_float4(GeluTanh(a.x) * b.x, GeluTanh(a.y) * b.y, GeluTanh(a.z) * b.z,
                     GeluTanh(a.w) * b.w);
}

__global__ void __launch_bounds__(kThreads)
    PointwiseKernel(const __grid_constant__ PointwiseParams p) {
  WaitForPreviousKernel();
  LetNextKernelStart();
  const int64_t i =
      (static_cast<int64_t>(blockIdx.x) * kThreads + static_cast<int64_t>(threadIdx.x)) * 4;
  if (i + 4 <= p.size && !p.out.paired) {
    StoreFour(p.out, i, ApplyFour(p, i));
  } else {
    for (int64_t j = i; j < p.size && j < i + 4; ++j) StoreOne(p.out, j, p.columns, Apply(p, j));
  }
}

__global__ void __launch_bounds__(kThreads)
    DequantizeKernel(const __grid_constant__ Matrix m, float* out) {
  const int64_t row = blockIdx.x;
  for (int c = static_cast<int>(threadIdx.x); c < m.columns; c += kThreads) {
    out[row * m.columns + c] = LoadValue(m, row, c);
  }
}

}  // namespace

cudaError_t LaunchNorm(const NormParams& params, bool overlap, cudaStream_t stream) {
  const size_t shared = (static_cast<size_t>(params.columns) + kThreads / kWarp) * sizeof(float);
  const LaunchShape shape{dim3(static_cast<unsigned>(params.rows)), kThreads, shared, overlap,
                          stream};
  return Launch(NormKernel, shape, params);
}

cudaError_t LaunchEmbed(const EmbedParams& params, bool overlap, cudaStream_t stream) {
  const unsigned pieces = static_cast<unsigned>((params.weight.columns + kThreads - 1) / kThreads);
  const LaunchShape shape{dim3(static_cast<unsigned>(params.tokens), pieces), kThreads, 0, overlap,
                          stream};
  return Launch(EmbedKernel, shape, params);
}

cudaError_t LaunchPointwise(const PointwiseParams& params, bool overlap, cudaStream_t stream) {
  constexpr int64_t kEach = 4 * kThreads;
  const LaunchShape shape{dim3(static_cast<unsigned>((params.size + kEach - 1) / kEach)), kThreads,
                          0, overlap, stream};
  return Launch(PointwiseKernel, shape, params);
}

cudaError_t LaunchDequantize(const Matrix& matrix, float* out, cudaStream_t stream) {
  const LaunchShape shape{dim3(static_cast<unsigned>(matrix.rows)), kThreads, 0, false, stream};
  return Launch(DequantizeKernel, shape, matrix, out);
}

}  // namespace gemma::cuda
