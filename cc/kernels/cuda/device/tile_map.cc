#include "cc/kernels/cuda/device/tile_map.h"

namespace gemma::cuda {

#ifdef GEMMA_CUDA_EMULATION

cudaError_t MakeTileMap(const uint16_t* data, int rows, int columns, int tile_rows, TileMap& map) {
  map = {data, rows, columns, tile_rows};
  return cudaSuccess;
}

#else

namespace {

// The driver's function, which a program must not link to: machines without a GPU lack the library.
cudaError_t FindEncoder(decltype(&cuTensorMapEncodeTiled)& encode) {
  constexpr unsigned kVersion = 12000;
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                             kVersion, cudaEnableDefault, &found);
  if (error != cudaSuccess) return error;
  if (found != cudaDriverEntryPointSuccess) return cudaErrorSymbolNotFound;
  encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  return cudaSuccess;
}

}  // namespace

cudaError_t MakeTileMap(const uint16_t* data, int rows, int columns, int tile_rows, TileMap& map) {
  static decltype(&cuTensorMapEncodeTiled) encode = nullptr;
  static const cudaError_t found = FindEncoder(encode);
  if (found != cudaSuccess) return found;
  const cuuint64_t size[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t pitch[] = {static_cast<cuuint64_t>(columns) * sizeof(uint16_t)};
  const cuuint32_t tile[] = {64, static_cast<cuuint32_t>(tile_rows)};
  const cuuint32_t steps[] = {1, 1};
  const CUresult result =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, const_cast<uint16_t*>(data), size, pitch,
             tile, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

#endif

}  // namespace gemma::cuda
