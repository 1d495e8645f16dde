// The vector vocabulary of the kernels, for any machine: the compiler's own vectors of four floats.
// The other simd_*.inc.h files define the same names. Included inside a namespace.

constexpr int kLanes = 4;
typedef float F __attribute__((vector_size(16)));    // kLanes floats; + - * / work lane by lane
typedef int32_t I __attribute__((vector_size(16)));  // as many integers

inline F Set(float value) { return F{value, value, value, value}; }
inline F Load(const float* p) {
  F v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline void Store(float* p, F v) { std::memcpy(p, &v, sizeof(v)); }
// The first `count` lanes, 0 <= count <= kLanes;
// the others are zero, and their memory is not touched.
inline F LoadPart(const float* p, int64_t count) {
  F v = {};
  std::memcpy(&v, p, count * sizeof(float));
  return v;
}
inline void StorePart(float* p, F v, int64_t count) { std::memcpy(p, &v, count * sizeof(float)); }

inline F Fma(F a, F b, F c) { return a * b + c; }  // rounded once or twice
inline F Max(F a, F b) { return a > b ? a : b; }   // b where one is NaN
inline F Min(F a, F b) { return a < b ? a : b; }
// The nearest integer, for |v| < 2^22.
inline F Round(F v) { return v + Set(0x1.8p23f) - Set(0x1.8p23f); }
// 2^n for integers n in [-127, 128]; the ends give 0 and infinity.
inline F PowerOfTwo(F n) {
  return reinterpret_cast<F>(__builtin_convertvector(n + Set(127), I) << 23);
}

inline F WhereLess(F a, F b, F yes, F no) { return a < b ? yes : no; }
inline bool AnyAtLeast(F a, F b) {
  const I yes = a >= b;
  return (yes[0] | yes[1] | yes[2] | yes[3]) != 0;
}

inline float Sum(F v) { return (v[0] + v[2]) + (v[1] + v[3]); }
// out[i] = Sum(v[i])
inline void StoreFourSums(const F (&v)[4], float* out) {
  for (int i = 0; i < 4; ++i) out[i] = Sum(v[i]);
}
inline float Largest(F v) { return std::max(std::max(v[0], v[2]), std::max(v[1], v[3])); }

inline float HalfToFloat(uint16_t half) {
  // The exponent moves to float32's place by a product, which also gets subnormals right.
  const float magnitude = std::bit_cast<float>(uint32_t{half & 0x7fffu} << 13) * 0x1p112f;
  const uint32_t infinite_or_nan = (half & 0x7c00) == 0x7c00 ? 0x7f800000 : 0;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | infinite_or_nan |
                              (half & 0x8000u) << 16);
}
inline F LoadHalf(const uint16_t* p) {
  return F{HalfToFloat(p[0]), HalfToFloat(p[1]), HalfToFloat(p[2]), HalfToFloat(p[3])};
}
// Rounded to nearest, ties to even; from 65520 on infinite.
inline uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);  // NaN
  if (magnitude >= std::bit_cast<uint32_t>(65520.0f)) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < std::bit_cast<uint32_t>(0x1p-14f)) {
    // Subnormal: the sum with 1/2 has steps of 2^-24, those of subnormal halves.
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(sum) - 0x3f000000u));
  }
  // The exponent's bias goes from 127 to 15, and 13 bits of the mantissa go.
  const uint32_t odd = magnitude >> 13 & 1;
  const uint32_t rounded = magnitude - (112u << 23) + 0xfffu + odd;
  return static_cast<uint16_t>(sign | rounded >> 13);
}
inline void StoreHalf(uint16_t* p, F v) {
  for (int i = 0; i < kLanes; ++i) p[i] = FloatToHalf(v[i]);
}
inline F LoadBfloat16(const uint16_t* p) {
  return reinterpret_cast<F>(I{p[0] << 16, p[1] << 16, p[2] << 16, p[3] << 16});
}
// E4M3 numbers, a byte each. Their bits, moved into a float16, are the number times 2^-8.
inline F LoadE4m3(const uint8_t* p) {
  uint16_t halves[kLanes];
  for (int i = 0; i < kLanes; ++i)
    halves[i] = static_cast<uint16_t>((p[i] & 0x80) << 8 | (p[i] & 0x7f) << 7);
  return LoadHalf(halves) * Set(256);
}
// Rounded to nearest, ties to even.
inline void StoreBfloat16(uint16_t* p, F v) {
  for (int i = 0; i < kLanes; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(float{v[i]});
    // A NaN stays one: rounding could carry it into infinity.
    p[i] = static_cast<uint16_t>(
        (v[i] != v[i] ? bits | 1 << 22 : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}
// Of floats that bfloat16 holds, which is what it stores.
inline void StoreUpperHalves(uint16_t* p, F v) {
  for (int i = 0; i < kLanes; ++i)
    p[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(float{v[i]}) >> 16);
}

// Words of 32 bits.
inline I LoadWords(const uint8_t* p) {
  I v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline I SetWords(uint32_t value) {
  const int32_t word = static_cast<int32_t>(value);
  return I{word, word, word, word};
}
inline I SetBytes(uint8_t value) { return SetWords(value * 0x01010101u); }
inline I And(I a, I b) { return a & b; }
inline I Or(I a, I b) { return a | b; }
// Zeros come in from the left.
template <int kBits>
inline I ShiftRight(I v) {
  typedef uint32_t U __attribute__((vector_size(16)));
  return reinterpret_cast<I>(reinterpret_cast<U>(v) >> kBits);
}
inline F ToFloat(I v) { return __builtin_convertvector(v, F); }

// table[low half of the byte], for every byte. table: 16 bytes
inline I LookUpBytes(I indices, const uint8_t* table) {
  uint8_t bytes[sizeof(I)];
  std::memcpy(bytes, &indices, sizeof(bytes));
  for (uint8_t& byte : bytes) byte = table[byte & 15];
  return LoadWords(bytes);
}

// The lowest kBits bits of byte kByte of every word, times ByteFactor.
template <int kByte, int kBits>
constexpr float ByteFactor() {
  return kByte == 3 && kBits == 8 ? 1.0f : static_cast<float>(1 << (8 * kByte));
}
template <int kByte, int kBits>
inline F ByteToFloat(I words) {
  if constexpr (kByte == 3 && kBits == 8) return ToFloat(ShiftRight<24>(words));
  return ToFloat(And(words, SetWords(((1u << kBits) - 1) << (8 * kByte))));
}

// Bit 4 for the codes of a block (codes.low: columns 0-15, codes.high: 16-31; a byte each), from
// its columns' bits.
template <typename Codes>
inline Codes AddFifthBits(const Codes& codes, const uint8_t* bits) {
  uint32_t word;
  std::memcpy(&word, bits, sizeof(word));
  uint8_t bytes[32];
  for (int column = 0; column < 32; ++column)
    bytes[column] = static_cast<uint8_t>((word >> column & 1) << 4);
  return {Or(codes.low, LoadWords(bytes)), Or(codes.high, LoadWords(bytes + 16))};
}

// Bits 4 and 5 for the codes of a block, from eight bytes that serve all its columns.
template <typename Codes>
inline Codes AddPairBits(const Codes& codes, const uint8_t* pairs) {
  uint8_t bytes[32];
  for (int column = 0; column < 32; ++column) {
    bytes[column] = static_cast<uint8_t>((pairs[column % 8] >> (column / 8 * 2) & 3) << 4);
  }
  return {Or(codes.low, LoadWords(bytes)), Or(codes.high, LoadWords(bytes + 16))};
}

// Each block's scale in the lanes of its four words;
// scales of neighbouring blocks are kStride apart.
template <int kStride>
inline F SpreadScales(const float* scales) {
  return Set(scales[0]);
}
