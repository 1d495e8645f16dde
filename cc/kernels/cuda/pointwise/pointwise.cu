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
  if (IsHalf(from.number))
    return HalfBitsToFloat(static_cast<const uint16_t*>(from.data)[i]) * kActivationUnit;
  return static_cast<const float*>(from.data)[i];
}

// columns: of a row
GEMMA_DEVICE void StoreOne(const Activations& to, int64_t i, int64_t columns, float value) {
  if (IsPair(to.number)) {
    __half* const nearest = static_cast<__half*>(to.data) + i + i / columns * columns;
    nearest[0] = __float2half_rn(value * kActivationScale);
    nearest[columns] = __float2half_rn(HalfRest(value * kActivationScale) * kPairScale);
  } else if (IsHalf(to.number)) {
    static_cast<__half*>(to.data)[i] = __float2half_rn(value * kActivationScale);
  } else {
    static_cast<float*>(to.data)[i] = value;
  }
}

// Four neighbours, i a multiple of 4.
GEMMA_DEVICE float4 LoadFour(const Activations& from, int64_t i) {
  if (!IsHalf(from.number))
    return *reinterpret_cast<const float4*>(static_cast<const float*>(from.data) + i);
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
  if (IsHalf(to.number)) {
    *reinterpret_cast<uint2*>(static_cast<uint16_t*>(to.data) + i) = PackFour(v, kActivationScale);
  } else {
    *reinterpret_cast<float4*>(static_cast<float*>(to.data) + i) = v;
  }
}

GEMMA_DEVICE float4 Scaled(const float4& v, float factor, const float4& weight) {
  return make_float4(v.x * factor * weight.x, v.y * factor * weight.y, v.z * factor * weight.z,
                     v.w * factor * weight.w);
}

GEMMA_DEVICE float SumOfSquares(const float4& v) {
  return (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
}

// One row, kept in registers between the passes. Columns are a multiple of 4 and at most
// NormColumns(kPieces). Few rows take as long as their loads take to come, so all are asked for at
// once, those of weights before the kernel that makes the row has ended.
template <int kPieces>
class NormRow {
 public:
  GEMMA_DEVICE NormRow(const NormParams& p, float* scratch)
      : p_(p), start_(static_cast<int64_t>(blockIdx.x) * p.columns), scratch_(scratch) {}

  GEMMA_DEVICE void Run() const {
    Row weight, branch_weight, branch, x;
    LoadWeight(p_.weight, weight);
    LoadWeight(p_.branch_weight, branch_weight);
    const float scalar = p_.scalar == nullptr ? 1.0f : *p_.scalar;
    WaitForPreviousKernel();
    LetNextKernelStart();
    ForEachPiece([&](int piece, int i) {
      branch[piece] = p_.branch.data == nullptr ? Zeros() : LoadFour(p_.branch, start_ + i);
      x[piece] = p_.x == nullptr ? Zeros() : *reinterpret_cast<const float4*>(p_.x + start_ + i);
    });
    if (p_.branch.data != nullptr) AddBranch(branch, branch_weight, scalar, x);
    if (p_.out.data != nullptr) StoreNormed(x, weight);
  }

 private:
  using Row = float4[kPieces];

  GEMMA_DEVICE static float4 Zeros() { return make_float4(0, 0, 0, 0); }

  // The thread's pieces of four columns, from column i on.
  template <typename Function>
  GEMMA_DEVICE void ForEachPiece(const Function& function) const {
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
      const int i = 4 * (piece * kNormThreads + static_cast<int>(threadIdx.x));
      if (i < p_.columns) function(piece, i);
    }
  }

  GEMMA_DEVICE void LoadWeight(const float* from, Row& weight) const {
    ForEachPiece([&](int piece, int i) {
      weight[piece] =
          from == nullptr ? make_float4(1, 1, 1, 1) : *reinterpret_cast<const float4*>(from + i);
    });
  }

  // 1 / rms(row)
  GEMMA_DEVICE float Factor(const Row& row) const {
    float squares = 0;
    ForEachPiece([&](int piece, int) { squares += SumOfSquares(row[piece]); });
    squares = BlockSum<kNormThreads>(squares, scratch_);
    return 1.0f / sqrtf(squares / static_cast<float>(p_.columns) + p_.epsilon);
  }

  // x <- (x + branch / rms(branch) * weight) * scalar
  GEMMA_DEVICE void AddBranch(const Row& branch, const Row& weight, float scalar, Row& x) const {
    const float factor = Factor(branch);
    ForEachPiece([&](int piece, int i) {
      const float4 v = Scaled(branch[piece], factor, weight[piece]), old = x[piece];
      x[piece] = make_float4((old.x + v.x) * scalar, (old.y + v.y) * scalar, (old.z + v.z) * scalar,
                             (old.w + v.w) * scalar);
      if (p_.x_out != nullptr) *reinterpret_cast<float4*>(p_.x_out + start_ + i) = x[piece];
    });
  }

  GEMMA_DEVICE void StoreNormed(const Row& x, const Row& weight) const {
    const float factor = Factor(x);
    ForEachPiece([&](int piece, int i) {
      const float4 v = Scaled(x[piece], factor, weight[piece]);
      if (IsPair(p_.out.number)) {
        StorePairs(i, v);
      } else {
        StoreFour(p_.out, start_ + i, v);
      }
    });
  }

  GEMMA_DEVICE void StorePairs(int i, const float4& v) const {
    constexpr float kScale = kActivationScale;
    uint16_t* const to = static_cast<uint16_t*>(p_.out.data) + 2 * start_ + i;
    *reinterpret_cast<uint2*>(to) = PackFour(v, kScale);
    const float4 rest = make_float4(HalfRest(v.x * kScale), HalfRest(v.y * kScale),
                                    HalfRest(v.z * kScale), HalfRest(v.w * kScale));
    *reinterpret_cast<uint2*>(to + p_.columns) = PackFour(rest, kPairScale);
  }

  const NormParams& p_;
  const int64_t start_;
  float* const scratch_;
};

template <int kPieces>
__global__ void __launch_bounds__(kNormThreads) NormKernel(const __grid_constant__ NormParams p) {
  GEMMA_SHARED_MEMORY(shared);
  NormRow<kPieces>(p, reinterpret_cast<float*>(shared)).Run();
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
  if (i + 4 <= p.size && !IsPair(p.out.number)) {
    StoreFour(p.out, i, ApplyFour(p, i));
  } else {
    for (int64_t j = i; j < p.size && j < i + 4; ++j) StoreOne(p.out, j, p.columns, Apply(p, j));
  }
}

}  // namespace

cudaError_t LaunchNorm(const NormParams& params, const LaunchOptions& launch) {
  constexpr size_t kShared = kNormThreads / kWarp * sizeof(float);
  const LaunchShape shape{dim3(static_cast<unsigned>(params.rows)), kNormThreads, kShared, launch};
  if (params.columns <= NormColumns(kUsualNormPieces))
    return Launch(NormKernel<kUsualNormPieces>, shape, params);
  return Launch(NormKernel<kMaxNormPieces>, shape, params);
}

cudaError_t LaunchEmbed(const EmbedParams& params, const LaunchOptions& launch) {
  const unsigned pieces = static_cast<unsigned>((params.weight.columns + kThreads - 1) / kThreads);
  const LaunchShape shape{dim3(static_cast<unsigned>(params.tokens), pieces), kThreads, 0, launch};
  return Launch(EmbedKernel, shape, params);
}

cudaError_t LaunchPointwise(const PointwiseParams& params, const LaunchOptions& launch) {
  constexpr int64_t kEach = 4 * kThreads;
  const LaunchShape shape{dim3(static_cast<unsigned>((params.size + kEach - 1) / kEach)), kThreads,
                          0, launch};
  return Launch(PointwiseKernel, shape, params);
}

}  // namespace gemma::cuda
