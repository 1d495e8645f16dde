// The kernels for AVX2, FMA and F16C. The pragma covers our own functions alone: a function of the standard library that
// is compiled here stays fit for every machine, whichever copy of it the linker keeps.
#include "cc/kernels/cpu/isa.h"

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi2")
#define GEMMA_SIMD_X86

namespace gemma::cpu {
namespace avx2 {
#include "cc/kernels/cpu/simd_avx2.inc.h"

#include "cc/kernels/cpu/all_kernels.inc.h"
}  // namespace avx2

Kernels Avx2Kernels() { return avx2::Table(Isa::kAvx2); }

}  // namespace gemma::cpu
#pragma GCC pop_options
#endif
