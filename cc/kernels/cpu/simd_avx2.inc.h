// The vector vocabulary of the kernels in AVX2 with FMA and F16C. See simd_portable.inc.h for what
// each function means. Included inside a namespace and a region compiled for the instruction set.

constexpr int kLanes = 8;
using F = __m256;
using I = __m256i;

inline F Set(float value) { return _mm256_set1_ps(value); }
inline F Load(const float* p) { return _mm256_loadu_ps(p); }
inline void Store(float* p, F v) { _mm256_storeu_ps(p, v); }
inline I FirstLanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline F LoadPart(const float* p, int64_t count) {
  return _mm256_maskload_ps(p, FirstLanes(count));
}
inline void StorePart(float* p, F v, int64_t count) {
  _mm256_maskstore_ps(p, FirstLanes(count), v);
}

inline F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
inline F Max(F a, F b) { return _mm256_max_ps(a, b); }
inline F Min(F a, F b) { return _mm256_min_ps(a, b); }
inline F Round(F v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline F PowerOfTwo(F n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtps_epi32(n + Set(127)), 23));
}

inline F WhereLess(F a, F b, F yes, F no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
inline bool AnyAtLeast(F a, F b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)) != 0;
}

inline float Sum(F v) {
  const __m128 half = _mm256_castps256_ps128(v) + _mm256_extractf128_ps(v, 1);
  const __m128 quarter = half + _mm_movehl_ps(half, half);
  return _mm_cvtss_f32(quarter + _mm_movehdup_ps(quarter));
}
inline void StoreFourSums(const F (&v)[4], float* out) {
  const F ab = _mm256_unpacklo_ps(v[0], v[1]) + _mm256_unpackhi_ps(v[0], v[1]);
  const F cd = _mm256_unpacklo_ps(v[2], v[3]) + _mm256_unpackhi_ps(v[2], v[3]);
  const F all = _mm256_shuffle_ps(ab, cd, 0x44) + _mm256_shuffle_ps(ab, cd, 0xee);
  _mm_storeu_ps(out, _mm256_castps256_ps128(all) + _mm256_extractf128_ps(all, 1));
}
inline float Largest(F v) {
  const __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 quarter = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ps(quarter, _mm_movehdup_ps(quarter)));
}

inline F LoadHalf(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline void StoreHalf(uint16_t* p, F v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
inline F LoadBfloat16(const uint16_t* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline F LoadE4m3(const uint8_t* p) {
  const __m128i codes = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m128i sign = _mm_and_si128(_mm_slli_epi16(codes, 8), _mm_set1_epi16(-0x8000));
  const __m128i size = _mm_and_si128(_mm_slli_epi16(codes, 7), _mm_set1_epi16(0x3f80));
  return _mm256_cvtph_ps(_mm_or_si128(sign, size)) * Set(256);
}
inline void StoreBfloat16(uint16_t* p, F v) {
  const I bits = _mm256_castps_si256(v);
  const I odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const I rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  // A NaN stays one: rounding could carry it into infinity.
  const I nan = _mm256_or_si256(bits, _mm256_set1_epi32(1 << 22));
  const I is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const I result = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, nan, is_nan), 16);
  const __m128i low = _mm256_castsi256_si128(result), high = _mm256_extracti128_si256(result, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packus_epi32(low, high));
}
inline void StoreUpperHalves(uint16_t* p, F v) {
  const I halves = _mm256_srli_epi32(_mm256_castps_si256(v), 16);
  const __m128i low = _mm256_castsi256_si128(halves), high = _mm256_extracti128_si256(halves, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packus_epi32(low, high));
}

inline void Widen(__m256i codes, F (&out)[4]) {
  const __m128i low = _mm256_castsi256_si128(codes), high = _mm256_extracti128_si256(codes, 1);
  out[0] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low));
  out[1] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(low, low)));
  out[2] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high));
  out[3] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(high, high)));
}

// Words of 32 bits.
inline I LoadWords(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline I SetWords(uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }
inline I SetBytes(uint8_t value) { return _mm256_set1_epi8(static_cast<char>(value)); }
inline I And(I a, I b) { return _mm256_and_si256(a, b); }
inline I Or(I a, I b) { return _mm256_or_si256(a, b); }
template <int kBits>
inline I ShiftRight(I v) {
  return _mm256_srli_epi32(v, kBits);
}
inline F ToFloat(I v) { return _mm256_cvtepi32_ps(v); }

inline I LookUpBytes(I indices, const uint8_t* table) {
  const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(levels), And(indices, SetBytes(15)));
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

// Bit 4 for the codes of two blocks, from their columns' bits.
template <typename Codes>
inline Codes AddFifthBits(const Codes& codes, const uint8_t* bits) {
  int64_t words;
  std::memcpy(&words, bits, sizeof(words));
  const I all = _mm256_set1_epi64x(words);
  const I own = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const auto bits_of = [&](I byte_of_column) {
    const I bit = _mm256_and_si256(_mm256_shuffle_epi8(all, byte_of_column), own);
    return _mm256_and_si256(_mm256_cmpeq_epi8(bit, own), SetBytes(16));
  };
  constexpr int64_t kByte = 0x0101010101010101;
  return {Or(codes.low, bits_of(_mm256_setr_epi64x(0, kByte, 4 * kByte, 5 * kByte))),
          Or(codes.high, bits_of(_mm256_setr_epi64x(2 * kByte, 3 * kByte, 6 * kByte, 7 * kByte)))};
}

// Bits 4 and 5 for the codes of two blocks, from eight bytes a block that serve all its columns.
template <typename Codes>
inline Codes AddPairBits(const Codes& codes, const uint8_t* pairs) {
  const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pairs));
  const I twice = _mm256_permute4x64_epi64(_mm256_castsi128_si256(packed), 0b01010000);
  const I mask = SetBytes(0x30);
  const I low = _mm256_sllv_epi64(twice, _mm256_setr_epi64x(4, 2, 4, 2));
  const I high = _mm256_srlv_epi64(twice, _mm256_setr_epi64x(0, 2, 0, 2));
  return {Or(codes.low, And(low, mask)), Or(codes.high, And(high, mask))};
}

// Each block's scale in the lanes of its four words;
// scales of neighbouring blocks are kStride apart.
template <int kStride>
inline F SpreadScales(const float* scales) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_set1_ps(scales[0])),
                              _mm_set1_ps(scales[kStride]), 1);
}
