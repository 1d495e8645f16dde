// Linear for many tokens on a machine with tile registers (tiles_model.inc.h).
//
// A tile multiplies bfloat16. The integers that a weight stores are exact in it; a float32 is
// exactly the sum of three of it (limbs), and so are inputs, and weights of floating-point numbers.
// A product of two limbs has 16 bits, so nothing is rounded but the sums, as in float32. Scales and
// mins multiply the sums of a block's columns, in float32.
//
// The input is packed once, into tiles of kTokens tokens and 32 columns. A thread takes panels of
// weight rows and turns them into tiles in its scratch; then, for kTokens tokens at a time, some
// blocks of columns are multiplied with all rows of the panel, so that those blocks of the input
// stay in the first-level cache while the panel streams from the second.

constexpr int kInputLimbs = 3;
constexpr int kTokens = 32;                        // of a tile of the input, 16 a register
constexpr int kStripRows = 32;                     // of the weight, in two registers
constexpr int kLimbElements = 16 * kBlockColumns;  // of a limb's tile, for 16 tokens
constexpr int kTileElements = kTokens / 16 * kInputLimbs * kLimbElements;
// Blocks that are multiplied before their sums are scaled. More of them means that running totals
// are read and written less often, and that more sums wait in the first-level cache.
constexpr int kBlocksTogether = 2;
// Columns and rows of a panel: half of a second-level cache of 2 MB holds it with what it meets.
constexpr int64_t kPanelColumns = 2048;
constexpr int64_t kPanelRows = 128;
// Tokens that a panel meets before the next one is made.
constexpr int64_t kPanelTokens = 512;

// Limbs of a weight, or of the integer that it stores.
constexpr int WeightLimbs(WeightLayout layout) {
  return layout == WeightLayout::kF32 ? 3 : layout == WeightLayout::kF16 ? 2 : 1;
}

inline int64_t PackedBlocks(int64_t columns) {
  return (columns + kBlockColumns - 1) / kBlockColumns;
}

// The packed input: limbs [token tiles][blocks][2][kInputLimbs][16 pairs of columns][16 tokens][2],
// in bfloat16, and each block's sums of inputs, [token tiles][blocks][kTokens].
struct PackedInput {
  uint16_t* limbs;
  float* block_sums;

  PackedInput(float* memory, int64_t tokens, int64_t columns) {
    const int64_t tiles = (tokens + kTokens - 1) / kTokens;
    limbs = reinterpret_cast<uint16_t*>(memory);
    block_sums = memory + tiles * PackedBlocks(columns) * (kTileElements / 2);
  }
};

// The first kLimbs limbs of `count` numbers, a multiple of kLanes; limb i at out + i * stride.
template <int kLimbs>
inline void SplitIntoLimbs(const float* in, int64_t count, uint16_t* out, int64_t stride) {
  for (int64_t i = 0; i < count; i += kLanes) {
    F rest = Load(in + i);
    for (int limb = 0; limb < kLimbs; ++limb) {
      uint16_t* at = out + limb * stride + i;
      StoreBfloat16(at, rest);
      rest = rest - LoadBfloat16(at);
    }
  }
}

// 16 tokens of one block of the input, each of which lies `stride` floats after the one before.
// out: the limbs' tiles, kLimbElements elements apart; sums: [16]
inline void PackHalfTile(const float* in, int64_t stride, int64_t tokens, int64_t columns,
                         uint16_t* out, float* sums) {
  uint16_t rows[kInputLimbs][16][kBlockColumns] = {};
  for (int64_t t = 0; t < 16; ++t) {
    float x[kBlockColumns] = {};
    if (t < tokens) std::memcpy(x, in + t * stride, columns * sizeof(float));
    SplitIntoLimbs<kInputLimbs>(x, kBlockColumns, rows[0][t], 16 * kBlockColumns);
    F sum = Load(x);
    for (int v = 1; v < kVectors; ++v) sum = sum + Load(x + v * kLanes);
    sums[t] = Sum(sum);
  }
  for (int limb = 0; limb < kInputLimbs; ++limb) {
    // Pairs of bfloat16 move as floats do.
    float pairs[16][16], turned[16][16];
    std::memcpy(pairs, rows[limb], sizeof(pairs));
    Transpose(pairs[0], 16, 16, 16, turned[0], 16);
    std::memcpy(out + limb * kLimbElements, turned, sizeof(turned));
  }
}

inline void PackInput(const float* in, int64_t tokens, int64_t columns, const Workspace& workspace,
                      Slice slice) {
  const int64_t blocks = PackedBlocks(columns);
  const PackedInput packed(workspace.packed_input(), tokens, columns);
  const Range work = Share((tokens + kTokens - 1) / kTokens * blocks, slice);
  for (int64_t i = work.begin; i < work.end; ++i) {
    const int64_t column = i % blocks * kBlockColumns;
    for (int half = 0; half < 2; ++half) {
      const int64_t token = i / blocks * kTokens + half * 16;
      const int64_t used = std::clamp<int64_t>(tokens - token, 0, 16);
      PackHalfTile(in + token * columns + column, columns, used,
                   std::min<int64_t>(kBlockColumns, columns - column),
                   packed.limbs + i * kTileElements + half * (kTileElements / 2),
                   packed.block_sums + i * kTokens + half * 16);
    }
  }
}

// Rows of a weight as tiles, with what their sums are multiplied with.
template <WeightLayout kLayout>
struct Panel {
  static constexpr int kScales = ScalesPerBlock(kLayout);
  static constexpr int64_t kBlockElements = WeightLimbs(kLayout) * kStripRows * kBlockColumns;

  int64_t blocks;
  uint16_t* values;  // [strips][blocks][limbs][kStripRows][32]
  float* scales;     // [strips][blocks][kScales][kStripRows]
  float* mins;       // [strips][blocks][kStripRows]

  uint16_t* values_of(int64_t strip, int64_t block) const {
    return values + (strip * blocks + block) * kBlockElements;
  }
  float* scales_of(int64_t strip, int64_t block) const {
    return scales + (strip * blocks + block) * (kScales * kStripRows);
  }
  float* mins_of(int64_t strip, int64_t block) const {
    return mins + (strip * blocks + block) * kStripRows;
  }
};

// A thread's scratch.
struct TilesScratch {
  static constexpr int64_t kProducts = kBlocksTogether * 2 * kStripRows * kTokens;
  static constexpr int64_t kTotals = kPanelRows * kPanelTokens;
  static constexpr int64_t kFactors = kPanelColumns / kBlockColumns * kPanelRows;
  static constexpr int64_t kValues = kPanelRows * kPanelColumns / 2;  // in floats
  static_assert(2 * kProducts + kTotals + 3 * kFactors + kValues <= kScratchFloats);

  float* products[2];  // [kBlocksTogether][scales][kStripRows][kTokens], in turn
  float* totals;       // [kPanelTokens / kTokens][kPanelRows][kTokens]
  float* scales;       // the panel's
  float* mins;
  uint16_t* values;
  float* factors;  // of one row of the weight

  explicit TilesScratch(float* memory) {
    products[0] = memory;
    products[1] = products[0] + kProducts;
    totals = products[1] + kProducts;
    scales = totals + kTotals;
    mins = scales + 2 * kFactors;
    values = reinterpret_cast<uint16_t*>(mins + kFactors);
    factors = mins + kFactors + kValues;
  }
};

// The panel's rows of a layout without codes: limbs.
template <WeightLayout kLayout>
inline void FillNumbers(const WeightView& weight, int64_t row, Range columns, int64_t strip_row,
                        int64_t strip, const Panel<kLayout>& panel) {
  using Type = typename Elements<kLayout>::Type;
  const Type* p = reinterpret_cast<const Type*>(weight.plane(weight.planes.values)) +
                  row * weight.shape.columns;
  for (int64_t b = 0; b < panel.blocks; ++b) {
    const int64_t column = columns.begin + b * kBlockColumns;
    float w[kBlockColumns] = {};
    for (int v = 0; v < kVectors; ++v) {
      const int64_t left = columns.end - (column + v * kLanes);
      if (left <= 0) break;
      const Type* at = p + column + v * kLanes;
      Store(w + v * kLanes,
            left >= kLanes ? Elements<kLayout>::Vector(at) : PartOf<kLayout>(at, left));
    }
    SplitIntoLimbs<WeightLimbs(kLayout)>(w, kBlockColumns,
                                         panel.values_of(strip, b) + strip_row * kBlockColumns,
                                         kStripRows * kBlockColumns);
    panel.scales_of(strip, b)[strip_row] = 1;
  }
}

// The panel's rows of a layout with codes: the codes, and the row's factors.
template <WeightLayout kLayout>
inline void FillCodes(const WeightView& weight, int64_t row, Range columns, int64_t strip_row,
                      int64_t strip, float* factors, const Panel<kLayout>& panel) {
  constexpr int kScales = ScalesPerBlock(kLayout);
  const Factors<kLayout> of_row(factors, weight.shape.columns, 1);
  ReadFactors(weight, row, 1, of_row);
  const CodeRow codes = CodesOf<kLayout>(weight, row);
  const int64_t first = columns.begin / kBlockColumns;
  for (int64_t b = 0; b < panel.blocks; ++b) {
    F q[kVectors];
    Codes<kLayout>(codes, first + b, q);
    uint16_t* out = panel.values_of(strip, b) + strip_row * kBlockColumns;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) StoreUpperHalves(out + v * kLanes, q[v]);
    for (int s = 0; s < kScales; ++s)
      panel.scales_of(strip, b)[s * kStripRows + strip_row] =
          of_row.scales[(first + b) * kScales + s];
    if constexpr (AddsMins(kLayout)) panel.mins_of(strip, b)[strip_row] = of_row.mins[first + b];
  }
}

// Rows that the weight does not have: zeros.
template <WeightLayout kLayout>
inline void FillNothing(int64_t strip_row, int64_t strip, const Panel<kLayout>& panel) {
  for (int64_t b = 0; b < panel.blocks; ++b) {
    for (int limb = 0; limb < WeightLimbs(kLayout); ++limb) {
      uint16_t* row = panel.values_of(strip, b) + (limb * kStripRows + strip_row) * kBlockColumns;
      std::fill(row, row + kBlockColumns, uint16_t{0});
    }
    for (int s = 0; s < ScalesPerBlock(kLayout); ++s)
      panel.scales_of(strip, b)[s * kStripRows + strip_row] = 0;
    if constexpr (AddsMins(kLayout)) panel.mins_of(strip, b)[strip_row] = 0;
  }
}

template <WeightLayout kLayout>
inline void FillPanel(const WeightView& weight, Range rows, Range columns, float* factors,
                      const Panel<kLayout>& panel) {
  const int64_t strips = (rows.end - rows.begin + kStripRows - 1) / kStripRows;
  for (int64_t i = 0; i < strips * kStripRows; ++i) {
    const int64_t row = rows.begin + i, strip = i / kStripRows, strip_row = i % kStripRows;
    if (row >= rows.end) {
      FillNothing<kLayout>(strip_row, strip, panel);
    } else if constexpr (IsFloat(kLayout)) {
      FillNumbers<kLayout>(weight, row, columns, strip_row, strip, panel);
    } else {
      FillCodes<kLayout>(weight, row, columns, strip_row, strip, factors, panel);
    }
  }
}

// products[r][t] = the product of those columns of a block that share a scale, for 16 tokens:
// number `part` of its ScalesPerBlock. values: the block's, of a strip; x: the input's, for these
// tokens.
template <WeightLayout kLayout>
inline void MultiplyTiles(Tiles& tiles, int part, const uint16_t* values, const uint16_t* x,
                          float* products) {
  constexpr int64_t kValueStride = kBlockColumns * sizeof(uint16_t), kPairStride = 64;
  values += part * 16;
  x += part * (kLimbElements / 2);
  tiles.Zero<0>();
  tiles.Zero<1>();
  tiles.Load<5>(x, kPairStride);
  tiles.Load<6>(x + kLimbElements, kPairStride);
  tiles.Load<7>(x + 2 * kLimbElements, kPairStride);
  for (int w = 0; w < WeightLimbs(kLayout); ++w, values += kStripRows * kBlockColumns) {
    tiles.Load<3>(values, kValueStride);
    tiles.Load<4>(values + 16 * kBlockColumns, kValueStride);
    tiles.MultiplyAdd<0, 3, 5>();
    tiles.MultiplyAdd<1, 4, 5>();
    tiles.MultiplyAdd<0, 3, 6>();
    tiles.MultiplyAdd<1, 4, 6>();
    tiles.MultiplyAdd<0, 3, 7>();
    tiles.MultiplyAdd<1, 4, 7>();
  }
  constexpr int64_t kStride = kTokens * sizeof(float);
  tiles.Store<0>(products, kStride);
  tiles.Store<1>(products + 16 * kTokens, kStride);
}
static_assert(kInputLimbs == 3);  // a register each

// totals[r][t] += scale[r] * products[r][t] for each of kBlocks * ScalesPerBlock products, and
// min[r] * sums[t] for each block.
template <WeightLayout kLayout, int kHalves, int kBlocks>
inline void AddScaled(const float* products, const float* scales, const float* mins,
                      const float* sums, float* totals) {
  constexpr int kProducts = kBlocks * ScalesPerBlock(kLayout);
  for (int r = 0; r < kStripRows; ++r) {
#pragma GCC unroll 8
    for (int t = 0; t < kHalves * 16; t += kLanes) {
      F total = Load(totals + r * kTokens + t);
#pragma GCC unroll 4
      for (int p = 0; p < kProducts; ++p) {
        total = Fma(Set(scales[p * kStripRows + r]),
                    Load(products + (p * kStripRows + r) * kTokens + t), total);
      }
      if constexpr (AddsMins(kLayout)) {
        for (int b = 0; b < kBlocks; ++b)
          total = Fma(Set(mins[b * kStripRows + r]), Load(sums + b * kTokens + t), total);
      }
      Store(totals + r * kTokens + t, total);
    }
  }
}

// A tile of the input, from a panel's first block on.
struct TileInput {
  const uint16_t* limbs;
  const float* block_sums;
};

// Some blocks of a strip, which are multiplied together.
struct Chunk {
  int64_t strip = 0;
  int64_t block = 0;
  int64_t blocks = 0;  // kBlocksTogether, or 1 at the end; 0: nothing
};

template <WeightLayout kLayout, int kHalves>
inline void MultiplyChunk(Tiles& tiles, const Panel<kLayout>& panel, const TileInput& x,
                          const Chunk& chunk, float* products) {
  for (int64_t block = chunk.block; block < chunk.block + chunk.blocks; ++block) {
    for (int part = 0; part < ScalesPerBlock(kLayout); ++part) {
      for (int half = 0; half < kHalves; ++half) {
        MultiplyTiles<kLayout>(tiles, part, panel.values_of(chunk.strip, block),
                               x.limbs + block * kTileElements + half * (kTileElements / 2),
                               products + half * 16);
      }
      products += kStripRows * kTokens;
    }
  }
}

template <WeightLayout kLayout, int kHalves>
inline void AddChunk(const Panel<kLayout>& panel, const TileInput& x, const Chunk& chunk,
                     const float* products, float* totals) {
  const auto add = [&]<int kBlocks>() {
    AddScaled<kLayout, kHalves, kBlocks>(products, panel.scales_of(chunk.strip, chunk.block),
                                         panel.mins_of(chunk.strip, chunk.block),
                                         x.block_sums + chunk.block * kTokens,
                                         totals + chunk.strip * kStripRows * kTokens);
  };
  if (chunk.blocks == kBlocksTogether) add.template operator()<kBlocksTogether>();
  if (chunk.blocks == 1) add.template operator()<1>();
}

// totals[row][t] += the panel's product with the first kHalves * 16 tokens of a tile of the input.
// A chunk's products are added while the tiles are busy with the next one's.
template <WeightLayout kLayout, int kHalves>
inline void MultiplyPanelTiles(Tiles& tiles, const Panel<kLayout>& panel, int64_t strips,
                               const TileInput& x, float* const (&products)[2], float* totals) {
  Chunk before;
  int turn = 0;
  for (int64_t block = 0; block < panel.blocks; block += kBlocksTogether) {
    const int64_t blocks = std::min<int64_t>(kBlocksTogether, panel.blocks - block);
    for (int64_t strip = 0; strip < strips; ++strip, turn ^= 1) {
      const Chunk chunk{strip, block, blocks};
      MultiplyChunk<kLayout, kHalves>(tiles, panel, x, chunk, products[turn]);
      AddChunk<kLayout, kHalves>(panel, x, before, products[turn ^ 1], totals);
      before = chunk;
    }
  }
  AddChunk<kLayout, kHalves>(panel, x, before, products[turn ^ 1], totals);
}
static_assert(kBlocksTogether == 2);  // AddChunk lists the numbers of blocks

// Adds the product of a panel, rows and columns of the weight, to the totals of some tokens.
template <WeightLayout kLayout>
inline void MultiplyBlock(const Linear& op, Range rows, Range columns, Range tokens,
                          const PackedInput& packed, const TilesScratch& scratch) {
  const Panel<kLayout> panel{PackedBlocks(columns.end - columns.begin), scratch.values,
                             scratch.scales, scratch.mins};
  const int64_t blocks = PackedBlocks(op.weight.shape.columns);
  const int64_t strips = (rows.end - rows.begin + kStripRows - 1) / kStripRows;
  FillPanel<kLayout>(op.weight, rows, columns, scratch.factors, panel);
  Tiles tiles(kBlockColumns / ScalesPerBlock(kLayout));
  float* totals = scratch.totals;
  for (int64_t token = tokens.begin; token < tokens.end; token += kTokens) {
    const int64_t first = token / kTokens * blocks + columns.begin / kBlockColumns;
    const TileInput x{packed.limbs + first * kTileElements, packed.block_sums + first * kTokens};
    tokens.end - token > 16
        ? MultiplyPanelTiles<kLayout, 2>(tiles, panel, strips, x, scratch.products, totals)
        : MultiplyPanelTiles<kLayout, 1>(tiles, panel, strips, x, scratch.products, totals);
    totals += kPanelRows * kTokens;
  }
}

inline void StoreTotals(const Linear& op, Range rows, Range tokens, const float* totals) {
  const int64_t all_rows = op.weight.shape.rows;
  for (int64_t token = tokens.begin; token < tokens.end; token += kTokens) {
    for (int64_t row = rows.begin; row < rows.end; row += kStripRows) {
      StoreTile<kStripRows>(totals + (row - rows.begin) * kTokens, kTokens,
                            std::min<int64_t>(kTokens, tokens.end - token),
                            std::min<int64_t>(kStripRows, rows.end - row), false,
                            op.out + token * all_rows + row, all_rows);
    }
    totals += kPanelRows * kTokens;
  }
}

// Some rows of the weight, no more than a panel has, with all tokens.
template <WeightLayout kLayout>
inline void MultiplyRows(const Linear& op, Range rows, const PackedInput& packed,
                         const TilesScratch& scratch) {
  const int64_t columns = op.weight.shape.columns;
  for (int64_t token = 0; token < op.tokens; token += kPanelTokens) {
    const Range tokens{token, std::min(op.tokens, token + kPanelTokens)};
    const int64_t tiles = (tokens.end - token + kTokens - 1) / kTokens;
    std::fill(scratch.totals, scratch.totals + tiles * kPanelRows * kTokens, 0.0f);
    for (int64_t column = 0; column < columns; column += kPanelColumns) {
      MultiplyBlock<kLayout>(op, rows, {column, std::min(columns, column + kPanelColumns)}, tokens,
                             packed, scratch);
    }
    StoreTotals(op, rows, tokens, scratch.totals);
  }
}

inline void MultiplyManyTokens(const Linear& op, const Workspace& workspace, Slice slice,
                               Claims* claims) {
  const PackedInput packed(workspace.packed_input(), op.tokens, op.weight.shape.columns);
  const TilesScratch scratch(workspace.thread_scratch(slice.index));
  WithLayout(op.weight.shape.layout, [&]<WeightLayout kLayout>() {
    // More limbs, fewer rows: the panel takes the same memory.
    constexpr int64_t kRows = kPanelRows / WeightLimbs(kLayout) / kStripRows * kStripRows;
    ForParts(op.weight.shape.rows, slice, claims, kStripRows, kRows, [&](Range part) {
      for (int64_t row = part.begin; row < part.end; row += kRows)
        MultiplyRows<kLayout>(op, {row, std::min(part.end, row + kRows)}, packed, scratch);
    });
  });
}
