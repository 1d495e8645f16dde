// One row of a weight as vectors: codes (the small integers that the row stores, minus the layout's
// fixed offset) and the factors that turn them into values. A row is read in blocks of 32 columns,
// kVectors vectors each:
//
//   value = scale[block] * code + min[block]        (HasHalfScales: scale[2 * block + half])
//
// which is exactly docs/formats.md, rounding included, when the product is rounded before the sum.
// F32, F16 and BF16 rows have no codes; they are read with LoadElements.

constexpr int kBlockColumns = 32;
constexpr int kVectors = kBlockColumns / kLanes;

// Whether a number has a min beside its scale.
constexpr bool AddsMins(WeightLayout layout) { return HasMins(layout) || HasPackedScales(layout); }
// Scales of a block of 32 columns.
constexpr int ScalesPerBlock(WeightLayout layout) { return HasHalfScales(layout) ? 2 : 1; }

// The integers that the nibbles of a layout stand for, as signed bytes and as floats.
template <WeightLayout kLayout>
struct LevelTables {
  alignas(16) int8_t bytes[16];
  alignas(64) float floats[16];

  constexpr LevelTables() : bytes(), floats() {
    for (int q = 0; q < 16; ++q) {
      bytes[q] = static_cast<int8_t>(LevelsOf(TraitsOf(kLayout).levels).of[q] - ZeroPoint(kLayout));
      floats[q] = bytes[q];
    }
  }
};
template <WeightLayout kLayout>
constexpr LevelTables<kLayout> kLevels;

template <WeightLayout kLayout>
struct Elements;
template <>
struct Elements<WeightLayout::kF32> {
  using Type = float;
  static F Vector(const float* p) { return Load(p); }
  static void Write(float* p, F v) { Store(p, v); }
};
template <>
struct Elements<WeightLayout::kF16> {
  using Type = uint16_t;
  static F Vector(const uint16_t* p) { return LoadHalf(p); }
  static void Write(uint16_t* p, F v) { StoreHalf(p, v); }
};
template <>
struct Elements<WeightLayout::kBF16> {
  using Type = uint16_t;
  static F Vector(const uint16_t* p) { return LoadBfloat16(p); }
  static void Write(uint16_t* p, F v) { StoreBfloat16(p, v); }
};

// The last `count` < kLanes elements of a row, zeros after them.
template <WeightLayout kLayout>
inline F PartOf(const typename Elements<kLayout>::Type* p, int64_t count) {
  typename Elements<kLayout>::Type buffer[kLanes] = {};
  std::memcpy(buffer, p, count * sizeof(buffer[0]));
  return Elements<kLayout>::Vector(buffer);
}

// Where one row's codes lie.
struct CodeRow {
  const uint8_t* values;  // int8 or nibbles
  const uint8_t* bits;
  const uint8_t* pairs;
};

template <WeightLayout kLayout>
inline CodeRow CodesOf(const WeightView& weight, int64_t row) {
  const int64_t columns = weight.shape.columns;
  const auto* data = reinterpret_cast<const uint8_t*>(weight.data);
  const WeightPlanes& planes = weight.planes;
  CodeRow codes = {};
  codes.values = data + planes.values + row * columns * TraitsOf(kLayout).value_bits / 8;
  if constexpr (HasBitPlane(kLayout)) codes.bits = data + planes.bits + row * (columns / 8);
  if constexpr (HasPairPlane(kLayout)) codes.pairs = data + planes.pairs + row * (columns / 4);
  return codes;
}

#if defined(GEMMA_SIMD_X86)

// The 32 nibbles of a block as bytes, columns in order.
inline __m256i NibbleBytes(const uint8_t* nibbles) {
  const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(nibbles));
  const __m256i both =
      _mm256_inserti128_si256(_mm256_castsi128_si256(packed), _mm_srli_epi16(packed, 4), 1);
  return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

// 0xff in every byte whose column's bit is `set`, else 0.
inline __m256i BitMask(const uint8_t* bits, bool set) {
  int32_t word;
  std::memcpy(&word, bits, sizeof(word));
  const __m256i spread = _mm256_shuffle_epi8(
      _mm256_set1_epi32(word),
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
  const __m256i own = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  return _mm256_cmpeq_epi8(_mm256_and_si256(spread, own), set ? own : _mm256_setzero_si256());
}

// The block's bits 4-5 (docs/formats.md: pair plane), at their place in each byte.
inline __m256i PairBytes(const uint8_t* pairs) {
  int64_t word;
  std::memcpy(&word, pairs, sizeof(word));
  const __m256i shifted =
      _mm256_srlv_epi64(_mm256_set1_epi64x(word), _mm256_setr_epi64x(0, 2, 4, 6));
  return _mm256_slli_epi16(_mm256_and_si256(shifted, _mm256_set1_epi8(3)), 4);
}

// The block's 32 codes as signed bytes.
template <WeightLayout kLayout>
inline __m256i CodeBytes(const CodeRow& row, int64_t block) {
  constexpr int8_t kZero = ZeroPoint(kLayout);
  if constexpr (!HasNibbles(kLayout)) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row.values + block * 32));
  } else {
    __m256i codes = NibbleBytes(row.values + block * 16);
    if constexpr (HasLevels(kLayout)) {
      const auto* table = reinterpret_cast<const __m128i*>(kLevels<kLayout>.bytes);
      return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(table)), codes);
    }
    if constexpr (HasBitPlane(kLayout) && kZero == 16) {
      // Where bit 4 is clear the code is low - 16: the nibble with its upper half set.
      return _mm256_or_si256(
          codes, _mm256_and_si256(BitMask(row.bits + block * 4, false), _mm256_set1_epi8(-16)));
    }
    if constexpr (HasBitPlane(kLayout)) {
      codes = _mm256_or_si256(
          codes, _mm256_and_si256(BitMask(row.bits + block * 4, true), _mm256_set1_epi8(16)));
    }
    if constexpr (HasPairPlane(kLayout))
      codes = _mm256_or_si256(codes, PairBytes(row.pairs + block * 8));
    return kZero == 0 ? codes : _mm256_sub_epi8(codes, _mm256_set1_epi8(kZero));
  }
}

template <WeightLayout kLayout>
inline void Codes(const CodeRow& row, int64_t block, F (&out)[kVectors]) {
#if defined(GEMMA_SIMD_LOOKS_UP_NIBBLES)
  if constexpr (HasNibbles(kLayout) && TraitsOf(kLayout).extra_bits == 0)
    return LookUpNibbles(row.values + block * 16, Load(kLevels<kLayout>.floats), out);
#endif
  Widen(CodeBytes<kLayout>(row, block), out);
}

#else

template <WeightLayout kLayout>
inline int Code(const CodeRow& row, int64_t block, int column) {
  if constexpr (!HasNibbles(kLayout)) {
    return static_cast<int8_t>(row.values[block * 32 + column]);
  } else {
    const int byte = row.values[block * 16 + column % 16];
    int code = column < 16 ? byte & 15 : byte >> 4;
    if constexpr (HasLevels(kLayout)) return kLevels<kLayout>.bytes[code];
    if constexpr (HasBitPlane(kLayout))
      code |= (row.bits[block * 4 + column / 8] >> (column % 8) & 1) << 4;
    if constexpr (HasPairPlane(kLayout))
      code |= (row.pairs[block * 8 + column % 8] >> (column / 8 * 2) & 3) << 4;
    return code - ZeroPoint(kLayout);
  }
}

template <WeightLayout kLayout>
inline void Codes(const CodeRow& row, int64_t block, F (&out)[kVectors]) {
  float codes[kBlockColumns];
  for (int column = 0; column < kBlockColumns; ++column) {
    codes[column] = static_cast<float>(Code<kLayout>(row, block, column));
  }
  for (int v = 0; v < kVectors; ++v) out[v] = Load(codes + v * kLanes);
}

#endif

// out[i] = halves[i]
inline void HalvesToFloats(const std::byte* halves, int64_t count, float* out) {
  const auto* p = reinterpret_cast<const uint16_t*>(halves);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Store(out + i, LoadHalf(p + i));
  if (i < count) StorePart(out + i, PartOf<WeightLayout::kF16>(p + i, count - i), count - i);
}

// The factors of some rows that follow one another: [rows][columns / 32] scales (HasHalfScales:
// columns / 16) and, for layouts where AddsMins, as many mins. Planes have no gaps between rows, so several
// rows are read as one.
template <WeightLayout kLayout>
struct Factors {
  static constexpr int kScales = ScalesPerBlock(kLayout);

  float* scales;
  float* mins;
  float* halves;  // d and dmin of layouts with blocks

  Factors(float* memory, int64_t columns, int64_t rows) {
    const int64_t blocks = rows * (columns / kBlockColumns);
    scales = memory;
    mins = scales + blocks * kScales;
    halves = mins + (AddsMins(kLayout) ? blocks : 0);
  }

  // On to the factors that lie `blocks` blocks further.
  void Skip(int64_t blocks) {
    scales += blocks * kScales;
    mins += blocks;
  }
};

// One float a block of 32 columns, from a scale plane.
inline void ReadScalePlane(const WeightView& weight, uint64_t plane, int64_t row, int64_t rows,
                           float* out) {
  const int64_t columns = weight.shape.columns, group = weight.shape.group;
  const int64_t blocks = rows * (columns / kBlockColumns), repeat = group / kBlockColumns;
  const int64_t groups = blocks / repeat;
  if (weight.planes.float_scales) {
    std::memcpy(out, weight.plane(plane) + row * sizeof(float), groups * sizeof(float));
  } else {
    HalvesToFloats(weight.plane(plane) + row * (columns / group) * sizeof(uint16_t), groups, out);
  }
  if (repeat == 1) return;
  // Spread from the end, so that no scale is overwritten before it is read.
  for (int64_t g = groups - 1; g >= 0; --g) {
    const float scale = out[g];
    for (int64_t i = 0; i < repeat; ++i) out[g * repeat + i] = scale;
  }
}

#if defined(GEMMA_SIMD_X86)

inline float OneHalf(uint16_t bits) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits))); }

// out[i] = factor * bytes[i], for eight bytes.
inline void ScaleUnsigned(const uint8_t* bytes, float factor, float* out) {
  const __m256i words =
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
  _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_cvtepi32_ps(words), _mm256_set1_ps(factor)));
}
inline void ScaleSigned(const int8_t* bytes, float factor, float* out) {
  const __m256i words =
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
  _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_cvtepi32_ps(words), _mm256_set1_ps(factor)));
}

// The 8 scales and 8 mins, 6 bits each,
// that Q4_K and Q5_K pack into 12 bytes; out: scales, then mins.
inline void UnpackSixBits(const std::byte* packed, uint8_t (&out)[16]) {
  int32_t last;
  std::memcpy(&last, packed + 8, sizeof(last));
  const __m128i words =
      _mm_insert_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(packed)), last, 2);
  // Groups 0-3 and 4-7 of the scales, then of the mins: six bits of one word, or four of the last
  // and two of the first.
  const __m128i six_or_four = _mm_and_si128(
      _mm_srlv_epi32(_mm_shuffle_epi32(words, 0b10011000), _mm_setr_epi32(0, 0, 0, 4)),
      _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
  const __m128i two = _mm_and_si128(_mm_srli_epi32(_mm_shuffle_epi32(words, 0b01000000), 2),
                                    _mm_setr_epi32(0, 0x30303030, 0, 0x30303030));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_or_si128(six_or_four, two));
}

#else

inline float OneHalf(uint16_t bits) { return HalfToFloat(bits); }

inline void ScaleUnsigned(const uint8_t* bytes, float factor, float* out) {
  for (int i = 0; i < 8; ++i) out[i] = factor * static_cast<float>(bytes[i]);
}
inline void ScaleSigned(const int8_t* bytes, float factor, float* out) {
  for (int i = 0; i < 8; ++i) out[i] = factor * static_cast<float>(bytes[i]);
}

// The 8 scales and 8 mins, 6 bits each,
// that Q4_K and Q5_K pack into 12 bytes; out: scales, then mins.
inline void UnpackSixBits(const std::byte* packed, uint8_t (&out)[16]) {
  uint64_t ab;
  uint32_t c;
  std::memcpy(&ab, packed, 8);
  std::memcpy(&c, packed + 8, 4);
  const uint64_t c_halves = (c & 0x0f0f0f0f) | static_cast<uint64_t>(c >> 4 & 0x0f0f0f0f) << 32;
  const uint64_t first = ab & 0x3f3f3f3f3f3f3f3f;                   // groups 0-3 of scales, of mins
  const uint64_t last = c_halves | (ab >> 2 & 0x3030303030303030);  // groups 4-7 of scales, of mins
  const uint64_t scales = (first & 0xffffffff) | last << 32,
                 mins = first >> 32 | (last & 0xffffffff00000000);
  std::memcpy(out, &scales, 8);
  std::memcpy(out + 8, &mins, 8);
}

#endif

// d * sc to scales and -(dmin * m) to mins.
template <WeightLayout kLayout>
inline void ReadPackedScales(const WeightView& weight, int64_t row, int64_t rows,
                             const Factors<kLayout>& out) {
  const int64_t row_blocks = weight.shape.columns / 256, count = rows * row_blocks;
  const std::byte* packed = weight.plane(weight.planes.scales) + row * row_blocks * 12;
  HalvesToFloats(weight.plane(weight.planes.blocks) + row * row_blocks * 4, 2 * count, out.halves);
  for (int64_t i = 0; i < count; ++i) {
    uint8_t six_bits[16];
    UnpackSixBits(packed + i * 12, six_bits);
    ScaleUnsigned(six_bits, out.halves[2 * i], out.scales + i * 8);
    ScaleUnsigned(six_bits + 8, -out.halves[2 * i + 1], out.mins + i * 8);
  }
}

// d * sc, two per block of 32 columns.
template <WeightLayout kLayout>
inline void ReadSignedScales(const WeightView& weight, int64_t row, int64_t rows,
                             const Factors<kLayout>& out) {
  const int64_t row_blocks = weight.shape.columns / 256, count = rows * row_blocks;
  const auto* codes =
      reinterpret_cast<const int8_t*>(weight.plane(weight.planes.scales)) + row * row_blocks * 16;
  HalvesToFloats(weight.plane(weight.planes.blocks) + row * row_blocks * 2, count, out.halves);
  for (int64_t i = 0; i < count; ++i) {
    ScaleSigned(codes + i * 16, out.halves[i], out.scales + i * 16);
    ScaleSigned(codes + i * 16 + 8, out.halves[i], out.scales + i * 16 + 8);
  }
}

// d * (sc - 32), from the 8 bytes of a block (docs/formats.md, IQ4_XS).
template <WeightLayout kLayout>
inline void ReadSignedSixBits(const WeightView& weight, int64_t row, int64_t rows,
                              const Factors<kLayout>& out) {
  const int64_t row_blocks = weight.shape.columns / 256, count = rows * row_blocks;
  const std::byte* packed = weight.plane(weight.planes.scales) + row * row_blocks * 8;
  for (int64_t i = 0; i < count; ++i, packed += 8) {
    uint64_t word;
    std::memcpy(&word, packed, sizeof(word));
    const float d = OneHalf(static_cast<uint16_t>(word));
    uint64_t high = word >> 16 & 0xffff, low = word >> 32;
    // Every byte gets its group's bits: halves of what is left are moved apart, three times.
    low = (low | low << 16) & 0x0000ffff0000ffff;
    low = (low | low << 8) & 0x00ff00ff00ff00ff;
    low = (low | low << 4) & 0x0f0f0f0f0f0f0f0f;
    high = (high | high << 24) & 0x000000ff000000ff;
    high = (high | high << 12) & 0x000f000f000f000f;
    high = (high | high << 6) & 0x0303030303030303;
    const uint64_t offset = (low | high << 4 | 0x8080808080808080) - 0x2020202020202020;
    const uint64_t codes = offset ^ 0x8080808080808080;  // minus 32, without borrows
    ScaleSigned(reinterpret_cast<const int8_t*>(&codes), d, out.scales + i * 8);
  }
}

// d * scale, two per block of 32 columns.
template <WeightLayout kLayout>
inline void ReadE4m3Scales(const WeightView& weight, int64_t row, int64_t rows,
                           const Factors<kLayout>& out) {
  const int64_t row_scales = weight.shape.columns / 16;
  const auto* codes =
      reinterpret_cast<const uint8_t*>(weight.plane(weight.planes.scales)) + row * row_scales;
  float* scales = out.scales;
  for (int64_t r = 0; r < rows; ++r, codes += row_scales, scales += row_scales) {
    float d;
    std::memcpy(&d, weight.plane(weight.planes.blocks) + (row + r) * sizeof(d), sizeof(d));
    int64_t i = 0;
    for (; i + kLanes <= row_scales; i += kLanes) Store(scales + i, Set(d) * LoadE4m3(codes + i));
    if (i == row_scales) continue;
    uint8_t rest[kLanes] = {};
    std::memcpy(rest, codes + i, row_scales - i);
    StorePart(scales + i, Set(d) * LoadE4m3(rest), row_scales - i);
  }
}

template <WeightLayout kLayout>
inline void ReadFactors(const WeightView& weight, int64_t row, int64_t rows,
                        const Factors<kLayout>& out) {
  if constexpr (TraitsOf(kLayout).scales == Scales::kInt8) {
    ReadSignedScales(weight, row, rows, out);
  } else if constexpr (HasPackedScales(kLayout)) {
    ReadPackedScales(weight, row, rows, out);
  } else if constexpr (TraitsOf(kLayout).scales == Scales::kSigned6) {
    ReadSignedSixBits(weight, row, rows, out);
  } else if constexpr (TraitsOf(kLayout).scales == Scales::kE4m3) {
    ReadE4m3Scales(weight, row, rows, out);
  } else {
    ReadScalePlane(weight, weight.planes.scales, row, rows, out.scales);
    if constexpr (AddsMins(kLayout))
      ReadScalePlane(weight, weight.planes.mins, row, rows, out.mins);
  }
}

// Calls consume(v, values) for the vectors of columns [begin, end) of a row, in order; v counts
// vectors from `begin`. begin is a multiple of 256, end one too or the row's end; what lies beyond
// the row's end is zeros. factors: room for columns / 8 floats.
template <WeightLayout kLayout, typename Consume>
inline void DequantizeColumns(const WeightView& weight, int64_t row, int64_t begin, int64_t end,
                              float* factors, Consume consume) {
  const int64_t columns = weight.shape.columns;
  if constexpr (IsFloat(kLayout)) {
    using Type = typename Elements<kLayout>::Type;
    const Type* p =
        reinterpret_cast<const Type*>(weight.plane(weight.planes.values)) + row * columns;
    int64_t column = begin;
    for (; column + kLanes <= end; column += kLanes) {
      consume((column - begin) / kLanes, Elements<kLayout>::Vector(p + column));
    }
    if (column < end) consume((column - begin) / kLanes, PartOf<kLayout>(p + column, end - column));
  } else {
    constexpr int kScales = ScalesPerBlock(kLayout);
    const Factors<kLayout> of_row(factors, columns, 1);
    ReadFactors(weight, row, 1, of_row);
    const CodeRow codes = CodesOf<kLayout>(weight, row);
    const int64_t first = begin / kBlockColumns;
    for (int64_t block = first; block < end / kBlockColumns; ++block) {
      F q[kVectors];
      Codes<kLayout>(codes, block, q);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        F value = q[v] * Set(of_row.scales[block * kScales + v * kScales / kVectors]);
        if constexpr (AddsMins(kLayout)) value = value + Set(of_row.mins[block]);
        consume((block - first) * kVectors + v, value);
      }
    }
  }
}

// Calls function.template operator()<layout>() for the weight's layout.
template <int kIndex = 0, typename Function>
inline void WithLayout(WeightLayout layout, Function function) {
  if constexpr (kIndex < kWeightLayouts) {
    constexpr WeightLayout kLayout = static_cast<WeightLayout>(kIndex);
    if (layout == kLayout) return function.template operator()<kLayout>();
    WithLayout<kIndex + 1>(layout, function);
  }
}

inline void EmbedTokens(const Embed& op, const Workspace& workspace, Slice slice) {
  const int64_t columns = op.weight.shape.columns;
  float* factors = workspace.thread_scratch(slice.index);
  const Range tokens = Share(op.tokens, slice);
  WithLayout(op.weight.shape.layout, [&]<WeightLayout kLayout>() {
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
      float* out = op.out + t * columns;
      DequantizeColumns<kLayout>(op.weight, op.ids[t], 0, columns, factors,
                                 [&](int64_t v, F values) {
                                   const F scaled = values * Set(op.scale);
                                   const int64_t rest = columns - v * kLanes;
                                   rest >= kLanes ? Store(out + v * kLanes, scaled)
                                                  : StorePart(out + v * kLanes, scaled, rest);
                                 });
    }
  });
}
