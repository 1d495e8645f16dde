#include "cc/engine/describe_cpu.h"

#include "cc/kernels/cpu/kernels.h"

namespace gemma {

std::string CpuKernels() { return std::string(cpu::IsaName(cpu::BestKernels().isa)); }

}  // namespace gemma
