// The product that prompts spend their time in: rows (weights or keys, broadcast)
// times a tile of kTile columns held in vectors (tokens or queries).
// All accumulators of kTileRows x 2 vectors stay in registers.

#if defined(GEMMA_SIMD_LOOKS_UP_NIBBLES)
constexpr int kTileRows = 14;  // of 32 registers: 28 sums, 2 of the tile, 1 broadcast
#elif defined(GEMMA_SIMD_X86)
constexpr int kTileRows = 6;  // of 16 registers: 12 sums, 2 of the tile, 1 broadcast
#else
constexpr int kTileRows = 4;
#endif
constexpr int kTile = 2 * kLanes;

inline int64_t PackedColumns(int64_t columns) { return (columns + kLanes - 1) / kLanes * kLanes; }

// out[r][j] = sum over k of panel(r, k) * x[k][j], for kRows rows and the first kWidth vectors of
// the tile. panel: [depth / kLanes][kRows][kLanes]; x: [depth][kTile]; out: [kRows][kTile]. depth
// is a multiple of kLanes.
template <int kRows, int kWidth>
inline void MultiplyPanel(const float* panel, const float* x, int64_t depth, float* out) {
  F sums[kRows][kWidth] = {};
  for (int64_t k = 0; k < depth; k += kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      F tile[kWidth];
#pragma GCC unroll 2
      for (int j = 0; j < kWidth; ++j) tile[j] = Load(x + i * kTile + j * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const F weight = Set(panel[r * kLanes + i]);
#pragma GCC unroll 2
        for (int j = 0; j < kWidth; ++j) sums[r][j] = Fma(weight, tile[j], sums[r][j]);
      }
    }
    panel += kRows * kLanes;
    x += kLanes * kTile;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < kWidth; ++j) Store(out + r * kTile + j * kLanes, sums[r][j]);
  }
}

// sums[r][j] += sum over k of rows[k * stride + r] * x[k][j],
// for kRows rows. sums: [kRows][kTile]; x: [depth][kTile].
template <int kRows>
inline void AccumulateRows(const float* rows, int64_t stride, const float* x, int64_t depth,
                           float* out) {
  F sums[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    sums[r][0] = Load(out + r * kTile);
    sums[r][1] = Load(out + r * kTile + kLanes);
  }
  for (int64_t k = 0; k < depth; ++k) {
    const F left = Load(x + k * kTile), right = Load(x + k * kTile + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const F weight = Set(rows[k * stride + r]);
      sums[r][0] = Fma(weight, left, sums[r][0]);
      sums[r][1] = Fma(weight, right, sums[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    Store(out + r * kTile, sums[r][0]);
    Store(out + r * kTile + kLanes, sums[r][1]);
  }
}

// Four rows of four floats, transposed.
// Rows of `in` are in_stride floats apart, rows of `out` out_stride.
inline void Transpose4(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  typedef float F4 __attribute__((vector_size(16)));
  F4 row[4];
  for (int i = 0; i < 4; ++i) std::memcpy(&row[i], in + i * in_stride, sizeof(F4));
  const F4 low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
  const F4 high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
  const F4 low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
  const F4 high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  const F4 column[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
                        __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                        __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
                        __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
  for (int i = 0; i < 4; ++i) std::memcpy(out + i * out_stride, &column[i], sizeof(F4));
}

// out[c][r] = in[r][c]
inline void Transpose(const float* in, int64_t in_stride, int64_t rows, int64_t columns, float* out,
                      int64_t out_stride) {
  const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (int64_t r = 0; r < whole_rows; r += 4) {
    for (int64_t c = 0; c < whole_columns; c += 4)
      Transpose4(in + r * in_stride + c, in_stride, out + c * out_stride + r, out_stride);
    for (int64_t c = whole_columns; c < columns; ++c) {
      for (int64_t i = r; i < r + 4; ++i) out[c * out_stride + i] = in[i * in_stride + c];
    }
  }
  for (int64_t r = whole_rows; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) out[c * out_stride + r] = in[r * in_stride + c];
  }
}

// out[t][r] = (or +=) tile[r][t] for the first rows and tokens of a tile of kRows rows that are
// `stride` floats apart.
template <int kRows>
inline void StoreTile(const float* tile, int64_t stride, int64_t tokens, int64_t rows, bool add,
                      float* out, int64_t out_stride) {
  constexpr int kStride = (kRows + 3) / 4 * 4;
  float turned[32 * kStride];
  Transpose(tile, stride, kStride, tokens, turned, kStride);
  for (int64_t t = 0; t < tokens; ++t) {
    const float* from = turned + t * kStride;
    float* to = out + t * out_stride;
    if (add) {
      for (int64_t r = 0; r < rows; ++r) to[r] += from[r];
    } else {
      std::memcpy(to, from, rows * sizeof(float));
    }
  }
}
