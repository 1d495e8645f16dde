// Linear for many tokens. The input is packed once into tiles [columns][kTile tokens]; each thread
// then takes panels of kTileRows weight rows, dequantizes them into its scratch and multiplies them
// with every tile.

// Columns taken at a time, so that panels and one tile stay in the second-level cache.
constexpr int64_t kMaxDepth = 2048;

inline void PackInput(const float* in, int64_t tokens, int64_t columns, const Workspace& workspace,
                      Slice slice) {
  constexpr int64_t kStrip = 64;  // columns of one piece of work
  const int64_t padded = PackedColumns(columns), strips = (padded + kStrip - 1) / kStrip;
  const Range work = Share((tokens + kTile - 1) / kTile * strips, slice);
  for (int64_t i = work.begin; i < work.end; ++i) {
    const int64_t token = i / strips * kTile, column = i % strips * kStrip;
    const int64_t used_tokens = std::min<int64_t>(kTile, tokens - token);
    const int64_t used_columns = std::min(kStrip, columns - column);
    const int64_t strip_columns = std::min(kStrip, padded - column);
    float* out = workspace.packed_input() + token * padded + column * kTile;
    if (used_tokens < kTile || used_columns < strip_columns)
      std::fill(out, out + strip_columns * kTile, 0.0f);
    Transpose(in + token * columns + column, columns, used_tokens, used_columns, out, kTile);
  }
}

// Rows [row, row + kTileRows) and columns [begin, end) of a weight, as MultiplyPanel reads them;
// rows past the end and columns past the row's end are zeros.
template <WeightLayout kLayout>
inline void DequantizePanel(const WeightView& weight, int64_t row, int64_t begin, int64_t end,
                            float* factors, float* panel) {
  const int64_t depth = PackedColumns(end - begin);
  for (int64_t r = 0; r < kTileRows; ++r) {
    float* out = panel + r * kLanes;
    if (row + r < weight.shape.rows) {
      DequantizeColumns<kLayout>(weight, row + r, begin, end, factors, [out](int64_t v, F values) {
        Store(out + v * kTileRows * kLanes, values);
      });
    } else {
      for (int64_t v = 0; v < depth / kLanes; ++v) Store(out + v * kTileRows * kLanes, Set(0));
    }
  }
}

// A thread's scratch during a product with many tokens.
struct ManyTokensScratch {
  float* tile;     // [kTileRows rounded up to 4][kTile]
  float* factors;  // of one row
  float* panels;   // [count][depth][kTileRows]
  int64_t panel_count;

  ManyTokensScratch(float* memory, int64_t columns, int64_t depth)
      : tile(memory),
        factors(tile + 16 * kTile),
        panels(factors + columns / 8),
        panel_count(kPanelFloats / (kTileRows * depth)) {}
};

inline void MultiplyTile(const float* panel, const float* x, int64_t depth, int64_t tokens,
                         float* out) {
  if (tokens > kLanes) {
    MultiplyPanel<kTileRows, 2>(panel, x, depth, out);
  } else {
    MultiplyPanel<kTileRows, 1>(panel, x, depth, out);
  }
}

// Panels [first, last) of the weight's rows and columns [begin, end): dequantized once, multiplied
// with every tile.
template <WeightLayout kLayout>
inline void MultiplyBlock(const Linear& op, Range panels, int64_t begin, int64_t end,
                          const float* packed, const ManyTokensScratch& scratch) {
  const int64_t rows = op.weight.shape.rows, padded = PackedColumns(op.weight.shape.columns);
  const int64_t depth = PackedColumns(end - begin), panel_floats = depth * kTileRows;
  for (int64_t p = panels.begin; p < panels.end; ++p) {
    DequantizePanel<kLayout>(op.weight, p * kTileRows, begin, end, scratch.factors,
                             scratch.panels + (p - panels.begin) * panel_floats);
  }
  for (int64_t token = 0; token < op.tokens; token += kTile) {
    const int64_t tokens = std::min<int64_t>(kTile, op.tokens - token);
    const float* x = packed + token * padded + begin * kTile;
    for (int64_t p = panels.begin; p < panels.end; ++p) {
      const int64_t row = p * kTileRows;
      MultiplyTile(scratch.panels + (p - panels.begin) * panel_floats, x, depth, tokens,
                   scratch.tile);
      StoreTile<kTileRows>(scratch.tile, kTile, tokens, std::min<int64_t>(kTileRows, rows - row),
                           begin > 0, op.out + token * rows + row, rows);
    }
  }
}

inline void MultiplyManyTokens(const Linear& op, const Workspace& workspace, Slice slice,
                               Claims* claims) {
  const int64_t columns = op.weight.shape.columns;
  const int64_t panels = (op.weight.shape.rows + kTileRows - 1) / kTileRows;
  const ManyTokensScratch scratch(workspace.thread_scratch(slice.index), columns,
                                  std::min(kMaxDepth, PackedColumns(columns)));
  WithLayout(op.weight.shape.layout, [&]<WeightLayout kLayout>() {
    ForParts(panels, slice, claims, 1, scratch.panel_count, [&](Range part) {
      for (int64_t first = part.begin; first < part.end; first += scratch.panel_count) {
        const Range block{first, std::min(part.end, first + scratch.panel_count)};
        for (int64_t begin = 0; begin < columns; begin += kMaxDepth) {
          MultiplyBlock<kLayout>(op, block, begin, std::min(columns, begin + kMaxDepth),
                                 workspace.packed_input(), scratch);
        }
      }
    });
  });
}
