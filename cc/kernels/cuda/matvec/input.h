// Brings the input of a matrix-vector product into shared memory, in the order in which a warp
// multiplies it, with its sums.
//
// Fragment order: block b of 32 columns is 4 pieces of 16 bytes; piece t holds, as float16, the
// columns 4t, 4t+2, 4t+1, 4t+3, 16+4t, 16+4t+2, 16+4t+1, 16+4t+3 of the block (decode.h,
// Fragments).
#ifndef CC_KERNELS_CUDA_MATVEC_INPUT_H_
#define CC_KERNELS_CUDA_MATVEC_INPUT_H_

#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/block_sum.h"
#include "cc/kernels/cuda/device/decode.h"
#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/matvec/params.h"

namespace gemma::cuda {

// What a warp needs of the input, besides its ring.
struct InputView {
  const std::byte* activations;
  int64_t activation_stride;
  // Of groups, in the units of the sums: -zero point * sum(x), which the tensor cores start from,
  // or sum(x), for the mins of layouts that have no zero point.
  const float4* starts;
};

// The eight columns of a piece: 4t to 4t + 3 and 16 + 4t to 16 + 4t + 3 of block piece / 4, t =
// piece % 4.
GEMMA_DEVICE int PieceColumn(int piece) { return piece / 4 * 32 + piece % 4 * 4; }

GEMMA_DEVICE void LoadPiece(const float* from, int piece, float (&v)[8]) {
  const float4 a = *reinterpret_cast<const float4*>(from + PieceColumn(piece));
  const float4 b = *reinterpret_cast<const float4*>(from + PieceColumn(piece) + 16);
  v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
  v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

// kThreads: the block's first threads, which prepare the input. kAll: the block has no others.
template <WeightLayout kLayout, int kTokens, int kThreads = kMatvecThreads, bool kAll = true>
class MatvecInput {
 public:
  GEMMA_DEVICE MatvecInput(const MatvecParams& p, std::byte* shared, const MatvecShared& layout)
      : p_(p),
        activations_(shared + layout.activations),
        stride_(layout.activation_stride),
        starts_(reinterpret_cast<float4*>(shared + layout.sums)),
        scratch_(reinterpret_cast<float*>(shared + layout.scratch)),
        pieces_(p.units_per_tile * (UnitColumns(kLayout) / 8)) {}

  GEMMA_DEVICE InputView View() const { return {activations_, stride_, starts_}; }

  // Waits for the kernel that makes the input.
  // The caller synchronizes the threads before it reads the view.
  GEMMA_DEVICE void Prepare() const {
    if constexpr (kTokens <= 2) {
      if (p_.norm.x != nullptr) {
        PrepareNormed();
        return;
      }
    }
    WaitForPreviousKernel();
    LetNextKernelStart();
    for (int start = 0; start < kTokens * pieces_; start += kAhead * kThreads)
      CopyPieces(start + static_cast<int>(threadIdx.x));
  }

 private:
  static constexpr int kPiecesAThread = kNormPiecesAThread;

  static constexpr int kAhead = 3;  // pieces that a thread loads before it stores the first

  // Pieces of all tokens, numbered one token after the other. The pieces of a token fill whole
  // warps where their sums are wanted.
  GEMMA_DEVICE int TokenOf(int index) const { return kTokens == 1 ? 0 : index / pieces_; }

  GEMMA_DEVICE void CopyPieces(int first) const {
    uint2 words[kAhead][2];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int index = first + i * kThreads;
      const int token = TokenOf(index), piece = index - token * pieces_;
      const int column = p_.first_column + PieceColumn(piece);
      const bool inside = piece < pieces_ && token < p_.tokens && column < p_.columns;
      const uint16_t* from = p_.in + (inside ? token * p_.in_stride + column : 0);
      words[i][0] = inside ? *reinterpret_cast<const uint2*>(from) : make_uint2(0, 0);
      words[i][1] = inside ? *reinterpret_cast<const uint2*>(from + 16) : make_uint2(0, 0);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      float v[8];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        v[4 * j] = HalfLowToFloat(words[i][j].x), v[4 * j + 1] = HalfHighToFloat(words[i][j].x);
        v[4 * j + 2] = HalfLowToFloat(words[i][j].y), v[4 * j + 3] = HalfHighToFloat(words[i][j].y);
      }
      const int index = first + i * kThreads, token = TokenOf(index);
      if (kTokens == 1 || token < kTokens) StorePiece(token, index - token * pieces_, v);
    }
  }

  // All lanes of a warp call this together; neighbouring lanes have neighbouring pieces.
  GEMMA_DEVICE void StorePiece(int token, int piece, const float (&v)[8]) const {
    constexpr float kLow = HighNibble(kLayout);  // decode.h
    const uint4 packed =
        make_uint4(PackHalf(v[0] * kLow, v[2] * kLow), PackHalf(v[1] * kLow, v[3] * kLow),
                   PackHalf(v[4], v[6]), PackHalf(v[5], v[7]));
    if (piece < pieces_)
      *reinterpret_cast<uint4*>(activations_ + token * stride_ + piece * 16) = packed;
    if constexpr (!IsFloat(kLayout)) {
      float low = (HalfLowToFloat(packed.x) + HalfHighToFloat(packed.x)) +
                  (HalfLowToFloat(packed.y) + HalfHighToFloat(packed.y));
      float high = kLow * ((HalfLowToFloat(packed.z) + HalfHighToFloat(packed.z)) +
                           (HalfLowToFloat(packed.w) + HalfHighToFloat(packed.w)));
      if constexpr (SumColumns(kLayout) == 32) low += high;
      low = QuadSum(low);
      if constexpr (SumColumns(kLayout) == 16) high = QuadSum(high);
      if (piece < pieces_ && piece % 4 == 0) {
        StoreSum(piece / 4, 0, token, low);
        if constexpr (SumColumns(kLayout) == 16) StoreSum(piece / 4, 1, token, high);
      }
    }
  }

  // The sum over a group of 32 columns, or over half `half` of it (HasHalfScales).
  GEMMA_DEVICE void StoreSum(int group, int half, int token, float sum) const {
    constexpr int kHalves = 32 / SumColumns(kLayout);
    constexpr float kFactor = ZeroPoint(kLayout) > 0 ? -ZeroPoint(kLayout) : 1;
    const float start = kFactor * kQuantum * sum;
    if constexpr (LanesTakeGroups(kLayout, kTokens)) {
      float4* const set = starts_ + (group / 4 * kHalves + half) * 4 + group % 4 / 2;
      SetPair(set[2 * token], group % 2, start);
      if (kTokens == 1) SetPair(set[2], group % 2, 0);
    } else {
      SetPair(starts_[(group * kHalves + half) * (kTokens / 2) + token / 2], token % 2, start);
    }
  }

  GEMMA_DEVICE static void SetPair(float4& to, int i, float value) {
    if (i == 0) {
      to.x = to.z = value;
    } else {
      to.y = to.w = value;
    }
  }

  GEMMA_DEVICE static float QuadSum(float value) {
    value += __shfl_xor_sync(kAllLanes, value, 1);
    return value + __shfl_xor_sync(kAllLanes, value, 2);
  }

  GEMMA_DEVICE int Piece(int i) const { return i * kThreads + static_cast<int>(threadIdx.x); }
  GEMMA_DEVICE bool Inside(int i) const {
    return Piece(i) < pieces_ && PieceColumn(Piece(i)) < p_.columns;
  }

  using Pieces = float[kPiecesAThread][8];

  // 1 / rms(x)
  GEMMA_DEVICE float InverseRms(const Pieces& x) const {
    float squares = 0;
    for (int i = 0; i < kPiecesAThread; ++i) {
      for (int j = 0; j < 8; ++j) squares += x[i][j] * x[i][j];
    }
    squares = BlockSum<kThreads, kAll>(squares, scratch_);
    return 1.0f / sqrtf(squares / static_cast<float>(p_.columns) + p_.norm.epsilon);
  }

  GEMMA_DEVICE void LoadPieces(const float* from, Pieces& v) const {
    for (int i = 0; i < kPiecesAThread; ++i) {
      for (int j = 0; j < 8; ++j) v[i][j] = 0;
      if (Inside(i)) LoadPiece(from, Piece(i), v[i]);
    }
  }

  // v <- v * factor * weight
  GEMMA_DEVICE static void Scale(float factor, const Pieces& weight, Pieces& v) {
    for (int i = 0; i < kPiecesAThread; ++i) {
      for (int j = 0; j < 8; ++j) v[i][j] = v[i][j] * factor * weight[i][j];
    }
  }

  // The weights of the norms depend on no kernel and are there when the input comes.
  GEMMA_DEVICE void PrepareNormed() const {
    const FusedNorm& norm = p_.norm;
    Pieces weight, branch_weight;
    LoadPieces(norm.weight, weight);
    if (norm.branch != nullptr) LoadPieces(norm.branch_weight, branch_weight);
    const float scalar = norm.scalar == nullptr ? 1.0f : *norm.scalar;
    WaitForPreviousKernel();
    LetNextKernelStart();
    Pieces x;
    LoadPieces(norm.x, x);
    if (norm.branch != nullptr) {
      Pieces branch;
      LoadPieces(norm.branch, branch);
      Scale(InverseRms(branch), branch_weight, branch);
      for (int i = 0; i < kPiecesAThread; ++i) {
        for (int j = 0; j < 8; ++j) x[i][j] = (x[i][j] + branch[i][j]) * scalar;
        if (blockIdx.x == 0 && Inside(i)) StoreStream(Piece(i), x[i]);
      }
    }
    Scale(InverseRms(x) * kActivationScale, weight, x);
    for (int i = 0; i < kPiecesAThread; ++i) {
      if constexpr (kTokens == 2) {
        StorePair(Piece(i), x[i]);
      } else {
        StorePiece(0, Piece(i), x[i]);
      }
    }
  }

  // What is nearest is rounded here: StorePiece scales some columns before it rounds.
  GEMMA_DEVICE void StorePair(int piece, const float (&v)[8]) const {
    float nearest[8], rest[8];
    for (int j = 0; j < 8; ++j) {
      rest[j] = HalfRest(v[j]);
      nearest[j] = v[j] - rest[j];
      rest[j] *= kPairScale;
    }
    StorePiece(0, piece, nearest);
    StorePiece(1, piece, rest);
  }

  GEMMA_DEVICE void StoreStream(int piece, const float (&v)[8]) const {
    float* to = p_.norm.x_out + PieceColumn(piece);
    *reinterpret_cast<float4*>(to) = make_float4(v[0], v[1], v[2], v[3]);
    *reinterpret_cast<float4*>(to + 16) = make_float4(v[4], v[5], v[6], v[7]);
  }

  const MatvecParams& p_;
  std::byte* const activations_;
  const int64_t stride_;
  float4* const starts_;
  float* const scratch_;
  const int pieces_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_INPUT_H_
