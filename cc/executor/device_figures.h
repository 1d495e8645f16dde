// Measured read bandwidth and memory of a device.
#ifndef CC_EXECUTOR_DEVICE_FIGURES_H_
#define CC_EXECUTOR_DEVICE_FIGURES_H_

#include <cstdint>

namespace gemma {

struct DeviceFigures {
  double read_bytes_per_second = 0;
  uint64_t memory_used = 0;  // of the whole device, by all programs; 0 for host memory
  uint64_t memory_total = 0;
};

}  // namespace gemma

#endif  // CC_EXECUTOR_DEVICE_FIGURES_H_
