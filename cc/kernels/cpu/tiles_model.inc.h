// The tile registers that a product of many tokens uses, and what its instructions do with them,
// for any machine: the model that tests run the schedule on where there is no AMX. Numbers are
// those of TDPBF16PS in Intel's Software Developer's Manual, bit by bit. Included inside a
// namespace.
//
// There are eight tiles. 0 to 2 hold sums, float32 [16][16]. 3 and 4 hold A, bfloat16
// [16][columns]. 5 to 7 hold B, bfloat16 [columns / 2][16][2]: a row has two columns of A, side by
// side.

class Tiles {
 public:
  // columns: of A; even, at most 32.
  explicit Tiles(int columns) : columns_(columns) {}

  template <int kTile>
  void Zero() {
    std::memset(tiles_[kTile], 0, sizeof(tiles_[kTile]));
  }
  // Rows are `stride` bytes apart.
  template <int kTile>
  void Load(const void* rows, int64_t stride) {
    for (int r = 0; r < Rows(kTile); ++r) {
      std::memcpy(tiles_[kTile][r], static_cast<const std::byte*>(rows) + r * stride,
                  RowBytes(kTile));
    }
  }
  template <int kTile>
  void Store(void* rows, int64_t stride) const {
    for (int r = 0; r < Rows(kTile); ++r)
      std::memcpy(static_cast<std::byte*>(rows) + r * stride, tiles_[kTile][r], RowBytes(kTile));
  }

  // sums[m][n] += A[m][k] * B[k][n] over all columns k. Columns of even numbers are summed from the
  // first to the last, those of odd numbers likewise; then the two are added, and their sum to what
  // was there. Each step is rounded once, to nearest, ties to even; numbers below 2^-126 are zeros.
  template <int kSums, int kA, int kB>
  void MultiplyAdd() {
    for (int m = 0; m < 16; ++m) {
      float pairs[2][16] = {};
      for (int k = 0; k < columns_; ++k) {
        const double a = Element(kA, m, k);
        for (int n = 0; n < 16; ++n) {
          // The product is exact, and 53 bits are enough for a sum to be rounded as if once.
          float& sum = pairs[k % 2][n];
          sum = Flush(static_cast<float>(sum + a * Element(kB, k / 2, 2 * n + k % 2)));
        }
      }
      float sums[16];
      std::memcpy(sums, tiles_[kSums][m], sizeof(sums));
      for (int n = 0; n < 16; ++n)
        sums[n] = Flush(Flush(sums[n]) + Flush(pairs[0][n] + pairs[1][n]));
      std::memcpy(tiles_[kSums][m], sums, sizeof(sums));
    }
  }

 private:
  static bool IsA(int tile) { return tile == 3 || tile == 4; }
  static bool IsB(int tile) { return tile >= 5; }
  int Rows(int tile) const { return IsB(tile) ? columns_ / 2 : 16; }
  int RowBytes(int tile) const { return IsA(tile) ? 2 * columns_ : 64; }

  static float Flush(float value) {
    return std::abs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
  }
  float Element(int tile, int row, int index) const {
    return Flush(std::bit_cast<float>(uint32_t{tiles_[tile][row][index]} << 16));
  }

  const int columns_;
  uint16_t tiles_[8][16][32] = {};
};
