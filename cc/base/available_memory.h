// What this machine has left of host memory, as far as this process may use it: a container's limit
// (cgroup v2 or v1) counts as much as the machine's own memory, whatever is less. The Python
// programs count alike (python/console/machine.py).
#ifndef CC_BASE_AVAILABLE_MEMORY_H_
#define CC_BASE_AVAILABLE_MEMORY_H_

#include <cstdint>
#include <string>

namespace gemma {

// Bytes that can be allocated without swapping; the largest number where the kernel does not tell.
// `proc` and `cgroup`: where those file systems are mounted.
uint64_t AvailableMemory(const std::string& proc = "/proc",
                         const std::string& cgroup = "/sys/fs/cgroup");

}  // namespace gemma

#endif  // CC_BASE_AVAILABLE_MEMORY_H_
