// Timing on the device, and random weights that exist there only.
#ifndef CC_KERNELS_CUDA_BENCHMARK_MEASURE_H_
#define CC_KERNELS_CUDA_BENCHMARK_MEASURE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/weight_layout.h"

namespace gemma::cuda {

struct Timing {
  double median_us = 0;
  double spread = 0;  // (largest - smallest) / median
};

// Captures what `work` launches as one graph and times its replays with events.
absl::StatusOr<Timing> TimeGraph(const std::function<absl::Status()>& work, Stream stream,
                                 int repetitions);

// Bytes a second that this GPU reads at best, over a buffer of `bytes`.
absl::StatusOr<double> ReadBandwidth(const Device& device, size_t bytes, Stream stream);

// Device memory from one allocation, handed out in order.
class Arena {
 public:
  static absl::StatusOr<Arena> Create(size_t bytes);
  // Aligned to 256 bytes; ResourceExhausted when the arena is used up.
  absl::StatusOr<void*> Take(size_t bytes);
  size_t used() const { return used_; }

 private:
  DeviceBuffer memory_;
  size_t used_ = 0;
};

// A weight with random values and sane scales.
absl::StatusOr<WeightView> RandomDeviceWeight(const WeightShape& shape, Arena& arena, uint32_t seed,
                                              Stream stream);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_BENCHMARK_MEASURE_H_
