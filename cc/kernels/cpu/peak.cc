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
#endif

float SumFloats(Isa isa, const float* p, int64_t count) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return avx512_peak::ReadAll(p, count);
  if (isa == Isa::kAvx2) return avx2_peak::ReadAll(p, count);
#endif
  return portable_peak::ReadAll(p, count);
}

float MultiplyAdds(Isa isa, int64_t count) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return avx512_peak::RunChains(count);
  if (isa == Isa::kAvx2) return avx2_peak::RunChains(count);
#endif
  return portable_peak::RunChains(count);
}

int64_t FlopsPerChain(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return 2 * avx512_peak::kLanes * avx512_peak::kChains;
  if (isa == Isa::kAvx2) return 2 * avx2_peak::kLanes * avx2_peak::kChains;
#endif
  return 2 * portable_peak::kLanes * portable_peak::kChains;
}

}  // namespace gemma::cpu
