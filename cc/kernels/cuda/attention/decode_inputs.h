// What a block of decode attention makes of the call's projections: its queries, and, where its
// split holds the call's own positions, their keys and values.
#ifndef CC_KERNELS_CUDA_ATTENTION_DECODE_INPUTS_H_
#define CC_KERNELS_CUDA_ATTENTION_DECODE_INPUTS_H_

#include "cc/kernels/cuda/attention/decode_tiles.h"
#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/attention/rope.h"
#include "cc/kernels/cuda/device/instructions.h"

namespace gemma::cuda {

template <int kHeadDim, int kRotated, bool kPaired, int kRows>
class DecodeInputs {
 public:
  using Rows = CacheRows<kHeadDim, kRotated, kPaired>;
  using Vector = HeadVector<kHeadDim>;

  GEMMA_DEVICE DecodeInputs(const PrepareParams& p, const DecodeShared& layout, std::byte* shared,
                            int head, int start, const TileRange& tiles)
      : p_(p),
        layout_(layout),
        shared_(shared),
        head_(head),
        start_(start),
        group_(p.heads / p.cache.kv_heads),
        rows_(p.tokens * group_),
        tiles_(tiles) {}

  GEMMA_DEVICE int rows() const { return rows_; }
  GEMMA_DEVICE int TokenOf(int row) const { return row / group_; }
  GEMMA_DEVICE int HeadOf(int row) const { return head_ * group_ + row % group_; }
  GEMMA_DEVICE std::byte* Query(int row) const {
    return shared_ + layout_.queries + row * layout_.query_row;
  }

  // What depends on no kernel of this step.
  GEMMA_DEVICE void PrepareEarly() {
    for (int i = static_cast<int>(threadIdx.x); i < p_.tokens * kTurned; i += kDecodeThreads)
      Rotations(0)[i] = RotationOf(start_ + i / kTurned, p_.frequencies[i % kTurned]);
    for (int row = rows_ + WarpIndex(); row < kRows; row += kAttentionWarps) {
      uint16_t* const to = reinterpret_cast<uint16_t*>(Query(row));
      for (int i = Lane(); i < Rows::kKeyColumns; i += kWarp) to[i] = 0;
    }
    q_norm_.Load(p_.q_norm);
    k_norm_.Load(p_.k_norm);
    __syncthreads();
  }

  // Once the projections are there. The first warps have queries, the last ones the call's tokens.
  GEMMA_DEVICE void Prepare() const {
    for (int row = WarpIndex(); row < rows_; row += kAttentionWarps) {
      const int64_t at = static_cast<int64_t>(TokenOf(row)) * p_.heads + HeadOf(row);
      PrepareQuery<kHeadDim, kRotated, kPaired>(p_, at * kHeadDim, q_norm_, k_norm_,
                                                Rotations(TokenOf(row)),
                                                reinterpret_cast<uint16_t*>(Query(row)));
    }
    for (int token = kAttentionWarps - 1 - WarpIndex(); token < p_.tokens;
         token += kAttentionWarps) {
      const int position = start_ + token;
      if (position >= tiles_.PositionOf(tiles_.begin) && position < tiles_.PositionOf(tiles_.end))
        PrepareToken(token, position);
    }
  }

  // Puts the call's own positions into a tile that holds some.
  GEMMA_DEVICE void Patch(int tile, std::byte* data) const {
    if (tiles_.PositionOf(tile + 1) <= start_) return;
    for (int token = WarpIndex(); token < p_.tokens; token += kAttentionWarps) {
      const int row = start_ + token - tiles_.PositionOf(tile);
      if (row < 0 || row >= kKeyTile) continue;
      PatchRow<Rows::kKeyRow>(NewKey(token), row, data);
      if (!Rows::kShared)
        PatchRow<Rows::kValueRow>(NewValue(token), row, data + Rows::kValueOffset);
    }
    __syncthreads();
  }

 private:
  static constexpr int kTurned = kRotatedPairs<kHeadDim, kRotated>;

  GEMMA_DEVICE Rotation* Rotations(int token) const {
    return reinterpret_cast<Rotation*>(shared_ + layout_.rotations) + token * kTurned;
  }
  GEMMA_DEVICE std::byte* NewKey(int token) const {
    return shared_ + layout_.new_rows + token * Rows::kKeyRow;
  }
  GEMMA_DEVICE std::byte* NewValue(int token) const {
    return Rows::kShared
               ? NewKey(token)
               : shared_ + layout_.new_rows + p_.tokens * Rows::kKeyRow + token * Rows::kValueRow;
  }

  GEMMA_DEVICE void PrepareToken(int token, int position) const {
    const DeviceCache& cache = p_.cache;
    uint16_t* const key = reinterpret_cast<uint16_t*>(NewKey(token));
    uint16_t* const value = reinterpret_cast<uint16_t*>(NewValue(token));
    const int64_t at = static_cast<int64_t>(token) * cache.kv_heads + head_;
    PrepareKeyValue<kHeadDim, kRotated, kPaired>(p_, at * kHeadDim, k_norm_, Rotations(token), key,
                                                 value);
    __syncwarp();
    const int64_t slot = SlotOf(cache, head_, position);
    if (!Rows::kShared) CopyRow<Rows::kKeyRow>(key, cache.keys, slot);
    CopyRow<Rows::kValueRow>(value, cache.values, slot);
  }

  template <int kRowBytes>
  GEMMA_DEVICE static void CopyRow(const uint16_t* from, uint16_t* plane, int64_t slot) {
    const uint4* source = reinterpret_cast<const uint4*>(from);
    uint4* to = reinterpret_cast<uint4*>(reinterpret_cast<std::byte*>(plane) + slot * kRowBytes);
    for (int i = Lane(); i < kRowBytes / 16; i += kWarp) to[i] = source[i];
  }

  template <int kRowBytes>
  GEMMA_DEVICE static void PatchRow(const std::byte* from, int row, std::byte* to) {
    for (int chunk = Lane(); chunk < kRowBytes / 16; chunk += kWarp) {
      *reinterpret_cast<uint4*>(to + row * kRowBytes +
                                Rows::template Swizzled<kRowBytes>(row, chunk)) =
          *reinterpret_cast<const uint4*>(from + chunk * 16);
    }
  }

  const PrepareParams& p_;
  const DecodeShared& layout_;
  std::byte* const shared_;
  const int head_;
  const int start_;
  const int group_;
  const int rows_;
  const TileRange tiles_;
  Vector q_norm_, k_norm_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_DECODE_INPUTS_H_
