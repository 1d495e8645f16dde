// The NVIDIA driver of this machine, and the CUDA that this program brings itself.
#ifndef CC_EXECUTOR_CUDA_GPU_DRIVER_H_
#define CC_EXECUTOR_CUDA_GPU_DRIVER_H_

#include <string>

namespace gemma {

// The newest CUDA that the driver runs, "13.0"; "none" without a driver.
std::string GpuDriverVersion();

// The CUDA that this program was built with, in the same form.
std::string CudaToolkitVersion();

}  // namespace gemma

#endif  // CC_EXECUTOR_CUDA_GPU_DRIVER_H_
