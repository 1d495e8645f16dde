#include "cc/base/cpu_count.h"

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <sstream>

namespace gemma {
namespace {

int CpusOfAffinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

int CpusOfQuota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string line;
  std::getline(file, line);
  return ParseCpuQuota(line);
}

}  // namespace

int ParseCpuQuota(const std::string& cpu_max) {
  std::istringstream stream(cpu_max);
  int64_t quota = 0;
  int64_t period = 0;
  if (!(stream >> quota >> period) || quota <= 0 || period <= 0) return 0;
  const int64_t cpus = quota / period + (quota % period != 0 ? 1 : 0);
  return static_cast<int>(std::min<int64_t>(cpus, std::numeric_limits<int>::max()));
}

int AvailableCpus() {
  int cpus = CpusOfAffinity();
  if (const int quota = CpusOfQuota(); quota > 0) cpus = std::min(cpus, quota);
  return cpus;
}

}  // namespace gemma
