// The machine instructions of compute capability 9.0 (sm_90a), one function each, with the same
// meaning under emulation: copies of tiles by the copy engine, products of a warpgroup (4 warps,
// the first a multiple of 4).
#ifndef CC_KERNELS_CUDA_DEVICE_HOPPER_H_
#define CC_KERNELS_CUDA_DEVICE_HOPPER_H_

#include "cc/kernels/cuda/device/barrier.h"
#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/device/tile_map.h"

#ifdef GEMMA_CUDA_EMULATION
#include <cstring>
#elif !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GEMMA_HOPPER 1
#endif

namespace gemma::cuda {

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

// ---- tiles of a 16-bit matrix (TileOffset) ----

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

// The same of a matrix whose rows are the product's columns turned over: rows 16 k to 16 k + 15 of
// tiles of 64 columns that lie `tile_bytes` apart.
GEMMA_DEVICE uint64_t TurnedDescriptor(const void* tiles, int k, int tile_bytes) {
  const uint64_t form =
      uint64_t{1} << 62 | uint64_t{1024 / 16} << 32 | static_cast<uint64_t>(tile_bytes / 16) << 16;
  return form | (SharedAddress(tiles) / 16 + 128 * k);
}

// Makes what threads have written to shared memory, as seen by the caller, visible to products.
GEMMA_DEVICE void FenceShared() {
#ifdef GEMMA_HOPPER
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
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
// d (+)= a * columns, for operands that name d, a and accumulate.
template <int kColumns, typename Operands>
void EmulatedRowsProduct(const void* const* ins, const float (&columns)[16][kColumns]) {
  float rows[16][16];
  EmulatedRows<HalfElement, Operands>(ins, rows);
  const bool accumulate = static_cast<const Operands*>(ins[0])->accumulate != 0;
  for (int row = 0; row < 16; ++row) {
    float products[kColumns] = {};
    for (int k = 0; k < 16; ++k) {
      for (int n = 0; n < kColumns; ++n) products[n] += rows[row][k] * columns[k][n];
    }
    for (int n = 0; n < kColumns; ++n) {
      const auto* lane = static_cast<const Operands*>(ins[row % 8 * 4 + n % 8 / 2]);
      float& sum = lane->d[n / 8 * 4 + row / 8 * 2 + n % 2];
      sum = accumulate ? sum + products[n] : products[n];
    }
  }
}

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
    static float columns[16][kColumns];
    for (int n = 0; n < kColumns; ++n) {
      for (int k = 0; k < 16; ++k) {
        uint16_t bits;
        memcpy(&bits, tile + TileOffset(n, chunk + k / 8) + k % 8 * 2, 2);
        columns[k][n] = HalfBitsToFloat(bits);
      }
    }
    EmulatedRowsProduct<kColumns, Operands>(ins, columns);
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
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
        "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
        "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
        "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
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
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
        "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
        "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
        "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
        "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]),
        "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]),
        "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]),
        "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
        "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]),
        "+f"(d[63])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
#endif
}

// ---- products of attention ----

#ifdef GEMMA_CUDA_EMULATION
inline const std::byte* EmulatedAddress(uint64_t descriptor) {
  return emulation::SharedMemory() + (descriptor & 0x3fff) * 16;
}

template <int kColumns>
void EmulatedSharedProduct(float* d, uint64_t a, uint64_t b, int accumulate) {
  // The rows of this warp as registers, then as before.
  const std::byte* const from = EmulatedAddress(a);
  const int64_t offset = from - emulation::SharedMemory();
  const std::byte* const tile = from - offset % 1024;
  const int chunk = static_cast<int>(offset % 128 / 16), row = WarpIndex() % 4 * 16 + Lane() / 4;
  uint32_t registers[4];
  for (int i = 0; i < 4; ++i) {
    memcpy(&registers[i], tile + TileOffset(row + i % 2 * 8, chunk + i / 2) + Lane() % 4 * 4, 4);
  }
  EmulatedTileProduct<kColumns>(d, registers, b, accumulate);
}

inline void EmulatedTurnedProduct(float* d, const uint32_t* a, uint64_t b, int accumulate) {
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
    const std::byte* const tiles = EmulatedAddress(first.b);
    const int64_t tile_bytes = static_cast<int64_t>(first.b >> 16 & 0x3fff) * 16;
    static float columns[16][256];
    for (int k = 0; k < 16; ++k) {
      for (int n = 0; n < 256; ++n) {
        uint16_t bits;
        memcpy(&bits, tiles + n / 64 * tile_bytes + TileOffset(k, n % 64 / 8) + n % 8 * 2, 2);
        columns[k][n] = HalfBitsToFloat(bits);
      }
    }
    EmulatedRowsProduct<256, Operands>(ins, columns);
  });
}
#endif

// As TileProduct, with the first operand from a tile (TileDescriptor) of 64 rows.
template <int kColumns>
GEMMA_DEVICE void SharedProduct(float (&d)[kColumns / 2], uint64_t a, uint64_t b, int accumulate);

template <>
GEMMA_DEVICE void SharedProduct<32>(float (&d)[16], uint64_t a, uint64_t b, int accumulate) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedSharedProduct<32>(d, a, b, accumulate);
#elif defined(GEMMA_HOPPER)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
      "}, %16, %17, p, 1, 1, 0, 0;\n}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
        "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
        "+f"(d[14]), "+f"(d[15])
      : "l"(a), "l"(b), "r"(accumulate));
#endif
}

template <>
GEMMA_DEVICE void SharedProduct<64>(float (&d)[32], uint64_t a, uint64_t b, int accumulate) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedSharedProduct<64>(d, a, b, accumulate);
#elif defined(GEMMA_HOPPER)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
      "}, %32, %33, p, 1, 1, 0, 0;\n}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
        "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
        "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
        "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
        "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
      : "l"(a), "l"(b), "r"(accumulate));
#endif
}

// d (+)= a * b for b of 16 rows and 256 columns (TurnedDescriptor).
GEMMA_DEVICE void TurnedProduct(float (&d)[128], const uint32_t (&a)[4], uint64_t b,
                                int accumulate) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedTurnedProduct(d, a, b, accumulate);
#elif defined(GEMMA_HOPPER)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %133, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, "
      "%127"
      "}, {%128, %129, %130, %131}, %132, p, 1, 1, 1;\n}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
        "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
        "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
        "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
        "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]),
        "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]),
        "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]),
        "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
        "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]),
        "+f"(d[63]), "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67]), "+f"(d[68]), "+f"(d[69]),
        "+f"(d[70]), "+f"(d[71]), "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75]), "+f"(d[76]),
        "+f"(d[77]), "+f"(d[78]), "+f"(d[79]), "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83]),
        "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87]), "+f"(d[88]), "+f"(d[89]), "+f"(d[90]),
        "+f"(d[91]), "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95]), "+f"(d[96]), "+f"(d[97]),
        "+f"(d[98]), "+f"(d[99]), "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103]),
        "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107]), "+f"(d[108]), "+f"(d[109]),
        "+f"(d[110]), "+f"(d[111]), "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115]),
        "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119]), "+f"(d[120]), "+f"(d[121]),
        "+f"(d[122]), "+f"(d[123]), "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
#endif
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_HOPPER_H_
