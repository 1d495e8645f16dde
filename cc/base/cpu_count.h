// How many threads are worth starting.
#ifndef CC_BASE_CPU_COUNT_H_
#define CC_BASE_CPU_COUNT_H_

#include <string>

namespace gemma {

// The CPUs that this process may run on: its affinity mask, or fewer where a cgroup's quota (a
// container's CPU limit) allows less. At least 1.
int AvailableCpus();

// The quota that cgroup v2's `cpu.max` file states ("200000 100000": 2; "max 100000": none),
// rounded up; 0 for none or for text that is not understood.
int ParseCpuQuota(const std::string& cpu_max);

}  // namespace gemma

#endif  // CC_BASE_CPU_COUNT_H_
