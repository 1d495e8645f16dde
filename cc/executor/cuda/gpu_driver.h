// The NVIDIA driver of this machine.
#ifndef CC_EXECUTOR_CUDA_GPU_DRIVER_H_
#define CC_EXECUTOR_CUDA_GPU_DRIVER_H_

#include <string>

namespace gemma {

// The newest CUDA that the driver runs, "13.0"; "none" without a driver.
std::string GpuDriverVersion();

}  // namespace gemma

#endif  // CC_EXECUTOR_CUDA_GPU_DRIVER_H_
