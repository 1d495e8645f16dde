#include "cc/executor/cuda/measure.h"

#include <algorithm>

#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/runtime/bandwidth.h"
#include "cc/kernels/cuda/runtime/host_buffer.h"

namespace gemma {
namespace {

using cuda::ToStatus;

#ifdef GEMMA_CUDA_EMULATION
constexpr size_t kMostBytes = 1 << 20;
#else
constexpr size_t kMostBytes = size_t{1} << 30;  // far more than any cache
#endif
constexpr int kRuns = 8;

// The fastest of some runs.
absl::StatusOr<double> ReadBandwidth(const cuda::Device& device, size_t bytes,
                                     cuda::Stream stream) {
  GEMMA_ASSIGN_OR_RETURN(const cuda::DeviceBuffer buffer,
                         cuda::DeviceBuffer::Allocate(bytes, "measuring"));
  auto* const sum = static_cast<uint32_t*>(buffer.data());
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    cuda::Event begin, end;
    GEMMA_RETURN_IF_ERROR(begin.Record(stream));
    GEMMA_RETURN_IF_ERROR(
        ToStatus(cuda::LaunchReadAll(buffer.data(), bytes, device.multiprocessors, sum, stream),
                 "cannot read GPU memory"));
    GEMMA_RETURN_IF_ERROR(end.Record(stream));
    GEMMA_RETURN_IF_ERROR(end.Wait());
    GEMMA_ASSIGN_OR_RETURN(const float milliseconds, end.MillisecondsSince(begin));
    best = std::max(best, static_cast<double>(bytes) / (1e-3 * milliseconds));
  }
  return best;
}

}  // namespace

absl::StatusOr<DeviceFigures> MeasureDevice(const cuda::Device& device, cuda::Stream stream) {
  size_t free = 0, total = 0;
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaSetDevice(device.index), "cannot use the GPU"));
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaMemGetInfo(&free, &total), "cannot ask for free GPU memory"));
  DeviceFigures figures;
  figures.memory_used = total - free;
  figures.memory_total = total;
  const size_t bytes = std::min(kMostBytes, free / 2 / 4096 * 4096);
  GEMMA_ASSIGN_OR_RETURN(figures.read_bytes_per_second, ReadBandwidth(device, bytes, stream));
  return figures;
}

}  // namespace gemma
