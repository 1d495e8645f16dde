// The kernels for AVX-512 (F, BW, DQ, VL). See isa_avx2.cc for the pragma.
#include "cc/kernels/cpu/isa.h"

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi2")
// GCC 12's own AVX-512 headers start some results from an uninitialized register on purpose.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#define GEMMA_SIMD_X86
#define GEMMA_SIMD_LOOKS_UP_NIBBLES

namespace gemma::cpu {
namespace avx512 {
#include "cc/kernels/cpu/simd_avx512.inc.h"

#include "cc/kernels/cpu/all_kernels.inc.h"
}  // namespace avx512

Kernels Avx512Kernels() { return avx512::Table(Isa::kAvx512); }

}  // namespace gemma::cpu
#pragma GCC diagnostic pop
#pragma GCC pop_options
#endif
