// What this machine's CPU offers, for people.
#ifndef CC_ENGINE_DESCRIBE_CPU_H_
#define CC_ENGINE_DESCRIBE_CPU_H_

#include <string>

namespace gemma {

// The instruction set of the kernels that it runs: "AVX-512".
std::string CpuKernels();

}  // namespace gemma

#endif  // CC_ENGINE_DESCRIBE_CPU_H_
