// The vector vocabulary of the kernels in AVX-512 (F, BW, DQ, VL) with F16C. See simd_portable.inc.h for what each
// function means. Included inside a namespace and a region compiled for the instruction set.

constexpr int kLanes = 16;
using F = __m512;
using I = __m512i;

inline F Set(float value) { return _mm512_set1_ps(value); }
inline F Load(const float* p) { return _mm512_loadu_ps(p); }
inline void Store(float* p, F v) { _mm512_storeu_ps(p, v); }
inline __mmask16 FirstLanes(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }
inline F LoadPart(const float* p, int64_t count) { return _mm512_maskz_loadu_ps(FirstLanes(count), p); }
inline void StorePart(float* p, F v, int64_t count) { _mm512_mask_storeu_ps(p, FirstLanes(count), v); }

inline F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F Max(F a, F b) { return _mm512_max_ps(a, b); }
inline F Min(F a, F b) { return _mm512_min_ps(a, b); }
inline F Round(F v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline F PowerOfTwo(F n) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtps_epi32(n + Set(127)), 23)); }

inline F WhereLess(F a, F b, F yes, F no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
inline bool AnyAtLeast(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ) != 0; }

inline float Sum(F v) { return _mm512_reduce_add_ps(v); }
inline float Largest(F v) { return _mm512_reduce_max_ps(v); }

inline F LoadHalf(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline F LoadBfloat16(const uint16_t* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
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

inline void Widen(__m256i codes, F (&out)[2]) {
  out[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(codes)));
  out[1] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(codes, 1)));
}

// The low four bits of each of 16 bytes, and the high four, looked up in a table of 16 floats: a permutation ignores
// all but the low bits of its index, so nothing needs masking.
inline void LookUpNibbles(const uint8_t* bytes, F table, F (&out)[2]) {
  const I index = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  out[0] = _mm512_permutexvar_ps(index, table);
  out[1] = _mm512_permutexvar_ps(_mm512_srli_epi32(index, 4), table);
}

// 0, 1, ... 15, plus `first`.
inline F Ramp(float first) {
  return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) + Set(first);
}
