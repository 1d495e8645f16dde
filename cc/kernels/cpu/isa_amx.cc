// The kernels for AVX-512 and AMX (TILE, BF16).
#include "cc/kernels/cpu/isa.h"

#ifdef GEMMA_X86_KERNELS
#define GEMMA_SIMD_X86
#define GEMMA_SIMD_LOOKS_UP_NIBBLES
#define GEMMA_TILES

GEMMA_BEGIN_AMX
namespace gemma::cpu {
namespace amx {
// clang-format off: all_kernels uses simd and tiles.
#include "cc/kernels/cpu/simd_avx512.inc.h"
#include "cc/kernels/cpu/tiles_amx.inc.h"
#include "cc/kernels/cpu/all_kernels.inc.h"
// clang-format on
}  // namespace amx

Kernels AmxKernels() { return amx::Table(Isa::kAmx); }

}  // namespace gemma::cpu
GEMMA_END_AMX
#endif
