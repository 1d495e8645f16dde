// What the kernels' sources of all instruction sets share: the headers that they need (included
// here, outside of any region compiled for an instruction set) and the tables that they define.
#ifndef CC_KERNELS_CPU_ISA_H_
#define CC_KERNELS_CPU_ISA_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <new>
#include <type_traits>

// clang has none of the pragmas below: it compiles the portable kernels alone, for fuzzing.
#if defined(__x86_64__) && !defined(__clang__)
#define GEMMA_X86_KERNELS
#include <immintrin.h>
#endif

#include "cc/kernels/cpu/kernels.h"
#include "cc/kernels/cpu/thread_pool.h"
#include "cc/kernels/operations.h"
#include "cc/kernels/philox.h"

// Functions between BEGIN and END are compiled for the instruction set, and nothing else is: a
// function of the standard library that such code uses stays fit for every machine, whichever copy
// of it the linker keeps. (Compiler flags for a whole file would not have that.)
#ifdef GEMMA_X86_KERNELS
#define GEMMA_BEGIN_AVX2 _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,f16c,bmi2\")")
#define GEMMA_END_AVX2 _Pragma("GCC pop_options")

// GCC 12's own AVX-512 headers start some results from an uninitialized register on purpose, and
// warn of it.
#define GEMMA_BEGIN_AVX512                                                                     \
  _Pragma("GCC push_options")                                                                  \
      _Pragma("GCC target(\"avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi2\")")         \
          _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wuninitialized\"") \
              _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"")
#define GEMMA_END_AVX512 _Pragma("GCC diagnostic pop") _Pragma("GCC pop_options")
// Tiles are used in assembly, which needs no option.
#define GEMMA_BEGIN_AMX GEMMA_BEGIN_AVX512
#define GEMMA_END_AMX GEMMA_END_AVX512
#endif

namespace gemma::cpu {

// Floats of a thread's scratch: kScratchFloats hold panels of weights or an attention's tile;
// besides, every column of a linear takes kScratchFloatsPerColumn, for the inputs of few tokens as
// their inner loops read them (10 floats) and the factors of some rows (1).
inline constexpr int64_t kPanelFloats = 64 << 10;
inline constexpr int64_t kScratchFloats = 232 << 10;
inline constexpr int64_t kScratchFloatsPerColumn = 12;

// Parts times tokens of an attention for few tokens.
inline constexpr int64_t kMaxAttentionParts = 32;

Kernels PortableKernels();
#ifdef GEMMA_X86_KERNELS
Kernels Avx2Kernels();
Kernels Avx512Kernels();
Kernels AmxKernels();
#endif

}  // namespace gemma::cpu

#endif  // CC_KERNELS_CPU_ISA_H_
