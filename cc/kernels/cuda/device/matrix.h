// A weight in device memory as the kernels see it: plane pointers and numbers, no status types, so
// that kernel sources compile quickly. MatrixFrom (matrix_from.h) makes one from a checked
// WeightView.
#ifndef CC_KERNELS_CUDA_DEVICE_MATRIX_H_
#define CC_KERNELS_CUDA_DEVICE_MATRIX_H_

#include <cstddef>
#include <cstdint>

#include "cc/kernels/layout.h"

namespace gemma::cuda {

// The planes of docs/formats.md, each aligned to 128 bytes, in memory that can be read up to 16
// bytes past the last one.
struct Matrix {
  const std::byte* values = nullptr;
  const std::byte* extra = nullptr;   // the bit plane or the pair plane
  const std::byte* scales = nullptr;  // as in WeightPlanes, like the next two
  const std::byte* mins = nullptr;
  const std::byte* blocks = nullptr;
  int32_t rows = 0;
  int32_t columns = 0;
  int32_t group = 0;          // columns that share a scale; 0 for layouts without groups
  bool float_scales = false;  // one float32 scale (and min) a row
  WeightLayout layout = WeightLayout::kF32;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_MATRIX_H_
