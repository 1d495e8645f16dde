// Linear for few tokens: every weight is read once, at the speed of memory, and turned into floats in registers.

// Rows that one pass over the input serves, so that they share its loads.
constexpr int kDotRows = 4;

// sums[b] = the sum of x over block b of 32 columns: what a group's min is multiplied with.
inline void SumBlocks(const float* x, int64_t columns, float* sums) {
  for (int64_t b = 0; b < columns / kBlockColumns; ++b) {
    F sum = Load(x + b * kBlockColumns);
    for (int v = 1; v < kVectors; ++v) sum = sum + Load(x + b * kBlockColumns + v * kLanes);
    sums[b] = Sum(sum);
  }
}

inline float Dot(const float* a, const float* b, int64_t size) {
  F sum = Set(0);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) sum = Fma(Load(a + i), Load(b + i), sum);
  if (i < size) sum = Fma(LoadPart(a + i, size - i), LoadPart(b + i, size - i), sum);
  return Sum(sum);
}

// The code rows' bytes that the next rows will need.
template <WeightLayout kLayout>
inline void PrefetchCodes(const CodeRow& row, int64_t block, int64_t rows_ahead, int64_t columns) {
  constexpr int kBytes = kLayout == WeightLayout::kInt8 ? 32 : 16;
  __builtin_prefetch(row.values + block * kBytes + rows_ahead * columns * kBytes / kBlockColumns);
}

// out[r] = weight[row + r] . x, for kRows rows of a layout with codes.
template <WeightLayout kLayout, int kRows>
inline void DotCodes(const WeightView& weight, int64_t row, const float* x, const float* block_sums, float* factors,
                     float* out) {
  constexpr int kScales = ScalesPerBlock(kLayout);
  constexpr int kVectorsPerScale = kVectors / kScales;
  const int64_t columns = weight.shape.columns, blocks = columns / kBlockColumns;
  const float* scales[kRows];
  CodeRow codes[kRows];
  F sums[kRows] = {};
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    float* row_scales = factors + r * columns / 8;
    float* mins = row_scales + blocks * kScales;
    ReadFactors<kLayout>(weight, row + r, row_scales, mins);
    if constexpr (HasMins(kLayout)) out[r] = Dot(mins, block_sums, blocks);
    scales[r] = row_scales;
    codes[r] = CodesOf<kLayout>(weight, row + r);
  }
  for (int64_t block = 0; block < blocks; ++block) {
    F in[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) in[v] = Load(x + block * kBlockColumns + v * kLanes);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      F q[kVectors];
      Codes<kLayout>(codes[r], block, q);
      PrefetchCodes<kLayout>(codes[r], block, kRows, columns);
#pragma GCC unroll 2
      for (int s = 0; s < kScales; ++s) {
        F dot = q[s * kVectorsPerScale] * in[s * kVectorsPerScale];
#pragma GCC unroll 8
        for (int v = s * kVectorsPerScale + 1; v < (s + 1) * kVectorsPerScale; ++v) dot = Fma(q[v], in[v], dot);
        sums[r] = Fma(dot, Set(scales[r][block * kScales + s]), sums[r]);
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) out[r] = (HasMins(kLayout) ? out[r] : 0) + Sum(sums[r]);
}

// The same for F32, F16 and BF16.
template <WeightLayout kLayout, int kRows>
inline void DotElements(const WeightView& weight, int64_t row, const float* x, float* out) {
  using Type = typename Elements<kLayout>::Type;
  const int64_t columns = weight.shape.columns;
  const Type* p = reinterpret_cast<const Type*>(weight.plane(weight.planes.values)) + row * columns;
  F sums[kRows][2] = {};
  int64_t c = 0;
  for (; c + 2 * kLanes <= columns; c += 2 * kLanes) {
    const F left = Load(x + c), right = Load(x + c + kLanes);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      sums[r][0] = Fma(Elements<kLayout>::Vector(p + r * columns + c), left, sums[r][0]);
      sums[r][1] = Fma(Elements<kLayout>::Vector(p + r * columns + c + kLanes), right, sums[r][1]);
    }
  }
  for (; c < columns; c += kLanes) {
    const int64_t count = std::min<int64_t>(kLanes, columns - c);
    const F in = LoadPart(x + c, count);
    for (int r = 0; r < kRows; ++r) sums[r][0] = Fma(PartOf<kLayout>(p + r * columns + c, count), in, sums[r][0]);
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) out[r] = Sum(sums[r][0] + sums[r][1]);
}

template <WeightLayout kLayout, int kRows>
inline void DotRows(const Linear& op, int64_t row, float* block_sums, float* factors) {
  if constexpr (IsPlain(kLayout)) {
    DotElements<kLayout, kRows>(op.weight, row, op.in, op.out + row);
  } else {
    DotCodes<kLayout, kRows>(op.weight, row, op.in, block_sums, factors, op.out + row);
  }
}

template <WeightLayout kLayout>
inline void MultiplyOneToken(const Linear& op, float* scratch, Range rows) {
  const int64_t columns = op.weight.shape.columns;
  float* factors = scratch + columns / kBlockColumns;
  if constexpr (HasMins(kLayout)) SumBlocks(op.in, columns, scratch);
  int64_t row = rows.begin;
  for (; row + kDotRows <= rows.end; row += kDotRows) DotRows<kLayout, kDotRows>(op, row, scratch, factors);
  for (; row < rows.end; ++row) DotRows<kLayout, 1>(op, row, scratch, factors);
}

// 2 to 8 tokens: rows are dequantized into a strip that stays in the first- or second-level cache, and up to
// kStripTokens tokens at a time are multiplied with it.
constexpr int kStripRows = 4;
constexpr int kStripTokens = kLanes == 16 ? 4 : 2;
constexpr int64_t kStripColumns = 2048;

// out[t][r] (+)= strip[r] . x[t], for kStripRows x kTokens. strip: [kStripRows][kStripColumns]
template <int kTokens>
inline void MultiplyStrip(const float* strip, const float* x, int64_t x_stride, int64_t columns, float (*out)[kStripRows]) {
  F sums[kTokens][kStripRows] = {};
  for (int64_t c = 0; c < columns; c += kLanes) {
    F weights[kStripRows];
#pragma GCC unroll 4
    for (int r = 0; r < kStripRows; ++r) weights[r] = Load(strip + r * kStripColumns + c);
    const int64_t count = std::min<int64_t>(kLanes, columns - c);
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      const float* p = x + t * x_stride + c;
      const F in = count == kLanes ? Load(p) : LoadPart(p, count);
#pragma GCC unroll 4
      for (int r = 0; r < kStripRows; ++r) sums[t][r] = Fma(weights[r], in, sums[t][r]);
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (int r = 0; r < kStripRows; ++r) out[t][r] += Sum(sums[t][r]);
  }
}

inline void MultiplyStrip(int tokens, const float* strip, const float* x, int64_t x_stride, int64_t columns,
                          float (*out)[kStripRows]) {
  for (; tokens >= kStripTokens; tokens -= kStripTokens) {
    MultiplyStrip<kStripTokens>(strip, x, x_stride, columns, out);
    x += kStripTokens * x_stride;
    out += kStripTokens;
  }
  for (; tokens > 0; --tokens) {
    MultiplyStrip<1>(strip, x, x_stride, columns, out);
    x += x_stride;
    ++out;
  }
}

template <WeightLayout kLayout>
inline void MultiplySomeTokens(const Linear& op, float* scratch, Range share) {
  const int64_t columns = op.weight.shape.columns, rows = op.weight.shape.rows;
  const int tokens = static_cast<int>(op.tokens);
  float* strip = scratch;
  float* factors = strip + kStripRows * kStripColumns;
  for (int64_t row = share.begin; row < share.end; row += kStripRows) {
    const int64_t count = std::min<int64_t>(kStripRows, share.end - row);
    float sums[kMaxUnpackedTokens][kStripRows] = {};
    for (int64_t begin = 0; begin < columns; begin += kStripColumns) {
      const int64_t end = std::min(columns, begin + kStripColumns);
      for (int64_t r = 0; r < count; ++r) {
        float* out = strip + r * kStripColumns;
        DequantizeColumns<kLayout>(op.weight, row + r, begin, end, factors,
                                   [out](int64_t v, F values) { Store(out + v * kLanes, values); });
      }
      MultiplyStrip(tokens, strip, op.in + begin, columns, end - begin, sums);
    }
    for (int t = 0; t < tokens; ++t) std::copy(sums[t], sums[t] + count, op.out + t * rows + row);
  }
}

inline void MultiplyFewTokens(const Linear& op, const Workspace& workspace, Slice slice) {
  const Range rows = Share(op.weight.shape.rows, slice, kDotRows);
  float* scratch = workspace.thread_scratch(slice.index);
  WithLayout(op.weight.shape.layout, [&]<WeightLayout kLayout>() {
    if (op.tokens == 1) {
      MultiplyOneToken<kLayout>(op, scratch, rows);
    } else {
      MultiplySomeTokens<kLayout>(op, scratch, rows);
    }
  });
}
