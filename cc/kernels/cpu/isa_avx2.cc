// The kernels for AVX2, FMA and F16C.
#include "cc/kernels/cpu/isa.h"

#ifdef GEMMA_X86_KERNELS
#define GEMMA_SIMD_X86

GEMMA_BEGIN_AVX2
namespace gemma::cpu {
namespace avx2 {
// clang-format off: all_kernels uses simd.
#include "cc/kernels/cpu/simd_avx2.inc.h"
#include "cc/kernels/cpu/all_kernels.inc.h"
// clang-format on
}  // namespace avx2

Kernels Avx2Kernels() { return avx2::Table(Isa::kAvx2); }

}  // namespace gemma::cpu
GEMMA_END_AVX2
#endif
