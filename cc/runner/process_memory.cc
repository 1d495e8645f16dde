#include "cc/runner/process_memory.h"

#include <sys/resource.h>

#include <fstream>

namespace gemma {

uint64_t PeakResidentBytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

void ForgetPeakResidentBytes() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace gemma
