// The kernels for AVX-512 (F, BW, DQ, VL).
#include "cc/kernels/cpu/isa.h"

#ifdef GEMMA_X86_KERNELS
#define GEMMA_SIMD_X86
#define GEMMA_SIMD_LOOKS_UP_NIBBLES

GEMMA_BEGIN_AVX512
namespace gemma::cpu {
namespace avx512 {
// clang-format off: all_kernels uses simd.
#include "cc/kernels/cpu/simd_avx512.inc.h"
#include "cc/kernels/cpu/all_kernels.inc.h"
// clang-format on
}  // namespace avx512

Kernels Avx512Kernels() { return avx512::Table(Isa::kAvx512); }

}  // namespace gemma::cpu
GEMMA_END_AVX512
#endif
