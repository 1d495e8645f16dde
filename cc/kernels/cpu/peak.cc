#include "cc/kernels/cpu/peak.h"

#include "cc/kernels/cpu/isa.h"

namespace gemma::cpu {
namespace portable_peak {
// clang-format off: peak uses simd.
#include "cc/kernels/cpu/simd_portable.inc.h"
#include "cc/kernels/cpu/peak.inc.h"
// clang-format on
}  // namespace portable_peak

#if defined(__x86_64__)
GEMMA_BEGIN_AVX2
namespace avx2_peak {
// clang-format off: peak uses simd.
#include "cc/kernels/cpu/simd_avx2.inc.h"
#include "cc/kernels/cpu/peak.inc.h"
// clang-format on
}  // namespace avx2_peak
GEMMA_END_AVX2

GEMMA_BEGIN_AVX512
namespace avx512_peak {
// clang-format off: peak uses simd.
#include "cc/kernels/cpu/simd_avx512.inc.h"
#include "cc/kernels/cpu/peak.inc.h"
// clang-format on
}  // namespace avx512_peak
GEMMA_END_AVX512

namespace amx_peak {
#include "cc/kernels/cpu/tiles_amx.inc.h"

// Sums take turns, since the next addition to one waits until the last is done.
inline float RunTiles(int64_t count) {
  Tiles tiles(32);
  const uint16_t numbers[16][32] = {};
  tiles.Load<3>(numbers, 64);
  tiles.Load<4>(numbers, 64);
  tiles.Load<5>(numbers, 64);
  for (int64_t i = 0; i < count; ++i) {
    tiles.Zero<0>();
    tiles.Zero<1>();
    tiles.Zero<2>();
    tiles.MultiplyAdd<0, 3, 5>();
    tiles.MultiplyAdd<1, 4, 5>();
    tiles.MultiplyAdd<2, 3, 5>();
    tiles.MultiplyAdd<0, 4, 5>();
  }
  float sums[16][16];
  tiles.Store<0>(sums, 64);
  return sums[0][0];
}
constexpr int64_t kFlops = 4 * 2 * 16 * 16 * 32;
}  // namespace amx_peak
#endif

float MultiplyAdds(Isa isa, int64_t count) {
#if defined(__x86_64__)
  if (isa == Isa::kAmx) return amx_peak::RunTiles(count);
  if (isa == Isa::kAvx512) return avx512_peak::RunChains(count);
  if (isa == Isa::kAvx2) return avx2_peak::RunChains(count);
#endif
  return portable_peak::RunChains(count);
}

int64_t FlopsPerChain(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAmx) return amx_peak::kFlops;
  if (isa == Isa::kAvx512) return 2 * avx512_peak::kLanes * avx512_peak::kChains;
  if (isa == Isa::kAvx2) return 2 * avx2_peak::kLanes * avx2_peak::kChains;
#endif
  return 2 * portable_peak::kLanes * portable_peak::kChains;
}

}  // namespace gemma::cpu
