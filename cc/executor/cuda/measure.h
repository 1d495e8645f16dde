// What a GPU is measured to do, for reports that set other figures beside it.
#ifndef CC_EXECUTOR_CUDA_MEASURE_H_
#define CC_EXECUTOR_CUDA_MEASURE_H_

#include "absl/status/statusor.h"
#include "cc/executor/executor.h"
#include "cc/kernels/cuda/runtime/device.h"

namespace gemma {

// Reads a gigabyte several times, or less where less is free. Takes some ten milliseconds.
absl::StatusOr<DeviceFigures> MeasureDevice(const cuda::Device& device, cuda::Stream stream);

}  // namespace gemma

#endif  // CC_EXECUTOR_CUDA_MEASURE_H_
