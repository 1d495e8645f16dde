// Linear for few tokens: every weight is read once, at the speed of memory, and turned into floats in registers.

// Rows that one pass over the input serves, so that they share its loads.
constexpr int kDotRows = 4;

// How far ahead of its use a weight is asked for. Rows follow one another, so this reaches into the next ones.
constexpr int64_t kPrefetchBytes = 8192;

// sums[b] = the sum of x over block b of 32 columns: what a group's min is multiplied with.
inline void SumBlocks(const float* x, int64_t columns, float* sums) {
  for (int64_t b = 0; b < columns / kBlockColumns; ++b) {
    F sum = Load(x + b * kBlockColumns);
    for (int v = 1; v < kVectors; ++v) sum = sum + Load(x + b * kBlockColumns + v * kLanes);
    sums[b] = Sum(sum);
  }
}

// a . b, not yet summed over the lanes.
inline F DotLanes(const float* a, const float* b, int64_t size) {
  F sum = Set(0);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) sum = Fma(Load(a + i), Load(b + i), sum);
  if (i < size) sum = Fma(LoadPart(a + i, size - i), LoadPart(b + i, size - i), sum);
  return sum;
}

template <int kRows>
inline void StoreRowSums(const F (&sums)[kRows], float* out) {
  if constexpr (kRows == 4) {
    StoreFourSums(sums, out);
  } else {
    for (int r = 0; r < kRows; ++r) out[r] = Sum(sums[r]);
  }
}

// out[r] = weight[row + r] . x, for kRows rows of INT8.
template <int kRows>
inline void DotBytes(const WeightView& weight, int64_t row, const float* x, const float* scales, float* out) {
  const int64_t columns = weight.shape.columns, blocks = columns / kBlockColumns;
  const uint8_t* codes = CodesOf<WeightLayout::kInt8>(weight, row).values;
  F sums[kRows] = {};
  for (int64_t block = 0; block < blocks; ++block) {
    F in[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) in[v] = Load(x + block * kBlockColumns + v * kLanes);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      F q[kVectors];
      Codes<WeightLayout::kInt8>({codes + r * columns, nullptr, nullptr}, block, q);
      __builtin_prefetch(codes + r * columns + block * kBlockColumns + kPrefetchBytes);
      F dot = q[0] * in[0];
#pragma GCC unroll 8
      for (int v = 1; v < kVectors; ++v) dot = Fma(q[v], in[v], dot);
      sums[r] = Fma(dot, Set(scales[r * blocks + block]), sums[r]);
    }
  }
  StoreRowSums<kRows>(sums, out);
}

// The same for layouts with nibbles, on an arranged input.
template <WeightLayout kLayout, int kRows>
inline void DotNibbles(const WeightView& weight, int64_t row, const ChunkInput* input, const float* block_sums,
                       const Factors<kLayout>& factors, float* out) {
  constexpr int kScales = ScalesPerBlock(kLayout);
  const int64_t columns = weight.shape.columns, blocks = columns / kBlockColumns;
  const CodeRow codes = CodesOf<kLayout>(weight, row);
  const auto at = [&](int r, int64_t chunk) {
    return ChunkPointers{codes.values + r * (columns / 2) + chunk * (kChunkBlocks * 16),
                         codes.bits + r * (columns / 8) + chunk * (kChunkBlocks * 4),
                         codes.pairs + r * (columns / 4) + chunk * (kChunkBlocks * 8)};
  };
  F sums[kRows];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    sums[r] = HasMins(kLayout) ? DotLanes(factors.mins + r * blocks, block_sums, blocks) : Set(0);
  }
  const int64_t chunks = blocks / kChunkBlocks;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const ChunkPointers pointers = at(r, chunk);
      __builtin_prefetch(pointers.nibbles + kPrefetchBytes);
      sums[r] = DotChunk<kLayout>(pointers, input[chunk], factors.scales + (r * blocks + chunk * kChunkBlocks) * kScales, sums[r]);
    }
  }
  for (int r = 0; r < kRows && blocks % kChunkBlocks != 0; ++r) {
    sums[r] = DotLastChunk<kLayout>(at(r, chunks), blocks % kChunkBlocks, input[chunks],
                                    factors.scales + (r * blocks + chunks * kChunkBlocks) * kScales, sums[r]);
  }
  StoreRowSums<kRows>(sums, out);
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
      __builtin_prefetch(reinterpret_cast<const std::byte*>(p + r * columns + c) + kPrefetchBytes);
      if constexpr (sizeof(Type) * kLanes == 64) {
        __builtin_prefetch(reinterpret_cast<const std::byte*>(p + r * columns + c) + kPrefetchBytes + 64);
      }
      sums[r][0] = Fma(Elements<kLayout>::Vector(p + r * columns + c), left, sums[r][0]);
      sums[r][1] = Fma(Elements<kLayout>::Vector(p + r * columns + c + kLanes), right, sums[r][1]);
    }
  }
  for (; c < columns; c += kLanes) {
    const int64_t count = std::min<int64_t>(kLanes, columns - c);
    const F in = LoadPart(x + c, count);
    for (int r = 0; r < kRows; ++r) sums[r][0] = Fma(PartOf<kLayout>(p + r * columns + c, count), in, sums[r][0]);
  }
  F totals[kRows];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) totals[r] = sums[r][0] + sums[r][1];
  StoreRowSums<kRows>(totals, out);
}

// What a product with one token needs beside its operands, in a thread's scratch.
template <WeightLayout kLayout>
struct OneTokenScratch {
  ChunkInput* input;  // for layouts with nibbles
  float* block_sums;  // for layouts with mins
  float* factors[2];  // of the rows at hand, and of those that come next

  OneTokenScratch(float* memory, int64_t columns) {
    input = reinterpret_cast<ChunkInput*>(memory);
    block_sums = memory + (columns + kChunkColumns - 1) / kChunkColumns * (sizeof(ChunkInput) / sizeof(float));
    factors[0] = block_sums + columns / kBlockColumns;
    factors[1] = Factors<kLayout>(factors[0], columns, kDotRows).end;
  }
};

template <WeightLayout kLayout, int kRows>
inline void DotRows(const Linear& op, int64_t row, const OneTokenScratch<kLayout>& scratch, const Factors<kLayout>& factors) {
  if constexpr (HasNibbles(kLayout)) {
    DotNibbles<kLayout, kRows>(op.weight, row, scratch.input, scratch.block_sums, factors, op.out + row);
  } else {
    DotBytes<kRows>(op.weight, row, op.in, factors.scales, op.out + row);
  }
}

// The factors of the next rows are read before the rows at hand, so that nobody waits for them.
template <WeightLayout kLayout>
inline void MultiplyOneToken(const Linear& op, float* memory, Range rows) {
  const int64_t columns = op.weight.shape.columns;
  const OneTokenScratch<kLayout> scratch(memory, columns);
  const auto factors_of = [&](int64_t row) {
    const int64_t count = std::min<int64_t>(kDotRows, rows.end - row);
    const Factors<kLayout> factors(scratch.factors[(row - rows.begin) / kDotRows % 2], columns, count);
    if (count > 0) ReadFactors(op.weight, row, count, factors);
    return factors;
  };
  if constexpr (HasNibbles(kLayout)) ArrangeInput<kLayout>(op.in, columns, scratch.input);
  if constexpr (HasMins(kLayout)) SumBlocks(op.in, columns, scratch.block_sums);
  Factors<kLayout> next = factors_of(rows.begin);
  for (int64_t row = rows.begin; row < rows.end; row += kDotRows) {
    Factors<kLayout> factors = next;
    next = factors_of(row + kDotRows);
    if (row + kDotRows <= rows.end) {
      DotRows<kLayout, kDotRows>(op, row, scratch, factors);
      continue;
    }
    for (int64_t r = row; r < rows.end; ++r) {
      DotRows<kLayout, 1>(op, r, scratch, factors);
      factors.scales += columns / kBlockColumns * ScalesPerBlock(kLayout);
      factors.mins += columns / kBlockColumns;
    }
  }
}

template <WeightLayout kLayout>
  requires(IsPlain(kLayout))
inline void MultiplyOneToken(const Linear& op, float*, Range rows) {
  int64_t row = rows.begin;
  for (; row + kDotRows <= rows.end; row += kDotRows) DotElements<kLayout, kDotRows>(op.weight, row, op.in, op.out + row);
  for (; row < rows.end; ++row) DotElements<kLayout, 1>(op.weight, row, op.in, op.out + row);
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
