// The dot product of one row of a nibble layout with one token, at the speed of memory.
//
// A chunk is as many code bytes as fill a vector: kLanes words of four bytes, each byte with the
// nibbles of two columns. Bits from the other planes are joined to the nibbles bytewise, which
// gives two vectors of codes, `low` (columns 0-15 of each block) and `high` (columns 16-31). A byte
// becomes a float where it stands: masked out of its word and converted, byte k is code * 256^k. So
// hardly anything is shuffled; instead the input is arranged once per call as the words lie, and
// what byte k is multiplied with is divided by 256^k (exactly; codes are below 64, or byte 3 is
// shifted down, so the sign bit of a word stays clear). The layouts' fixed offsets (code - 8, - 16,
// - 32) are sums of inputs times a constant: each chunk's sum starts with them. Where nibbles stand
// for levels, a code is the level's unsigned byte.

constexpr int kChunkColumns = 8 * kLanes;
constexpr int kChunkBlocks = kChunkColumns / kBlockColumns;

constexpr int64_t ChunksOf(int64_t columns) {
  return (columns + kChunkColumns - 1) / kChunkColumns;
}

// A code a byte. Of four-bit codes, the upper half of the byte is arbitrary.
struct ChunkCodes {
  I low;
  I high;
};

// Where a chunk of one row lies in the planes.
struct ChunkPointers {
  const uint8_t* nibbles;
  const uint8_t* bits;
  const uint8_t* pairs;
};

template <WeightLayout kLayout>
inline ChunkCodes LoadChunk(const ChunkPointers& at) {
  const I nibbles = LoadWords(at.nibbles);
  const I turned = ShiftRight<4>(nibbles);
  if constexpr (HasLevels(kLayout)) {
    constexpr LevelTable kTable = LevelsOf(TraitsOf(kLayout).levels);
    return {LookUpBytes(nibbles, kTable.of), LookUpBytes(turned, kTable.of)};
  }
  if constexpr (CodeBits(kLayout) == 4) return {nibbles, turned};
  const ChunkCodes codes{And(nibbles, SetBytes(15)), And(turned, SetBytes(15))};
  if constexpr (CodeBits(kLayout) == 5) return AddFifthBits(codes, at.bits);
  return AddPairBits(codes, at.pairs);
}

// The input of one chunk: what bytes 0 to 3 of each
// word are multiplied with, and where the sums start.
struct ChunkInput {
  float low[4][kLanes];
  float high[4][kLanes];
  float start_low[kLanes];   // of the sum of both; of the low codes' sum where HasHalfScales
  float start_high[kLanes];  // where HasHalfScales
};

// Arranges the 16 inputs of half a block; out: byte k's input of its four words at out[k * kLanes].
template <int kBits>
inline void ArrangeHalfBlock(const float* x, float* out) {
  Transpose4(x, 4, out, kLanes);
  for (int i = 0; i < 4; ++i) {
    out[kLanes + i] /= ByteFactor<1, kBits>();
    out[2 * kLanes + i] /= ByteFactor<2, kBits>();
    out[3 * kLanes + i] /= ByteFactor<3, kBits>();
  }
}

// What `offset` times each word's four inputs sums to, negated.
template <int kBits>
inline F StartOf(const float (&inputs)[4][kLanes], float offset) {
  const F even = Fma(Load(inputs[2]), Set(ByteFactor<2, kBits>()), Load(inputs[0]));
  const F odd = Fma(Load(inputs[3]), Set(ByteFactor<3, kBits>()),
                    Load(inputs[1]) * Set(ByteFactor<1, kBits>()));
  return (even + odd) * Set(-offset);
}

// in: [columns], a multiple of 32; out: one ChunkInput for every kChunkColumns, the last one filled
// up with zeros.
template <WeightLayout kLayout>
inline void ArrangeInput(const float* in, int64_t columns, ChunkInput* out) {
  constexpr int kBits = CodeBits(kLayout);
  for (int64_t column = 0; column < columns; column += kChunkColumns, ++out) {
    const int64_t blocks = std::min<int64_t>(kChunkBlocks, (columns - column) / kBlockColumns);
    if (blocks < kChunkBlocks) std::memset(out, 0, sizeof(*out));
    for (int64_t b = 0; b < blocks; ++b) {
      ArrangeHalfBlock<kBits>(in + column + b * kBlockColumns, out->low[0] + b * 4);
      ArrangeHalfBlock<kBits>(in + column + b * kBlockColumns + 16, out->high[0] + b * 4);
    }
    constexpr float kOffset = ZeroPoint(kLayout);
    const F low = StartOf<kBits>(out->low, kOffset), high = StartOf<kBits>(out->high, kOffset);
    Store(out->start_low, ScalesPerBlock(kLayout) == 2 ? low : low + high);
    Store(out->start_high, high);
  }
}

// A vector of codes as floats, byte by byte.
template <int kBits>
inline void BytesToFloats(I codes, F (&out)[4]) {
  out[0] = ByteToFloat<0, kBits>(codes);
  out[1] = ByteToFloat<1, kBits>(codes);
  out[2] = ByteToFloat<2, kBits>(codes);
  out[3] = ByteToFloat<3, kBits>(codes);
}

// start + codes . inputs
inline F DotBytesOfWords(const F (&codes)[4], const float (&inputs)[4][kLanes], F sum) {
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) sum = Fma(codes[k], Load(inputs[k]), sum);
  return sum;
}

// sums[t][row] += scale * (codes - offset) . input[t * stride] over one chunk of a row. scales:
// those of its blocks.
template <WeightLayout kLayout, int kRows, int kTokens>
inline void DotChunk(const ChunkPointers& at, const ChunkInput* input, int64_t stride,
                     const float* scales, int row, F (&sums)[kTokens][kRows]) {
  const ChunkCodes codes = LoadChunk<kLayout>(at);
  F low[4], high[4];
  BytesToFloats<CodeBits(kLayout)>(codes.low, low);
  BytesToFloats<CodeBits(kLayout)>(codes.high, high);
  const F scale = SpreadScales<ScalesPerBlock(kLayout)>(scales);
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t) {
    const ChunkInput& in = input[t * stride];
    const F low_sum = DotBytesOfWords(low, in.low, Load(in.start_low));
    if constexpr (ScalesPerBlock(kLayout) == 2) {
      const F high_sum = DotBytesOfWords(high, in.high, Load(in.start_high));
      sums[t][row] = Fma(high_sum, SpreadScales<2>(scales + 1), Fma(low_sum, scale, sums[t][row]));
    } else {
      sums[t][row] = Fma(DotBytesOfWords(high, in.high, low_sum), scale, sums[t][row]);
    }
  }
}

// The last chunk of a row whose columns do not fill it:
// read from copies, with zeros where the row has ended.
template <WeightLayout kLayout, int kRows, int kTokens>
inline void DotLastChunk(const ChunkPointers& at, int64_t blocks, const ChunkInput* input,
                         int64_t stride, const float* scales, int row, F (&sums)[kTokens][kRows]) {
  constexpr int kScales = ScalesPerBlock(kLayout);
  uint8_t nibbles[kChunkBlocks * 16] = {}, bits[kChunkBlocks * 4] = {},
                                 pairs[kChunkBlocks * 8] = {};
  float padded_scales[kChunkBlocks * kScales] = {};
  std::memcpy(nibbles, at.nibbles, blocks * 16);
  if constexpr (HasBitPlane(kLayout)) std::memcpy(bits, at.bits, blocks * 4);
  if constexpr (HasPairPlane(kLayout)) std::memcpy(pairs, at.pairs, blocks * 8);
  std::memcpy(padded_scales, scales, blocks * kScales * sizeof(float));
  DotChunk<kLayout, kRows, kTokens>({nibbles, bits, pairs}, input, stride, padded_scales, row,
                                    sums);
}
