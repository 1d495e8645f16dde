// The results of the products for many tokens (sm90_kernel.h, mma_kernel.h): units, what the product
// fuses, sums of tiles that blocks share, and how a lane's sums reach memory.
#ifndef CC_KERNELS_CUDA_GEMM_RESULTS_H_
#define CC_KERNELS_CUDA_GEMM_RESULTS_H_

#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/barrier.h"
#include "cc/kernels/cuda/gemm/schedule.h"
#include "cc/kernels/cuda/gemm/weights.h"

namespace gemma::cuda {

inline constexpr int kSummingWarpgroups = 2;
inline constexpr int kSummingThreads = kSummingWarpgroups * kWarpgroup;

// From the sums of a tile of kRows rows, which the lanes of two warpgroups hold, to outputs.
// Each has 128 of the rows, as two blocks of 64, and kTokens of the tile's tokens.
template <WeightLayout kLayout, int kRows, int kTokens>
class GemmResults {
 public:
  static constexpr int kSums = kTokens / 2;

 protected:
  GEMMA_DEVICE explicit GemmResults(const GemmTileParams& p) : p_(p) {}

  GEMMA_DEVICE static int Warpgroup() { return static_cast<int>(threadIdx.x) / kWarpgroup; }
  // The row of the tile that the lane holds in a[0] of block b.
  GEMMA_DEVICE static int RowOfLane(int b) {
    return Warpgroup() * 128 % kRows + b * 64 + WarpIndex() % 4 * 16 + Lane() / 4;
  }

  GEMMA_DEVICE float UnitOf(const Matrix& m, int row) const {
    if (!m.float_scales && !HasRowScales(kLayout)) return kActivationUnit / kWeightScale;
    const std::byte* const scales = HasRowScales(kLayout) ? m.blocks : m.scales;
    constexpr float kUnit = HasRowScales(kLayout) ? kE4m3Unit * kActivationUnit : kActivationUnit;
    return kUnit * (row < m.rows ? LoadElement<float>(scales, row) : 0);
  }

  // A lane has both results of a pair, side by side.
  GEMMA_DEVICE void AddRests() {
#pragma unroll
    for (int n = 0; n < kSums; n += 2) {
      sums_[0][n] += kPairUnit * sums_[0][n + 1];
      sums_[1][n] += kPairUnit * sums_[1][n + 1];
    }
  }

  // Results to pairs, as what is stored for two tokens.
  GEMMA_DEVICE void SplitResults() {
    constexpr float kScale = kActivationScale;
#pragma unroll
    for (int n = 0; n < kSums; n += 2) {
      sums_[0][n + 1] = kPairScale * kActivationUnit * HalfRest(kScale * sums_[0][n]);
      sums_[1][n + 1] = kPairScale * kActivationUnit * HalfRest(kScale * sums_[1][n]);
    }
  }

  // Sums to results: the units, and what the product fuses.
  GEMMA_DEVICE void Finish(const TileRows& rows) {
    const GemmPart& part = *rows.part;
    if (IsPair(p_.gemm.in_number)) AddRests();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float unit0 = UnitOf(part.first, rows.RowOf(RowOfLane(0) + 8 * i));
      const float unit1 =
          UnitOf(rows.gated ? part.second : part.first, rows.RowOf(RowOfLane(1) + 8 * i));
#pragma unroll
      for (int n = 0; n < kSums; ++n) {
        if (n / 2 % 2 != i) continue;
        sums_[0][n] *= unit0, sums_[1][n] *= unit1;
      }
    }
    if (rows.gated) {
#pragma unroll
      for (int n = 0; n < kSums; ++n) sums_[0][n] = GeluTanh(sums_[0][n]) * sums_[1][n];
    }
    if (p_.gemm.softcap > 0) {
#pragma unroll
      for (int n = 0; n < 2 * kSums; ++n) {
        float& sum = sums_[n / kSums][n % kSums];
        sum = Softcap(sum, p_.gemm.softcap);
      }
    }
  }

  GEMMA_DEVICE void Store(const TileRows& rows, int first_token) {
    Finish(rows);
    if (IsHalf(p_.gemm.out_number)) {
      if (IsPair(p_.gemm.in_number)) SplitResults();
      const int last = rows.RowOf(RowOfLane(rows.gated ? 0 : 1) - Lane() / 4) + 16;
      if (last <= rows.part->first.rows && rows.part->first.rows % 4 == 0) {
        StoreWholeHalves(rows, first_token);
      } else {
        StoreAs<uint16_t>(rows, first_token);
      }
    } else if (IsPair(p_.gemm.in_number)) {
      StoreSumsOfPairs(rows, first_token);
    } else {
      StoreAs<float>(rows, first_token);
    }
  }

  GEMMA_DEVICE static void StoreValue(float* to, float value) { *to = value; }
  GEMMA_DEVICE static void StoreValue(uint16_t* to, float value) {
    *to = static_cast<uint16_t>(PackHalf(kActivationScale * value, 0));
  }

  // A warp's 16 rows of a token are 32 bytes: the lanes that hold them exchange halves until each
  // has four neighbouring ones of one token. Lane 4 g + t, from rows g and g + 8 of tokens 2t and
  // 2t + 1: token 2t + g % 2, rows 8 (g / 2 % 2) + 4 (g / 4) on.
  GEMMA_DEVICE void StoreWholeHalves(const TileRows& rows, int first_token) const {
    const int64_t pitch = rows.part->first.rows;
    const int g = Lane() / 4, odd = g % 2, upper = g / 2 % 2;
    const int token = first_token + Lane() % 4 * 2 + odd, left = p_.gemm.tokens - token;
#pragma unroll
    for (int b = 0; b < 2; ++b) {
      if (b == 1 && rows.gated) break;
      const int row = rows.RowOf(RowOfLane(b) - g) + 8 * upper + 4 * (g / 4);
      uint16_t* to = static_cast<uint16_t*>(rows.part->out) + token * pitch + row;
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n) {
        const float* s = &sums_[b][4 * n];
        // Rows g and g + 8 of each token.
        const uint32_t even_token = PackHalf(kActivationScale * s[0], kActivationScale * s[2]);
        const uint32_t odd_token = PackHalf(kActivationScale * s[1], kActivationScale * s[3]);
        const uint32_t mine = odd ? odd_token : even_token;
        const uint32_t other = __shfl_xor_sync(kAllLanes, odd ? even_token : odd_token, 4);
        const uint32_t low = odd ? other : mine, high = odd ? mine : other;
        const uint32_t lower = __byte_perm(low, high, 0x5410);   // rows g and g + 1, g even
        const uint32_t higher = __byte_perm(low, high, 0x7632);  // those 8 further
        const uint32_t given = __shfl_xor_sync(kAllLanes, upper ? lower : higher, 8);
        const uint2 four = upper ? make_uint2(given, higher) : make_uint2(lower, given);
        if (8 * n < left) *reinterpret_cast<uint2*>(to) = four;
        to += 8 * pitch;
      }
    }
  }

  // Column n of a block's sums is token n of the tile.
  template <typename T>
  GEMMA_DEVICE void StoreAs(const TileRows& rows, int first_token) const {
    const int64_t pitch = rows.part->first.rows;
    const int token = first_token + Lane() % 4 * 2, left = p_.gemm.tokens - token;
#pragma unroll
    for (int b = 0; b < 2; ++b) {
      if (b == 1 && rows.gated) break;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = rows.RowOf(RowOfLane(b) + 8 * i);
        if (row >= pitch) continue;
        T* to = static_cast<T*>(rows.part->out) + token * pitch + row;
#pragma unroll
        for (int n = 0; n < kTokens / 8; ++n) {
          if (8 * n < left) StoreValue(to, sums_[b][4 * n + 2 * i]);
          if (8 * n + 1 < left) StoreValue(to + pitch, sums_[b][4 * n + 2 * i + 1]);
          to += 8 * pitch;
        }
      }
    }
  }

  // As StoreAs: columns n and n + 1 belong to one token, and the first has the result.
  GEMMA_DEVICE void StoreSumsOfPairs(const TileRows& rows, int first_token) const {
    const int64_t pitch = rows.part->first.rows;
    const int token = first_token / 2 + Lane() % 4, left = p_.gemm.tokens / 2 - token;
#pragma unroll
    for (int b = 0; b < 2; ++b) {
      if (b == 1 && rows.gated) break;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = rows.RowOf(RowOfLane(b) + 8 * i);
        if (row >= pitch) continue;
        float* to = static_cast<float*>(rows.part->out) + token * pitch + row;
#pragma unroll
        for (int n = 0; n < kTokens / 8; ++n) {
          if (4 * n < left) *to = sums_[b][4 * n + 2 * i];
          to += 4 * pitch;
        }
      }
    }
  }

  // ---- tiles that several blocks share ----

  GEMMA_DEVICE float4* Partial(int block) const {
    return reinterpret_cast<float4*>(p_.partials) +
           static_cast<int64_t>(block) * (kSummingThreads * kSums / 2) + threadIdx.x;
  }
  GEMMA_DEVICE uint32_t* Flag(int block) const { return p_.flags + 2 * block + Warpgroup(); }

  GEMMA_DEVICE void LeavePartial() const {
    const int block = static_cast<int>(blockIdx.x);
    float4* const to = Partial(block);
#pragma unroll
    for (int b = 0; b < 2; ++b) {
#pragma unroll
      for (int i = 0; i < kSums; i += 4) {
        to[(b * kSums + i) / 4 * kSummingThreads] =
            make_float4(sums_[b][i], sums_[b][i + 1], sums_[b][i + 2], sums_[b][i + 3]);
      }
    }
    __threadfence();
    MeetThreads(1 + Warpgroup(), kWarpgroup);
    if (threadIdx.x % kWarpgroup == 0) StoreRelease(Flag(block), 1);
  }

  // The blocks after this one have the tile's other columns; always summed in their order.
  GEMMA_DEVICE void AddPartials(const GemmPieces& pieces, const GemmPiece& piece) {
    const int64_t tile_end =
        static_cast<int64_t>(piece.tile - p_.schedule.whole_tiles + 1) * p_.schedule.units;
    int block = static_cast<int>(blockIdx.x);
    while (pieces.EndOfRun(block) < tile_end) {
      ++block;
      if (threadIdx.x % kWarpgroup == 0) {
        Spin spin;
        while (LoadAcquire(Flag(block)) == 0) spin.Pause();
      }
      MeetThreads(1 + Warpgroup(), kWarpgroup);
      const float4* const from = Partial(block);
#pragma unroll
      for (int b = 0; b < 2; ++b) {
#pragma unroll
        for (int i = 0; i < kSums; i += 4) {
          const float4 part = LoadFromL2(from + (b * kSums + i) / 4 * kSummingThreads);
          sums_[b][i] += part.x, sums_[b][i + 1] += part.y;
          sums_[b][i + 2] += part.z, sums_[b][i + 3] += part.w;
        }
      }
      if (threadIdx.x % kWarpgroup == 0) *Flag(block) = 0;
    }
  }

  const GemmTileParams& p_;
  float sums_[2][kSums];  // of two blocks of 64 rows
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_RESULTS_H_
