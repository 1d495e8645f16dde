// What this machine has, for people: what a run would use.
#ifndef CC_ENGINE_DESCRIBE_MACHINE_H_
#define CC_ENGINE_DESCRIBE_MACHINE_H_

#include <cstdint>
#include <string>

namespace gemma {

struct MachineDescription {
  std::string kernels;  // the CPU's vector instructions that are used: "AVX-512"
  int cpus = 0;         // that this process may use, by affinity and quota
  // Bytes that this process may still take, by the machine and its cgroup.
  uint64_t free_memory = 0;
  // Name, compute capability, driver, memory and measured bandwidth; or why none can be used.
  std::string gpu;
};

MachineDescription DescribeMachine();

// The CUDA that this program was built with: "13.0".
std::string BuiltWithCuda();

}  // namespace gemma

#endif  // CC_ENGINE_DESCRIBE_MACHINE_H_
