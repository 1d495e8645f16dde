// The dot product of one row of a nibble layout with one token, at the speed of memory.
//
// A chunk is as many code bytes as fill a vector: kLanes words of four bytes, each byte with the nibbles of two columns.
// Bits from the other planes are joined to the nibbles bytewise, which gives two vectors of codes, `low` (columns 0-15 of
// each block) and `high` (columns 16-31). A byte becomes a float where it stands: masked out of its word and converted,
// byte k is code * 256^k. So nothing is shuffled; instead the input is arranged once per call as the words lie, and byte
// k's input is divided by 256^k (exactly). The layouts' fixed offsets (code - 8, - 16, - 32) are sums of inputs times a
// constant: each chunk's sum starts with them.

constexpr int kChunkColumns = 8 * kLanes;
constexpr int kChunkBlocks = kChunkColumns / kBlockColumns;

constexpr bool HasNibbles(WeightLayout layout) { return layout >= WeightLayout::kInt4; }
constexpr bool HasFifthBit(WeightLayout layout) {
  return layout == WeightLayout::kInt5 || layout == WeightLayout::kInt5Min || layout == WeightLayout::kQ5_K;
}
constexpr int CodeOffset(WeightLayout layout) {
  switch (layout) {
    case WeightLayout::kInt4:
      return 8;
    case WeightLayout::kInt5:
      return 16;
    case WeightLayout::kQ6_K:
      return 32;
    default:
      return 0;
  }
}

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
  const I low_half = SetBytes(15);
  ChunkCodes codes{And(nibbles, low_half), And(ShiftRight<4>(nibbles), low_half)};
  if constexpr (HasFifthBit(kLayout)) {
    const ChunkCodes bits = FifthBits<ChunkCodes>(at.bits);
    codes = {Or(codes.low, bits.low), Or(codes.high, bits.high)};
  }
  if constexpr (kLayout == WeightLayout::kQ6_K) {
    const ChunkCodes bits = PairBits<ChunkCodes>(at.pairs);
    codes = {Or(codes.low, bits.low), Or(codes.high, bits.high)};
  }
  return codes;
}

// The input of one chunk: what bytes 0 to 3 of each word are multiplied with, and where the sums start.
struct ChunkInput {
  float low[4][kLanes];
  float high[4][kLanes];
  float start_low[kLanes];   // for Q6_K of the low codes' sum, else of the sum of both
  float start_high[kLanes];  // for Q6_K
};

// Arranges the 16 inputs of half a block; out: byte k's input of its four words at out[k * kLanes].
inline void ArrangeHalfBlock(const float* x, float* out) {
  Transpose4(x, 4, out, kLanes);
  for (int i = 0; i < 4; ++i) {
    out[kLanes + i] *= 0x1p-8f;
    out[2 * kLanes + i] *= 0x1p-16f;
    out[3 * kLanes + i] *= 0x1p-24f;
  }
}

// What `offset` times each word's four inputs sums to, negated.
inline F StartOf(const float (&inputs)[4][kLanes], float offset) {
  const F even = Fma(Load(inputs[2]), Set(0x1p16f), Load(inputs[0]));
  const F odd = Fma(Load(inputs[3]), Set(0x1p24f), Load(inputs[1]) * Set(0x1p8f));
  return (even + odd) * Set(-offset);
}

// in: [columns], a multiple of 32; out: one ChunkInput for every kChunkColumns, the last one filled up with zeros.
template <WeightLayout kLayout>
inline void ArrangeInput(const float* in, int64_t columns, ChunkInput* out) {
  for (int64_t column = 0; column < columns; column += kChunkColumns, ++out) {
    const int64_t blocks = std::min<int64_t>(kChunkBlocks, (columns - column) / kBlockColumns);
    if (blocks < kChunkBlocks) std::memset(out, 0, sizeof(*out));
    for (int64_t b = 0; b < blocks; ++b) {
      ArrangeHalfBlock(in + column + b * kBlockColumns, out->low[0] + b * 4);
      ArrangeHalfBlock(in + column + b * kBlockColumns + 16, out->high[0] + b * 4);
    }
    constexpr float kOffset = CodeOffset(kLayout);
    const F low = StartOf(out->low, kOffset), high = StartOf(out->high, kOffset);
    Store(out->start_low, kLayout == WeightLayout::kQ6_K ? low : low + high);
    Store(out->start_high, high);
  }
}

// sum + the dot product of a vector of codes with their inputs.
inline F DotCodeBytes(I codes, const float (&inputs)[4][kLanes], F sum) {
  sum = Fma(ToFloat(And(codes, SetWords(0xff))), Load(inputs[0]), sum);
  sum = Fma(ToFloat(And(codes, SetWords(0xff00))), Load(inputs[1]), sum);
  sum = Fma(ToFloat(And(codes, SetWords(0xff0000))), Load(inputs[2]), sum);
  return Fma(ToFloat(And(codes, SetWords(0xff000000))), Load(inputs[3]), sum);
}

// sum + scale * (codes - offset) . inputs over one chunk of a row. scales: those of the chunk's blocks.
template <WeightLayout kLayout>
inline F DotChunk(const ChunkPointers& at, const ChunkInput& input, const float* scales, F sum) {
  const ChunkCodes codes = LoadChunk<kLayout>(at);
  const F low = DotCodeBytes(codes.low, input.low, Load(input.start_low));
  if constexpr (kLayout == WeightLayout::kQ6_K) {
    const F high = DotCodeBytes(codes.high, input.high, Load(input.start_high));
    return Fma(high, SpreadScales<2>(scales + 1), Fma(low, SpreadScales<2>(scales), sum));
  } else {
    return Fma(DotCodeBytes(codes.high, input.high, low), SpreadScales<1>(scales), sum);
  }
}

// The last chunk of a row whose columns do not fill it: read from copies, with zeros where the row has ended.
template <WeightLayout kLayout>
inline F DotLastChunk(const ChunkPointers& at, int64_t blocks, const ChunkInput& input, const float* scales, F sum) {
  constexpr int kScales = ScalesPerBlock(kLayout);
  uint8_t nibbles[kChunkBlocks * 16] = {}, bits[kChunkBlocks * 4] = {}, pairs[kChunkBlocks * 8] = {};
  float padded_scales[kChunkBlocks * kScales] = {};
  std::memcpy(nibbles, at.nibbles, blocks * 16);
  if constexpr (HasFifthBit(kLayout)) std::memcpy(bits, at.bits, blocks * 4);
  if constexpr (kLayout == WeightLayout::kQ6_K) std::memcpy(pairs, at.pairs, blocks * 8);
  std::memcpy(padded_scales, scales, blocks * kScales * sizeof(float));
  return DotChunk<kLayout>({nibbles, bits, pairs}, input, padded_scales, sum);
}
