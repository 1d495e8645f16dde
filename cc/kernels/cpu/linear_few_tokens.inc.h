// Linear for few tokens: every weight is read once, at the speed of memory, and turned into floats
// in registers. Some rows are worked on together, so that they share the loads of the input, and up
// to four tokens, so that they share the decoding of the weights.

// Rows whose factors are read together. One token: all of them share a pass over the input; more
// tokens: two at a time.
constexpr int kDotRows = 4;
constexpr int kDotTokens = 4;
constexpr int kRowsOfMoreTokens = kLanes == 16 ? 2 : 1;  // what the registers hold

// How far ahead of its use a weight is asked for.
// Rows follow one another, so this reaches into the next ones.
constexpr int64_t kPrefetchBytes = 8192;

// Where the inputs of some tokens lie, and their results go. The distance from one token to the
// next is in elements.
template <typename Input>
struct TokenInputs {
  const Input* in;
  int64_t in_stride;
  const float* block_sums;  // sums over blocks of 32 columns, for layouts with mins
  int64_t blocks;
  float* out;
  int64_t out_stride;
};

// sums[b] = the sum of x over block b: what a group's min is multiplied with.
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

// out[t * out_stride + r] = Sum(sums[t][r])
template <int kRows, int kTokens>
inline void StoreSums(const F (&sums)[kTokens][kRows], float* out, int64_t out_stride) {
  if constexpr (kRows == 4) {
    for (int t = 0; t < kTokens; ++t) StoreFourSums(sums[t], out + t * out_stride);
  } else {
    for (int t = 0; t < kTokens; ++t) {
      for (int r = 0; r < kRows; ++r) out[t * out_stride + r] = Sum(sums[t][r]);
    }
  }
}

// The product of rows [row, row + kRows) with kTokens tokens, for F32, F16 and BF16.
template <WeightLayout kLayout, int kRows, int kTokens>
inline void DotElements(const WeightView& weight, int64_t row, const TokenInputs<float>& tokens) {
  using Type = typename Elements<kLayout>::Type;
  const int64_t columns = weight.shape.columns;
  const Type* p = reinterpret_cast<const Type*>(weight.plane(weight.planes.values)) + row * columns;
  F sums[kTokens][kRows] = {};
  int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      __builtin_prefetch(reinterpret_cast<const std::byte*>(p + r * columns + c) + kPrefetchBytes);
      const F w = Elements<kLayout>::Vector(p + r * columns + c);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t)
        sums[t][r] = Fma(w, Load(tokens.in + t * tokens.in_stride + c), sums[t][r]);
    }
  }
  for (int r = 0; r < kRows && c < columns; ++r) {
    const F w = PartOf<kLayout>(p + r * columns + c, columns - c);
    for (int t = 0; t < kTokens; ++t) {
      sums[t][r] = Fma(w, LoadPart(tokens.in + t * tokens.in_stride + c, columns - c), sums[t][r]);
    }
  }
  StoreSums<kRows, kTokens>(sums, tokens.out + row, tokens.out_stride);
}

// The same for INT8. scales: [kRows][columns / 32]
template <int kRows, int kTokens>
inline void DotBytes(const WeightView& weight, int64_t row, const TokenInputs<float>& tokens,
                     const float* scales) {
  const int64_t columns = weight.shape.columns, blocks = tokens.blocks;
  const uint8_t* codes = CodesOf<WeightLayout::kInt8>(weight, row).values;
  F sums[kTokens][kRows] = {};
  for (int64_t block = 0; block < blocks; ++block) {
    const float* in = tokens.in + block * kBlockColumns;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      F q[kVectors];
      Codes<WeightLayout::kInt8>({codes + r * columns, nullptr, nullptr}, block, q);
      __builtin_prefetch(codes + r * columns + block * kBlockColumns + kPrefetchBytes);
      const F scale = Set(scales[r * blocks + block]);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        F dot = q[0] * Load(in + t * tokens.in_stride);
#pragma GCC unroll 8
        for (int v = 1; v < kVectors; ++v)
          dot = Fma(q[v], Load(in + t * tokens.in_stride + v * kLanes), dot);
        sums[t][r] = Fma(dot, scale, sums[t][r]);
      }
    }
  }
  StoreSums<kRows, kTokens>(sums, tokens.out + row, tokens.out_stride);
}

// The same for layouts with nibbles, on arranged inputs.
template <WeightLayout kLayout, int kRows, int kTokens>
inline void DotNibbles(const WeightView& weight, int64_t row, const TokenInputs<ChunkInput>& tokens,
                       const Factors<kLayout>& factors) {
  constexpr int kScales = ScalesPerBlock(kLayout);
  const int64_t columns = weight.shape.columns, blocks = tokens.blocks,
                chunks = blocks / kChunkBlocks;
  const CodeRow codes = CodesOf<kLayout>(weight, row);
  const auto at = [&](int r, int64_t chunk) {
    return ChunkPointers{codes.values + r * (columns / 2) + chunk * (kChunkBlocks * 16),
                         codes.bits + r * (columns / 8) + chunk * (kChunkBlocks * 4),
                         codes.pairs + r * (columns / 4) + chunk * (kChunkBlocks * 8)};
  };
  F sums[kTokens][kRows];
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      sums[t][r] = AddsMins(kLayout)
                       ? DotLanes(factors.mins + r * blocks, tokens.block_sums + t * blocks, blocks)
                       : Set(0);
    }
  }
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const ChunkPointers pointers = at(r, chunk);
      __builtin_prefetch(pointers.nibbles + kPrefetchBytes);
      DotChunk<kLayout, kRows, kTokens>(
          pointers, tokens.in + chunk, tokens.in_stride,
          factors.scales + (r * blocks + chunk * kChunkBlocks) * kScales, r, sums);
    }
  }
  for (int r = 0; r < kRows && blocks % kChunkBlocks != 0; ++r) {
    DotLastChunk<kLayout, kRows, kTokens>(
        at(r, chunks), blocks % kChunkBlocks, tokens.in + chunks, tokens.in_stride,
        factors.scales + (r * blocks + chunks * kChunkBlocks) * kScales, r, sums);
  }
  StoreSums<kRows, kTokens>(sums, tokens.out + row, tokens.out_stride);
}

// What the inner loops read, by layout.
template <WeightLayout kLayout>
using InputOf = std::conditional_t<HasNibbles(kLayout), ChunkInput, float>;

template <WeightLayout kLayout, int kRows, int kTokens>
inline void DotRows(const WeightView& weight, int64_t row,
                    const TokenInputs<InputOf<kLayout>>& tokens, const Factors<kLayout>& factors) {
  if constexpr (IsFloat(kLayout)) {
    DotElements<kLayout, kRows, kTokens>(weight, row, tokens);
  } else if constexpr (HasNibbles(kLayout)) {
    DotNibbles<kLayout, kRows, kTokens>(weight, row, tokens, factors);
  } else {
    DotBytes<kRows, kTokens>(weight, row, tokens, factors.scales);
  }
}

// Up to kDotRows rows, as many at a time as the number of tokens allows.
template <WeightLayout kLayout, int kTokens>
inline void DotRowGroup(const WeightView& weight, Range rows,
                        const TokenInputs<InputOf<kLayout>>& tokens, Factors<kLayout> factors) {
  constexpr int kRows = kTokens == 1 ? kDotRows : kRowsOfMoreTokens;
  int64_t row = rows.begin;
  for (; row + kRows <= rows.end; row += kRows) {
    DotRows<kLayout, kRows, kTokens>(weight, row, tokens, factors);
    factors.Skip(tokens.blocks * kRows);
  }
  for (; row < rows.end; ++row) {
    DotRows<kLayout, 1, kTokens>(weight, row, tokens, factors);
    factors.Skip(tokens.blocks);
  }
}

// All tokens, up to kDotTokens at a time; the rows stay in the first-level cache meanwhile.
template <WeightLayout kLayout>
inline void DotTokens(const WeightView& weight, Range rows, TokenInputs<InputOf<kLayout>> tokens,
                      int64_t count, const Factors<kLayout>& factors) {
  for (int64_t done; count > 0; count -= done) {
    done = std::min<int64_t>(count, kDotTokens);
    if (done == 1) DotRowGroup<kLayout, 1>(weight, rows, tokens, factors);
    if (done == 2) DotRowGroup<kLayout, 2>(weight, rows, tokens, factors);
    if (done == 3) DotRowGroup<kLayout, 3>(weight, rows, tokens, factors);
    if (done == 4) DotRowGroup<kLayout, 4>(weight, rows, tokens, factors);
    tokens.in += done * tokens.in_stride;
    tokens.block_sums += done * tokens.blocks;
    tokens.out += done * tokens.out_stride;
  }
}

// What a product with few tokens needs beside its operands, in a thread's scratch.
struct FewTokensScratch {
  ChunkInput* arranged;  // [tokens][chunks], for layouts with nibbles
  float* block_sums;     // [tokens][columns / 32], for layouts with mins
  float* factors[2];     // of the rows at hand, and of those that come next

  FewTokensScratch(float* memory, int64_t columns, int64_t tokens) {
    arranged = reinterpret_cast<ChunkInput*>(memory);
    block_sums = memory + tokens * ChunksOf(columns) * (sizeof(ChunkInput) / sizeof(float));
    factors[0] = block_sums + tokens * (columns / kBlockColumns);
    factors[1] = factors[0] + kDotRows * columns / 8;
  }
};

template <WeightLayout kLayout>
inline TokenInputs<InputOf<kLayout>> PrepareTokens(const Linear& op,
                                                   const FewTokensScratch& scratch) {
  const int64_t columns = op.weight.shape.columns, rows = op.weight.shape.rows,
                blocks = columns / kBlockColumns;
  for (int64_t t = 0; t < op.tokens; ++t) {
    const float* in = op.in + t * columns;
    if constexpr (HasNibbles(kLayout))
      ArrangeInput<kLayout>(in, columns, scratch.arranged + t * ChunksOf(columns));
    if constexpr (AddsMins(kLayout)) SumBlocks(in, columns, scratch.block_sums + t * blocks);
  }
  if constexpr (HasNibbles(kLayout)) {
    return {scratch.arranged, ChunksOf(columns), scratch.block_sums, blocks, op.out, rows};
  } else {
    return {op.in, columns, scratch.block_sums, blocks, op.out, rows};
  }
}

// The factors of the next rows are read before the rows at hand are, so that nobody waits for them.
template <WeightLayout kLayout>
inline void MultiplyFewTokensOf(const Linear& op, const TokenInputs<InputOf<kLayout>>& tokens,
                                const FewTokensScratch& scratch, Range rows) {
  const int64_t columns = op.weight.shape.columns;
  const auto factors_of = [&](int64_t row) {
    const int64_t count = std::min<int64_t>(kDotRows, rows.end - row);
    const Factors<kLayout> factors(scratch.factors[(row - rows.begin) / kDotRows % 2], columns,
                                   count);
    if constexpr (!IsFloat(kLayout)) {
      if (count > 0) ReadFactors(op.weight, row, count, factors);
    }
    return factors;
  };
  Factors<kLayout> next = factors_of(rows.begin);
  for (int64_t row = rows.begin; row < rows.end; row += kDotRows) {
    const Factors<kLayout> factors = next;
    next = factors_of(row + kDotRows);
    DotTokens<kLayout>(op.weight, {row, std::min(rows.end, row + kDotRows)}, tokens, op.tokens,
                       factors);
  }
}

// What a thread claims at a time, in bytes: much more than it asks for beyond its end.
constexpr int64_t kMostClaimedBytes = 256 << 10;
constexpr int64_t kLeastClaimedBytes = 16 << 10;

inline void MultiplyFewTokens(const Linear& op, const Workspace& workspace, Slice slice,
                              Claims* claims) {
  const int64_t rows = op.weight.shape.rows;
  const int64_t row_bytes = static_cast<int64_t>(op.weight.planes.bytes) / rows + 1;
  const int64_t most = kMostClaimedBytes / row_bytes, least = kLeastClaimedBytes / row_bytes;
  const int64_t multiple = (least / kDotRows + 1) * kDotRows;
  const FewTokensScratch scratch(workspace.thread_scratch(slice.index), op.weight.shape.columns,
                                 op.tokens);
  WithLayout(op.weight.shape.layout, [&]<WeightLayout kLayout>() {
    const TokenInputs<InputOf<kLayout>> tokens = PrepareTokens<kLayout>(op, scratch);
    const auto multiply = [&](Range part) {
      if (part.begin < part.end) MultiplyFewTokensOf<kLayout>(op, tokens, scratch, part);
    };
    ForParts(rows, slice, claims, claims == nullptr ? kDotRows : multiple, most, multiply);
  });
}
