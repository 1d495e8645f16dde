// The machine instructions of compute capability 9.0 (sm_90a), one function each, with the same
// meaning under emulation: barriers that count bytes, copies of tiles by the copy engine, products
// of a warpgroup (4 warps, the first a multiple of 4).
#ifndef CC_KERNELS_CUDA_HOPPER_H_
#define CC_KERNELS_CUDA_HOPPER_H_

#include "cc/kernels/cuda/instructions.h"
#include "cc/kernels/cuda/tile_map.h"

#ifdef GEMMA_CUDA_EMULATION
#include <cstring>
#elif !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GEMMA_HOPPER 1
#endif

namespace gemma::cuda {

inline constexpr int kWarpgroup = 128;

// ---- barriers in shared memory ----

// A barrier completes a phase when all its arrivals and all its expected bytes have come; then the
// next phase begins. Waiting is by the parity of the phase, 0 first.
struct Barrier {
  uint64_t state;
};

#ifdef GEMMA_CUDA_EMULATION
// state: parity in bit 0, arrivals a phase from bit 1 on, pending ones from bit 16 on, bytes from
// bit 32 on.
inline void EmulatedArrive(Barrier& barrier, int arrivals, int64_t bytes) {
  uint64_t parity = barrier.state & 1, count = barrier.state >> 1 & 0x7fff;
  int64_t pending = static_cast<int64_t>(barrier.state >> 16 & 0xffff) - arrivals;
  const int64_t left = static_cast<int32_t>(barrier.state >> 32) + bytes;
  if (pending == 0 && left == 0) {
    parity ^= 1;
    pending = static_cast<int64_t>(count);
  }
  barrier.state = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 |
                  static_cast<uint64_t>(pending) << 16 | count << 1 | parity;
}
#endif

GEMMA_DEVICE void InitBarrier(Barrier& barrier, int arrivals) {
#ifdef GEMMA_CUDA_EMULATION
  barrier.state = static_cast<uint64_t>(arrivals) << 16 | static_cast<uint64_t>(arrivals) << 1;
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(&barrier)),
               "r"(arrivals)
               : "memory");
#endif
}

// After the InitBarrier calls, before the block's barrier: the copy engine sees them.
GEMMA_DEVICE void FenceBarrierInit() {
#ifdef GEMMA_HOPPER
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

GEMMA_DEVICE void Arrive(Barrier& barrier) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedArrive(barrier, 1, 0);
#elif defined(GEMMA_HOPPER)
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(&barrier))
               : "memory");
#endif
}

// Arrives, and the phase ends no sooner than `bytes` more have come.
GEMMA_DEVICE void ArriveExpecting(Barrier& barrier, int bytes) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedArrive(barrier, 1, bytes);
#elif defined(GEMMA_HOPPER)
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                   SharedAddress(&barrier)),
               "r"(bytes)
               : "memory");
#endif
}

// Arrives when all CopyAsync of this thread so far have ended.
GEMMA_DEVICE void ArriveAfterCopies(Barrier& barrier) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedArrive(barrier, 1, 0);
#elif defined(GEMMA_HOPPER)
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(
                   SharedAddress(&barrier))
               : "memory");
#endif
}

// Waits until the phase of this parity has ended.
GEMMA_DEVICE void WaitBarrier(Barrier& barrier, int parity) {
#ifdef GEMMA_CUDA_EMULATION
  while (static_cast<int>(barrier.state & 1) == parity) emulation::WaitForChange(barrier.state);
#elif defined(GEMMA_HOPPER)
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra end;\n"
      "bra again;\n"
      "end:\n}" ::"r"(SharedAddress(&barrier)),
      "r"(parity)
      : "memory");
#endif
}

// Meets `threads` threads (whole warps) at barrier `id`, 1 to 15; 0 is __syncthreads.
GEMMA_DEVICE void MeetThreads(int id, int threads) {
#ifdef GEMMA_CUDA_EMULATION
  emulation::NamedBarrier(id, threads);
#else
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

// ---- registers ----

template <int kRegisters>
GEMMA_DEVICE void TakeRegisters() {
#ifdef GEMMA_HOPPER
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}
template <int kRegisters>
GEMMA_DEVICE void GiveRegisters() {
#ifdef GEMMA_HOPPER
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}

// ---- tiles of a 16-bit matrix ----

// A tile in shared memory has rows of 128 bytes (64 elements); the 16-byte chunk c of row r lies
// where chunk c ^ (r % 8) would. The tile begins at a multiple of 1024 bytes.
GEMMA_DEVICE int TileOffset(int row, int chunk) { return row * 128 + (chunk ^ (row & 7)) * 16; }

// Starts the copy of the tile of `map` (tile_map.h) at [row, column] and counts its bytes at the
// barrier; elements outside of the matrix are zeros.
GEMMA_DEVICE void CopyTile(void* to, const TileMap& map, int row, int column, Barrier& barrier) {
#ifdef GEMMA_CUDA_EMULATION
  for (int r = 0; r < map.tile_rows; ++r) {
    for (int chunk = 0; chunk < 8; ++chunk) {
      uint16_t values[8] = {};
      for (int i = 0; i < 8; ++i) {
        const int c = column + chunk * 8 + i;
        if (row + r < map.rows && c < map.columns)
          values[i] = map.data[static_cast<int64_t>(row + r) * map.columns + c];
      }
      memcpy(static_cast<std::byte*>(to) + TileOffset(r, chunk), values, 16);
    }
  }
  EmulatedArrive(barrier, 0, -map.tile_rows * 128);
#elif defined(GEMMA_HOPPER)
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, "
      "{%2, %3}], [%4];" ::"r"(SharedAddress(to)),
      "l"(&map), "r"(column), "r"(row), "r"(SharedAddress(&barrier))
      : "memory");
#endif
}

// ---- products of a warpgroup ----

// Where a tile's columns 16 k to 16 k + 15 lie, as the product takes its second operand.
GEMMA_DEVICE uint64_t TileDescriptor(const void* tile, int k) {
  // The address in units of 16 bytes; 1024 bytes from eight rows to the next; 128-byte swizzle.
  constexpr uint64_t kForm = uint64_t{1} << 62 | uint64_t{1024 / 16} << 32 | uint64_t{1} << 16;
  return kForm | (SharedAddress(tile) / 16 + 2 * k);
}

GEMMA_DEVICE void FenceProducts() {
#ifdef GEMMA_HOPPER
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
GEMMA_DEVICE void CommitProducts() {
#ifdef GEMMA_HOPPER
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// Waits until at most kPending of the committed groups are still under way.
template <int kPending>
GEMMA_DEVICE void WaitProducts() {
#ifdef GEMMA_HOPPER
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#endif
}

// Says that registers are in use up to here: products read them while they are under way.
template <int kCount>
GEMMA_DEVICE void KeepRegisters(uint32_t (&words)[kCount]) {
#ifdef GEMMA_HOPPER
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(words[i])::"memory");
#else
  (void)words;
#endif
}

#ifdef GEMMA_CUDA_EMULATION
template <int kColumns>
void EmulatedTileProduct(float* d, const uint32_t* a, uint64_t b, int accumulate) {
  struct Operands {
    float* d;
    const uint32_t* a;
    uint64_t b;
    int accumulate;
  };
  const Operands in{d, a, b, accumulate};
  emulation::WarpCollective(&in, nullptr, [](const void* const* ins, void* const*) {
    auto lane = [&](int l) { return static_cast<const Operands*>(ins[l]); };
    const Operands& first = *lane(0);
    const uint32_t address = static_cast<uint32_t>(first.b & 0x3fff) * 16;
    const std::byte* const tile = emulation::SharedMemory() + address / 1024 * 1024;
    const int chunk = static_cast<int>(address % 128 / 16);
    static float column[kColumns][16];
    for (int n = 0; n < kColumns; ++n) {
      for (int k = 0; k < 16; ++k) {
        uint16_t bits;
        memcpy(&bits, tile + TileOffset(n, chunk + k / 8) + k % 8 * 2, 2);
        column[n][k] = HalfBitsToFloat(bits);
      }
    }
    for (int row = 0; row < 16; ++row) {
      float x[16];
      for (int k = 0; k < 16; ++k)
        x[k] = HalfElement(lane(row % 8 * 4 + k % 8 / 2)->a[row / 8 + k / 8 * 2], k % 2);
      for (int n = 0; n < kColumns; ++n) {
        float& sum = lane(row % 8 * 4 + n % 8 / 2)->d[n / 8 * 4 + row / 8 * 2 + n % 2];
        float product = 0;
        for (int k = 0; k < 16; ++k) product += x[k] * column[n][k];
        sum = first.accumulate != 0 ? sum + product : product;
      }
    }
  });
}
#endif

// d (+)= a * transpose(b) for a [64, 16] and b [kColumns, 16], float16 in, float32 sums; under way
// until WaitProducts. Warp w of the warpgroup holds rows 16 w to 16 w + 15 of a as
// MultiplyAccumulate does, and of d columns 8 n to 8 n + 7 in d[4 n] to d[4 n + 3].
// accumulate: 0 starts from zero.
template <int kColumns>
GEMMA_DEVICE void TileProduct(float (&d)[kColumns / 2], const uint32_t (&a)[4], uint64_t b,
                              int accumulate);

template <>
GEMMA_DEVICE void TileProduct<64>(float (&d)[32], const uint32_t (&a)[4], uint64_t b,
                                  int accumulate) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedTileProduct<64>(d, a, b, accumulate);
#elif defined(GEMMA_HOPPER)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
      "}, {%32, %33, %34, %35}, %36, p, 1, 1, 0;\n}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]),
        "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]),
        "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]),
        "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
        "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
        "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
#endif
}

template <>
GEMMA_DEVICE void TileProduct<128>(float (&d)[64], const uint32_t (&a)[4], uint64_t b,
                                   int accumulate) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedTileProduct<128>(d, a, b, accumulate);
#elif defined(GEMMA_HOPPER)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
      "}, {%64, %65, %66, %67}, %68, p, 1, 1, 0;\n}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]),
        "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]),
        "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]),
        "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
        "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
        "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
        "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]),
        "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
        "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]),
        "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
        "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]),
        "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
        "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]),
        "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
#endif
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_HOPPER_H_
