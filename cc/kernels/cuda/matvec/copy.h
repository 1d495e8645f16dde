// Brings units of weights (32 rows of usually 256 columns, a half at a time) from device memory
// into a warp's ring.
//
// There are two ways. WholeCopier moves pointers: it needs launches whose matrices
// consist of whole units, with every row of every plane aligned to 16 bytes.
// AnyCopier takes all shapes and computes every address. A kernel has one or the other:
// the code of both would not fit the instruction cache.
#ifndef CC_KERNELS_CUDA_MATVEC_COPY_H_
#define CC_KERNELS_CUDA_MATVEC_COPY_H_

#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/matvec/params.h"

namespace gemma::cuda {

// Finds the part of a tile. The parts are few, and the tile is the same for all lanes.
GEMMA_DEVICE const MatvecPart& PartOf(const MatvecParams& p, int tile, int& tile_in_part) {
  int i = 0;
  while (i + 1 < p.part_count && tile >= p.parts[i].tile_end) ++i;
  tile_in_part = i == 0 ? tile : tile - p.parts[i - 1].tile_end;
  return p.parts[i];
}

struct TileRow {
  const Matrix* matrix;
  int64_t row;
};

// Half of a tile.
struct HalfTile {
  const MatvecPart& part;
  int tile;  // in the part
  int half;
};

// Row r (0 to 15) of half a tile; beyond the matrix
// the last row stands in, whose result nobody stores.
GEMMA_DEVICE TileRow RowOfHalf(const HalfTile& h, int r) {
  const MatvecPart& part = h.part;
  const int row = h.tile * part.tile_step + 8 * h.half + (r < 8 ? r : r - 8 + part.second_row);
  const Matrix& m = r < 8 ? part.first : part.second;
  return {&m, row < m.rows ? row : m.rows - 1};
}

// A unit of a warp: every kMatvecWarps-th of the block's range is the same warp's.
struct UnitCursor {
  int unit;
  int tile;
  int in_tile;

  GEMMA_DEVICE UnitCursor(int first, int units_per_tile)
      : unit(first), tile(first / units_per_tile), in_tile(first - tile * units_per_tile) {}

  GEMMA_DEVICE void Advance(int units_per_tile) {
    unit += kMatvecWarps;
    in_tile += kMatvecWarps;
    while (in_tile >= units_per_tile) {
      in_tile -= units_per_tile;
      ++tile;
    }
  }
};

// Where a 16-byte chunk of a value row lies, so that the lanes that read together meet different
// banks: eight lanes read 4 chunks of two rows, or, where all take the same group, 32 lanes read a
// word of one chunk of eight rows.
template <WeightLayout kLayout, bool kGroups>
GEMMA_DEVICE int SwizzledChunk(int row, int chunk) {
  if constexpr (IsFloat(kLayout)) return chunk;
  if constexpr (!kGroups) return chunk ^ (row & 7);
  if constexpr (kLayout == WeightLayout::kInt8) return chunk ^ (row & 1);
  return chunk ^ (row & 1) << 2;
}

// ---- any unit: the last rows of a matrix, columns that are no multiple of 256, groups of 64 and
// 128 ----

// Copies `words` 4-byte words a row of a plane with rows of `row_bytes`, from byte `start` of the
// row on; zeros past its end.
GEMMA_DEVICE void CopyRowWords(const HalfTile& rows, const std::byte* Matrix::* plane,
                               int row_bytes, int start, int words, int stage_row, std::byte* to) {
  for (int i = Lane(); i < kHalfRows * words; i += kWarp) {
    const int r = i / words, word = i % words;
    const TileRow source = RowOfHalf(rows, r);
    const int offset = start + word * 4;
    const bool inside = offset < row_bytes;
    CopyAsync<4>(to + r * stage_row + word * 4,
                 source.matrix->*plane + source.row * row_bytes + (inside ? offset : 0),
                 inside ? 4 : 0);
  }
}

template <WeightLayout kLayout, bool kGroups>
GEMMA_DEVICE void CopyValuesOfAnyUnit(const MatvecParams& p, const HalfTile& rows, int column,
                                      std::byte* stage) {
  constexpr StageLayout kStage = StageOf(kLayout);
  constexpr int kChunks = kStage.value_bytes / 16;          // of a row
  constexpr int kChunkColumns = 512 / ValueBytes(kLayout);  // columns in 16 bytes
  const int64_t row_bytes = int64_t{p.columns} / 32 * ValueBytes(kLayout);
  for (int i = Lane(); i < kHalfRows * kChunks; i += kWarp) {
    const int r = i / kChunks, chunk = i % kChunks;
    const int chunk_column = column + chunk * kChunkColumns;
    const bool inside = chunk_column < p.columns;
    const TileRow source = RowOfHalf(rows, r);
    const int64_t offset = inside ? int64_t{chunk_column} / kChunkColumns * 16 : 0;
    CopyAsync<16>(stage + r * kStage.row + SwizzledChunk<kLayout, kGroups>(r, chunk) * 16,
                  source.matrix->values + source.row * row_bytes + offset, inside ? 16 : 0);
  }
}

template <WeightLayout kLayout, bool kGroups>
GEMMA_DEVICE void CopyAnyUnit(const MatvecParams& p, const UnitCursor& at, int half,
                              std::byte* stage) {
  constexpr StageLayout kStage = StageOf(kLayout);
  const int column = p.first_column + at.in_tile * UnitColumns(kLayout);
  int tile;
  const MatvecPart& part = PartOf(p, at.tile, tile);
  const HalfTile rows{part, tile, half};
  CopyValuesOfAnyUnit<kLayout, kGroups>(p, rows, column, stage);
  std::byte* const scales = stage + kStage.scales;
  if constexpr (HasBitPlane(kLayout)) {
    CopyRowWords(rows, &Matrix::extra, p.columns / 8, column / 8, 8, kStage.extra_row,
                 stage + kStage.extra);
  }
  if constexpr (HasPairPlane(kLayout)) {
    CopyRowWords(rows, &Matrix::extra, p.columns / 4, column / 4, 16, kStage.extra_row,
                 stage + kStage.extra);
  }
  if constexpr (HasHalfScales(kLayout))
    CopyRowWords(rows, &Matrix::scales, p.columns / 16, column / 16, 4, 16, scales);
  if constexpr (HasInt8Scales(kLayout)) {
    // The float16 d, with the other half of its aligned word.
    if (Lane() < kHalfRows) {
      const TileRow source = RowOfHalf(rows, Lane());
      const int64_t block = source.row * (p.columns / 256) + column / 256;
      CopyAsync<4>(stage + kStage.blocks + Lane() * 4, source.matrix->blocks + block / 2 * 4);
    }
  } else if constexpr (HasPackedScales(kLayout)) {
    const int block = column / 256;
    CopyRowWords(rows, &Matrix::scales, p.columns / 256 * 12, block * 12, 3, 16, scales);
    CopyRowWords(rows, &Matrix::blocks, p.columns / 256 * 4, block * 4, 1, 16, scales + 12);
  } else if constexpr (HasSignedScales(kLayout)) {
    CopyRowWords(rows, &Matrix::scales, p.columns / 256 * 8, column / 256 * 8, 2, 16, scales);
  } else if constexpr (HasGroups(kLayout)) {
    if (p.float_scales) return;
    const int row_bytes = p.columns / p.group * 2, start = column / p.group * 2,
              words = 128 / p.group;
    CopyRowWords(rows, &Matrix::scales, row_bytes, start, words, 16, scales);
    if constexpr (HasMins(kLayout)) {
      CopyRowWords(rows, &Matrix::mins, row_bytes, start, words, 16, stage + kStage.mins);
    }
  }
}

template <WeightLayout kLayout, bool kGroups>
class AnyCopier {
 public:
  GEMMA_DEVICE AnyCopier(const MatvecParams& p, int first, int end)
      : p_(p), cursor_(first, p.units_per_tile), end_(end) {}

  // Starts the copy of the next half unit, if there is one, and commits a group in any case. The
  // halves take turns.
  template <int kHalf>
  GEMMA_DEVICE void CopyNext(std::byte* stage) {
    if (cursor_.unit < end_) {
      CopyAnyUnit<kLayout, kGroups>(p_, cursor_, kHalf, stage);
      if (kHalf == 1) cursor_.Advance(p_.units_per_tile);
    }
    CommitCopies();
  }

 private:
  const MatvecParams& p_;
  UnitCursor cursor_;
  const int end_;
};

// ---- whole units, by pointers that only move ----

template <WeightLayout kLayout, bool kGroups>
class WholeCopier {
 public:
  static constexpr StageLayout kStage = StageOf(kLayout);
  static constexpr int kChunks = kStage.value_bytes / 16;
  static constexpr int kRowsAtOnce = kWarp / kChunks;
  static constexpr int kCopies = 8 / kRowsAtOnce;  // of the 8 rows of each matrix
  static constexpr bool kHasScales = !IsFloat(kLayout) && !HasPackedScales(kLayout);
  static constexpr int kScaleBytes = HasSignedScales(kLayout) ? 8 : 16;  // of a row of a unit

  GEMMA_DEVICE WholeCopier(const MatvecParams& p, int first, int end)
      : p_(p),
        cursor_(first, p.units_per_tile),
        end_(end),
        value_row_(p.columns / 32 * ValueBytes(kLayout)) {
    if (cursor_.unit < end_) Enter();
  }

  template <int kHalf>
  GEMMA_DEVICE void CopyNext(std::byte* stage) {
    if (cursor_.unit < end_) {
      Copy<kHalf>(stage);
      if (kHalf == 1) Advance();
    }
    CommitCopies();
  }

 private:
  // Points at the cursor's unit.
  GEMMA_DEVICE void Enter() {
    int tile;
    const MatvecPart& part = PartOf(p_, cursor_.tile, tile);
    part_end_ = part.tile_end;
    step_ = part.tile_step - 1;
    const int column = cursor_.in_tile * UnitColumns(kLayout);
    const int64_t first = static_cast<int64_t>(tile) * part.tile_step,
                  second = first + part.second_row;
    const int64_t value_offset = int64_t{column} / 32 * ValueBytes(kLayout) + Lane() % kChunks * 16;
    low_ = part.first.values + (first + Lane() / kChunks) * value_row_ + value_offset;
    high_ = part.second.values + (second + Lane() / kChunks) * value_row_ + value_offset;
    if constexpr (HasPackedScales(kLayout)) {
      packed_low_ = Packed(part.first, first + Lane() / 4, column);
      packed_high_ = Packed(part.second, second + Lane() / 4, column);
    }
    // Rows of the first half by lane: 16 rows, one a lane (the upper lanes repeat them).
    const bool is_high = Lane() % 16 >= 8;
    const Matrix& mine = is_high ? part.second : part.first;
    const int64_t row = (is_high ? second : first) + Lane() % 8;
    if constexpr (kHasScales) {
      if (!p_.float_scales) scales_ = mine.scales + row * ScaleRow() + column / 256 * kScaleBytes;
    }
    if constexpr (HasMins(kLayout)) {
      if (!p_.float_scales) mins_ = mine.mins + row * (p_.columns / 16) + column / 16;
    }
    if constexpr (HasInt8Scales(kLayout))
      blocks_ = mine.blocks + (row * (p_.columns / 256) + column / 256) * 2;
    if constexpr (HasPairPlane(kLayout)) {
      const int64_t offset = column / 4 + Lane() % 4 * 16;
      extra_ = part.first.extra + (first + Lane() / 4) * (p_.columns / 4) + offset;
      extra_high_ = part.second.extra + (second + Lane() / 4) * (p_.columns / 4) + offset;
    }
    if constexpr (HasBitPlane(kLayout)) {
      const bool high = Lane() >= 16;
      extra_ = (high ? part.second.extra : part.first.extra) +
               ((high ? second : first) + Lane() % 16 / 2) * (p_.columns / 8) + column / 8 +
               Lane() % 2 * 16;
    }
  }

  // Bytes of a row of scales.
  GEMMA_DEVICE int ScaleRow() const { return p_.columns / 256 * kScaleBytes; }

  // Words 0-2 of 12 packed bytes, and d with dmin.
  GEMMA_DEVICE const std::byte* Packed(const Matrix& m, int64_t row, int column) const {
    const int word = Lane() % 4;
    const int64_t block = row * (p_.columns / 256) + column / 256;
    return word < 3 ? m.scales + block * 12 + word * 4 : m.blocks + block * 4;
  }

  template <int kHalf>
  GEMMA_DEVICE void Copy(std::byte* stage) const {
    constexpr int kRows = 8 * kHalf;  // below the pointers
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int r = i * kRowsAtOnce + Lane() / kChunks;
      std::byte* const to =
          stage + r * kStage.row + SwizzledChunk<kLayout, kGroups>(r, Lane() % kChunks) * 16;
      const int64_t below = static_cast<int64_t>(kRows + i * kRowsAtOnce) * value_row_;
      CopyAsync<16>(to, low_ + below);
      CopyAsync<16>(to + 8 * kStage.row, high_ + below);
    }
    if constexpr (HasPackedScales(kLayout)) {
      std::byte* const word = stage + kStage.scales + Lane() * 4;
      const int64_t below =
          static_cast<int64_t>(kRows) * (p_.columns / 256) * (Lane() % 4 < 3 ? 12 : 4);
      CopyAsync<4>(word, packed_low_ + below);
      CopyAsync<4>(word + 8 * 16, packed_high_ + below);
    }
    if constexpr (kHasScales) {
      if (Lane() < kHalfRows && !p_.float_scales) {
        CopyAsync<kScaleBytes>(stage + kStage.scales + Lane() * 16, scales_ + kRows * ScaleRow());
        if constexpr (HasMins(kLayout))
          CopyAsync<16>(stage + kStage.mins + Lane() * 16, mins_ + kRows * (p_.columns / 16));
      }
    }
    if constexpr (HasBitPlane(kLayout)) {
      CopyAsync<16>(stage + kStage.extra + Lane() / 2 * kStage.extra_row + Lane() % 2 * 16,
                    extra_ + kRows * (p_.columns / 8));
    }
    if constexpr (HasPairPlane(kLayout)) {
      std::byte* const pairs =
          stage + kStage.extra + Lane() / 4 * kStage.extra_row + Lane() % 4 * 16;
      CopyAsync<16>(pairs, extra_ + kRows * (p_.columns / 4));
      CopyAsync<16>(pairs + 8 * kStage.extra_row, extra_high_ + kRows * (p_.columns / 4));
    }
    if constexpr (HasInt8Scales(kLayout)) {
      if (Lane() < kHalfRows) {
        // The aligned word that holds the row's float16 d.
        const uintptr_t word =
            reinterpret_cast<uintptr_t>(blocks_ + kRows * (p_.columns / 256) * 2) & ~uintptr_t{3};
        CopyAsync<4>(stage + kStage.blocks + Lane() * 4, reinterpret_cast<const void*>(word));
      }
    }
  }

  // To the warp's next unit: kMatvecWarps units on in the same rows, and, for every tile left,
  // tile_step - 1 rows down (a row's bytes are those of its units, so the end of a row is the
  // beginning of the next one).
  GEMMA_DEVICE void Advance() {
    const int before = cursor_.tile;
    cursor_.Advance(p_.units_per_tile);
    if (cursor_.tile >= part_end_) {
      if (cursor_.unit < end_) Enter();
      return;
    }
    const int64_t rows = static_cast<int64_t>(cursor_.tile - before) * step_;
    const int64_t move = rows * value_row_ + kMatvecWarps * kStage.value_bytes;
    low_ += move;
    high_ += move;
    if constexpr (HasPackedScales(kLayout)) {
      const int64_t packed_move =
          (rows * (p_.columns / 256) + kMatvecWarps) * (Lane() % 4 < 3 ? 12 : 4);
      packed_low_ += packed_move;
      packed_high_ += packed_move;
    }
    const int64_t scale_move = rows * ScaleRow() + kMatvecWarps * kScaleBytes;
    if constexpr (kHasScales) scales_ += scale_move;
    if constexpr (HasMins(kLayout)) mins_ += scale_move;
    if constexpr (HasBitPlane(kLayout)) extra_ += rows * (p_.columns / 8) + kMatvecWarps * 32;
    if constexpr (HasPairPlane(kLayout)) {
      const int64_t pair_move = rows * (p_.columns / 4) + kMatvecWarps * 64;
      extra_ += pair_move;
      extra_high_ += pair_move;
    }
    if constexpr (HasInt8Scales(kLayout)) blocks_ += (rows * (p_.columns / 256) + kMatvecWarps) * 2;
  }

  const MatvecParams& p_;
  UnitCursor cursor_;
  const int end_;
  const int value_row_;
  int step_ = 0;
  int part_end_ = 0;
  // Where this lane reads its share of each plane: rows 0-7 of a half in `first` and `second`, or
  // its own row of 16.
  const std::byte* low_ = nullptr;
  const std::byte* high_ = nullptr;
  const std::byte* packed_low_ = nullptr;
  const std::byte* packed_high_ = nullptr;
  const std::byte* scales_ = nullptr;
  const std::byte* mins_ = nullptr;
  const std::byte* extra_ = nullptr;
  const std::byte* extra_high_ = nullptr;
  const std::byte* blocks_ = nullptr;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_COPY_H_
