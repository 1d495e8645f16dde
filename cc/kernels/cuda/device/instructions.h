// The machine instructions that CUDA C++ has no words for,
// one function each, with the same meaning under emulation.
#ifndef CC_KERNELS_CUDA_DEVICE_INSTRUCTIONS_H_
#define CC_KERNELS_CUDA_DEVICE_INSTRUCTIONS_H_

#include "cc/kernels/cuda/device/language.h"

namespace gemma::cuda {

inline constexpr int kWarp = 32;
inline constexpr int kWarpgroup = 128;  // threads of four warps, the first a multiple of 4
inline constexpr unsigned kAllLanes = 0xffffffff;

GEMMA_DEVICE int Lane() { return static_cast<int>(threadIdx.x) % kWarp; }
GEMMA_DEVICE int WarpIndex() { return static_cast<int>(threadIdx.x) / kWarp; }

// ---- bfloat16 and half ----

GEMMA_DEVICE float Bf16LowToFloat(uint32_t pair) { return __uint_as_float(pair << 16); }
GEMMA_DEVICE float Bf16HighToFloat(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

// Two floats as bfloat16, `low` in the low half; nearest, ties to even.
GEMMA_DEVICE uint32_t PackBf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof(bits));
  return bits;
}

GEMMA_DEVICE float HalfBitsToFloat(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
GEMMA_DEVICE float HalfLowToFloat(uint32_t pair) {
  return HalfBitsToFloat(static_cast<uint16_t>(pair));
}
GEMMA_DEVICE float HalfHighToFloat(uint32_t pair) {
  return HalfBitsToFloat(static_cast<uint16_t>(pair >> 16));
}

// Two floats as float16, `low` in the low half; nearest, ties to even, infinite out of range.
GEMMA_DEVICE uint32_t PackHalf(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof(bits));
  return bits;
}

// a * b + c of two pairs of float16, each rounded once.
GEMMA_DEVICE uint32_t MultiplyAddHalf(uint32_t a, uint32_t b, uint32_t c) {
#ifdef GEMMA_CUDA_EMULATION
  auto one = [](uint32_t x, uint32_t y, uint32_t z) {
    // Exact but for halves far below the sum.
    const double sum = static_cast<double>(HalfLowToFloat(x)) * HalfLowToFloat(y);
    return __half_as_ushort(__double2half(sum + HalfLowToFloat(z)));
  };
  return uint32_t{one(a >> 16, b >> 16, c >> 16)} << 16 | one(a, b, c);
#else
  uint32_t d;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
#endif
}

GEMMA_DEVICE uint32_t MultiplyHalf(uint32_t a, uint32_t b) {
#ifdef GEMMA_CUDA_EMULATION
  return PackHalf(HalfLowToFloat(a) * HalfLowToFloat(b), HalfHighToFloat(a) * HalfHighToFloat(b));
#else
  uint32_t d;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
#endif
}

GEMMA_DEVICE uint32_t AddHalf(uint32_t a, uint32_t b) {
#ifdef GEMMA_CUDA_EMULATION
  return PackHalf(HalfLowToFloat(a) + HalfLowToFloat(b), HalfHighToFloat(a) + HalfHighToFloat(b));
#else
  uint32_t d;
  asm("add.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
#endif
}

// ---- tensor cores ----

// c += a * b for a [16, 16] row-major, b [16, 8] column-major, c [16, 8]; bfloat16 in, float32
// sums. Lane l, with g = l / 4 and t = l % 4, holds
//   a[0]: row g, columns 2t, 2t + 1    a[1]: row g + 8, same    a[2]: row g, columns 2t + 8, 2t + 9
//   a[3]: row g + 8 b[0]: rows 2t, 2t + 1 of column g  b[1]: rows 2t + 8, 2t + 9 c[0], c[1]: row g,
//   columns 2t, 2t + 1                       c[2], c[3]: row g + 8
#ifdef GEMMA_CUDA_EMULATION
using PairElement = float (*)(uint32_t pair, int i);

// The values of a warp's first operand, as lanes hold it.
template <PairElement kElement, typename Operands>
void EmulatedRows(const void* const* ins, float (&rows)[16][16]) {
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      const auto* lane = static_cast<const Operands*>(ins[row % 8 * 4 + k % 8 / 2]);
      rows[row][k] = kElement(lane->a[row / 8 + k / 8 * 2], k % 2);
    }
  }
}

template <PairElement kElement>
void EmulatedMultiplyAccumulate(float* c, const uint32_t* a, uint32_t b0, uint32_t b1) {
  struct Operands {
    float* c;
    const uint32_t* a;
    uint32_t b[2];
  };
  const Operands in{c, a, {b0, b1}};
  emulation::WarpCollective(&in, nullptr, [](const void* const* ins, void* const*) {
    auto lane = [&](int l) { return static_cast<const Operands*>(ins[l]); };
    float rows[16][16], columns[16][8];
    EmulatedRows<kElement, Operands>(ins, rows);
    for (int k = 0; k < 16; ++k) {
      for (int n = 0; n < 8; ++n)
        columns[k][n] = kElement(lane(n * 4 + k % 8 / 2)->b[k / 8], k % 2);
    }
    for (int row = 0; row < 16; ++row) {
      auto sum = [&](int n) -> float& { return lane(row % 8 * 4 + n / 2)->c[row / 8 * 2 + n % 2]; };
      float sums[8];
      for (int n = 0; n < 8; ++n) sums[n] = sum(n);
      for (int k = 0; k < 16; ++k) {
        for (int n = 0; n < 8; ++n) sums[n] += rows[row][k] * columns[k][n];
      }
      for (int n = 0; n < 8; ++n) sum(n) = sums[n];
    }
  });
}

inline float Bf16Element(uint32_t pair, int i) {
  return i == 0 ? Bf16LowToFloat(pair) : Bf16HighToFloat(pair);
}
inline float HalfElement(uint32_t pair, int i) {
  return i == 0 ? HalfLowToFloat(pair) : HalfHighToFloat(pair);
}
#endif

GEMMA_DEVICE void MultiplyAccumulate(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                     uint32_t b1) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedMultiplyAccumulate<Bf16Element>(c, a, b0, b1);
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// The same of float16. Subnormal numbers are multiplied as what they are.
GEMMA_DEVICE void MultiplyAccumulateHalf(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedMultiplyAccumulate<HalfElement>(c, a, b0, b1);
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

#ifdef GEMMA_CUDA_EMULATION
template <bool kTransposed>
void EmulatedLoadMatrix(uint32_t (&d)[4], const void* row) {
  emulation::WarpCollective(&row, d, [](const void* const* ins, void* const* outs) {
    for (int lane = 0; lane < kWarp; ++lane) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        uint16_t pair[2];
        for (int i = 0; i < 2; ++i) {
          const int outer = lane / 4, inner = lane % 4 * 2 + i;
          const int r = kTransposed ? inner : outer, c = kTransposed ? outer : inner;
          const void* address = *static_cast<const void* const*>(ins[matrix * 8 + r]);
          memcpy(&pair[i], static_cast<const uint16_t*>(address) + c, 2);
        }
        memcpy(&static_cast<uint32_t*>(outs[lane])[matrix], pair, 4);
      }
    }
  });
}
#endif

GEMMA_DEVICE uint32_t SharedAddress(const void* pointer) {
#ifdef GEMMA_CUDA_EMULATION
  return static_cast<uint32_t>(static_cast<const std::byte*>(pointer) - emulation::SharedMemory());
#else
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
#endif
}

// A tile of a 16-bit matrix in shared memory has rows of 128 bytes (64 elements); the 16-byte chunk c
// of row r lies where chunk c ^ (r % 8) would. The tile begins at a multiple of 1024 bytes.
GEMMA_DEVICE int TileOffset(int row, int chunk) { return row * 128 + (chunk ^ (row & 7)) * 16; }

// Four 8 x 8 matrices of 16-bit elements from shared memory; lane l gives the address of row l % 8
// of matrix l / 8. d[m]: row l / 4, columns 2 (l % 4) and 2 (l % 4) + 1 of matrix m.
GEMMA_DEVICE void LoadMatrix(uint32_t (&d)[4], const void* row) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedLoadMatrix<false>(d, row);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(SharedAddress(row))
               : "memory");
#endif
}

// As LoadMatrix, of the transposed matrices. d[m]: rows 2 (l % 4) and 2 (l % 4) + 1 of column l
// / 4.
GEMMA_DEVICE void LoadMatrixTransposed(uint32_t (&d)[4], const void* row) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedLoadMatrix<true>(d, row);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(SharedAddress(row))
               : "memory");
#endif
}

// True in one lane of a warp that is whole. ptxas knows it to be one, which makes instructions that
// take uniform registers, as bulk copies do, much shorter than a comparison of Lane().
GEMMA_DEVICE bool IsElected() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  uint32_t elected;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}"
               : "=r"(elected));
  return elected != 0;
#else
  return Lane() == 0;
#endif
}

// ---- asynchronous copies from global to shared memory ----

// Copies kBytes (4, 8 or 16), of which the first `valid` come from `from` and the rest are zeros.
template <int kBytes>
GEMMA_DEVICE void CopyAsync(void* to, const void* from, int valid = kBytes) {
#ifdef GEMMA_CUDA_EMULATION
  if (reinterpret_cast<uintptr_t>(to) % kBytes != 0 ||
      reinterpret_cast<uintptr_t>(from) % kBytes != 0)
    emulation::Fail("an asynchronous copy is not aligned");
  memset(to, 0, kBytes);
  memcpy(to, from, valid);
#else
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(to)),
                 "l"(from), "r"(valid)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(SharedAddress(to)),
                 "l"(from), "n"(kBytes), "r"(valid)
                 : "memory");
  }
#endif
}

GEMMA_DEVICE void CommitCopies() {
#ifndef GEMMA_CUDA_EMULATION
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most kPending of the committed groups are still under way.
template <int kPending>
GEMMA_DEVICE void WaitCopies() {
#ifndef GEMMA_CUDA_EMULATION
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

// ---- order between kernels and between blocks ----

// Programmatic dependent launch. A kernel launched with LaunchOptions::overlap may start while the
// kernel before it in the stream still runs; nothing that kernel writes may be read, and nothing it
// reads may be written, before this returns.
GEMMA_DEVICE void WaitForPreviousKernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the next kernel start as soon as every block has called this or ended.
GEMMA_DEVICE void LetNextKernelStart() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

GEMMA_DEVICE void StoreRelease(uint32_t* address, uint32_t value) {
#ifdef GEMMA_CUDA_EMULATION
  *address = value;
#else
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(address), "r"(value) : "memory");
#endif
}

GEMMA_DEVICE uint32_t LoadAcquire(const uint32_t* address) {
#ifdef GEMMA_CUDA_EMULATION
  return *address;
#else
  uint32_t value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
  return value;
#endif
}

// Past the L1 cache, which does not see what other multiprocessors write.
template <typename T>
GEMMA_DEVICE T LoadFromL2(const T* address) {
#ifdef GEMMA_CUDA_EMULATION
  return *address;
#else
  return __ldcg(address);
#endif
}

// Brings the 128 bytes at an address into the L2 cache.
GEMMA_DEVICE void PrefetchToL2(const void* address) {
#ifdef GEMMA_CUDA_EMULATION
  (void)address;
#else
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
#endif
}

// Called in every loop that waits for another thread.
GEMMA_DEVICE void SpinPause() {
#ifdef GEMMA_CUDA_EMULATION
  emulation::Yield();
#else
  __nanosleep(32);
#endif
}

// A loop that waits for another block calls Pause. Built with --//build/cuda:debug_waits it traps
// after about two seconds, so that a lost flag is an error and not a hang.
class Spin {
 public:
  GEMMA_DEVICE void Pause() {
    SpinPause();
#if defined(GEMMA_DEBUG_WAITS) && !defined(GEMMA_CUDA_EMULATION)
    if (clock64() - begin_ > kLongestWait) __trap();
#endif
  }

 private:
#if defined(GEMMA_DEBUG_WAITS) && !defined(GEMMA_CUDA_EMULATION)
  static constexpr long long kLongestWait = 4'000'000'000;  // cycles
  const long long begin_ = clock64();
#endif
};

// ---- sums over a warp ----

GEMMA_DEVICE float WarpSum(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(kAllLanes, value, mask);
  return value;
}

GEMMA_DEVICE float WarpMax(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, mask));
  return value;
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_INSTRUCTIONS_H_
