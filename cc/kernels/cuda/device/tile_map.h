// A 16-bit matrix in device memory as the copy engine of compute capability 9.0 sees it: cut into
// tiles of 64 columns.
#ifndef CC_KERNELS_CUDA_DEVICE_TILE_MAP_H_
#define CC_KERNELS_CUDA_DEVICE_TILE_MAP_H_

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace gemma::cuda {

#ifdef GEMMA_CUDA_EMULATION
struct TileMap {
  const uint16_t* data;
  int32_t rows;
  int32_t columns;
  int32_t tile_rows;
};
#else
using TileMap = CUtensorMap;
#endif

// data: [rows, columns], aligned to 16 bytes; columns a multiple of 8; tile_rows up to 256
cudaError_t MakeTileMap(const uint16_t* data, int rows, int columns, int tile_rows, TileMap& map);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_TILE_MAP_H_
