// The vector vocabulary of the kernels in AVX-512 (F, BW, DQ, VL) with F16C. See
// simd_portable.inc.h for what each function means. Included inside a namespace and a region
// compiled for the instruction set.

constexpr int kLanes = 16;
using F = __m512;
using I = __m512i;

inline F Set(float value) { return _mm512_set1_ps(value); }
inline F Load(const float* p) { return _mm512_loadu_ps(p); }
inline void Store(float* p, F v) { _mm512_storeu_ps(p, v); }
inline __mmask16 FirstLanes(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }
inline F LoadPart(const float* p, int64_t count) {
  return _mm512_maskz_loadu_ps(FirstLanes(count), p);
}
inline void StorePart(float* p, F v, int64_t count) {
  _mm512_mask_storeu_ps(p, FirstLanes(count), v);
}

inline F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F Max(F a, F b) { return _mm512_max_ps(a, b); }
inline F Min(F a, F b) { return _mm512_min_ps(a, b); }
inline F Round(F v) {
  return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline F PowerOfTwo(F n) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtps_epi32(n + Set(127)), 23));
}

inline F WhereLess(F a, F b, F yes, F no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
inline bool AnyAtLeast(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ) != 0; }

inline float Sum(F v) { return _mm512_reduce_add_ps(v); }
inline void StoreFourSums(const F (&v)[4], float* out) {
  const F ab = _mm512_unpacklo_ps(v[0], v[1]) + _mm512_unpackhi_ps(v[0], v[1]);
  const F cd = _mm512_unpacklo_ps(v[2], v[3]) + _mm512_unpackhi_ps(v[2], v[3]);
  const F all = _mm512_shuffle_ps(ab, cd, 0x44) + _mm512_shuffle_ps(ab, cd, 0xee);
  const __m256 half = _mm512_castps512_ps256(all) + _mm512_extractf32x8_ps(all, 1);
  _mm_storeu_ps(out, _mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1));
}
inline float Largest(F v) { return _mm512_reduce_max_ps(v); }

inline F LoadHalf(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void StoreHalf(uint16_t* p, F v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline F LoadBfloat16(const uint16_t* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline F LoadE4m3(const uint8_t* p) {
  const __m256i codes = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i sign = _mm256_and_si256(_mm256_slli_epi16(codes, 8), _mm256_set1_epi16(-0x8000));
  const __m256i size = _mm256_and_si256(_mm256_slli_epi16(codes, 7), _mm256_set1_epi16(0x3f80));
  return _mm512_cvtph_ps(_mm256_or_si256(sign, size)) * Set(256);
}
inline void StoreBfloat16(uint16_t* p, F v) {
  const I bits = _mm512_castps_si512(v);
  const I odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const I rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  // A NaN stays one: rounding could carry it into infinity.
  const I nan = _mm512_or_si512(bits, _mm512_set1_epi32(1 << 22));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const I result = _mm512_srli_epi32(_mm512_mask_blend_epi32(is_nan, rounded, nan), 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(result));
}
inline void StoreUpperHalves(uint16_t* p, F v) {
  const I halves = _mm512_srli_epi32(_mm512_castps_si512(v), 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(halves));
}

inline void Widen(__m256i codes, F (&out)[2]) {
  out[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(codes)));
  out[1] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(codes, 1)));
}

// The low four bits of each of 16 bytes, and the high four, looked up in a table of 16 floats: a
// permutation ignores all but the low bits of its index, so nothing needs masking.
inline void LookUpNibbles(const uint8_t* bytes, F table, F (&out)[2]) {
  const I index = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  out[0] = _mm512_permutexvar_ps(index, table);
  out[1] = _mm512_permutexvar_ps(_mm512_srli_epi32(index, 4), table);
}

// 0, 1, ... 15, plus `first`.
inline F Ramp(float first) {
  return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) + Set(first);
}

// `first`, ... first + 15, then `second`, ... second + 15, in bfloat16.
inline I Bfloat16Ramp(float first, float second) {
  const __m256i left =
      _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(Ramp(first)), 16));
  const __m256i right =
      _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(Ramp(second)), 16));
  return _mm512_inserti64x4(_mm512_castsi256_si512(left), right, 1);
}

// Words of 32 bits.
inline I LoadWords(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline I SetWords(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }
inline I SetBytes(uint8_t value) { return _mm512_set1_epi8(static_cast<char>(value)); }
inline I And(I a, I b) { return _mm512_and_si512(a, b); }
inline I Or(I a, I b) { return _mm512_or_si512(a, b); }
template <int kBits>
inline I ShiftRight(I v) {
  return _mm512_srli_epi32(v, kBits);
}
inline F ToFloat(I v) { return _mm512_cvtepi32_ps(v); }

inline I LookUpBytes(I indices, const uint8_t* table) {
  const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(levels), And(indices, SetBytes(15)));
}

// The lowest kBits bits of byte kByte of every word, times ByteFactor. Bytes 0 and 2 can also be
// looked up in a table by a permutation, which ignores the bits above its index: one instruction on
// other units than the two it replaces. Byte 2 is the index of a word's upper half, and bfloat16,
// the upper half of a float, holds any code.
template <int kByte, int kBits>
constexpr float ByteFactor() {
  const bool alone = (kByte == 2 && kBits <= 5) || (kByte == 3 && kBits == 8);
  return alone ? 1.0f : static_cast<float>(1 << (8 * kByte));
}
template <int kByte, int kBits>
inline F ByteToFloat(I words) {
  if constexpr (kByte == 0 && kBits == 4) return _mm512_permutexvar_ps(words, Ramp(0));
  if constexpr (kByte == 2 && kBits <= 5) {
    const I table = kBits == 4 ? Bfloat16Ramp(0, 0) : Bfloat16Ramp(0, 16);
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, words, table));
  }
  if constexpr (kByte == 3 && kBits == 8) return ToFloat(ShiftRight<24>(words));
  return ToFloat(And(words, SetWords(((1u << kBits) - 1) << (8 * kByte))));
}

// Bit 4 for the codes of four blocks, from their columns' bits.
template <typename Codes>
inline Codes AddFifthBits(const Codes& codes, const uint8_t* bits) {
  uint64_t words[2];
  std::memcpy(words, bits, sizeof(words));
  constexpr uint64_t kLow = 0x0000ffff0000ffff;
  const uint64_t low = _pext_u64(words[0], kLow) | _pext_u64(words[1], kLow) << 32;
  const uint64_t high = _pext_u64(words[0], ~kLow) | _pext_u64(words[1], ~kLow) << 32;
  return {_mm512_mask_add_epi8(codes.low, low, codes.low, SetBytes(16)),
          _mm512_mask_add_epi8(codes.high, high, codes.high, SetBytes(16))};
}

// Bits 4 and 5 for the codes of four blocks, from eight bytes a block that serve all its columns.
template <typename Codes>
inline Codes AddPairBits(const Codes& codes, const uint8_t* pairs) {
  const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pairs));
  const I twice = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3),
                                           _mm512_castsi256_si512(packed));
  const I mask = SetBytes(0x30);
  const I low = _mm512_sllv_epi64(twice, _mm512_setr_epi64(4, 2, 4, 2, 4, 2, 4, 2));
  const I high = _mm512_srlv_epi64(twice, _mm512_setr_epi64(0, 2, 0, 2, 0, 2, 0, 2));
  return {Or(codes.low, And(low, mask)), Or(codes.high, And(high, mask))};
}

// Each block's scale in the lanes of its four words;
// scales of neighbouring blocks are kStride apart.
template <int kStride>
inline F SpreadScales(const float* scales) {
  constexpr int s = kStride;
  const I index = _mm512_setr_epi32(0, 0, 0, 0, s, s, s, s, 2 * s, 2 * s, 2 * s, 2 * s, 3 * s,
                                    3 * s, 3 * s, 3 * s);
  const F four =
      kStride == 1 ? _mm512_castps128_ps512(_mm_loadu_ps(scales)) : LoadPart(scales, 3 * s + 1);
  return _mm512_permutexvar_ps(index, four);
}
