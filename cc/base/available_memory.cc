#include "cc/base/available_memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <vector>

namespace gemma {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kNoLimit = uint64_t{1} << 60;  // cgroup v1 writes about 2^63 for none

uint64_t FreeOfMachine(const fs::path& meminfo) {
  std::ifstream lines(meminfo);
  std::string name;
  uint64_t kilobytes = 0;
  while (lines >> name >> kilobytes) {
    if (name == "MemAvailable:") return kilobytes * 1024;
    lines.ignore(64, '\n');
  }
  return std::numeric_limits<uint64_t>::max();
}

// None where the file has no number: v2 writes "max" where there is no limit.
std::optional<uint64_t> ReadNumber(const fs::path& path) {
  std::ifstream file(path);
  uint64_t number = 0;
  if (!(file >> number)) return std::nullopt;
  return number;
}

// Page cache, which the kernel gives up when it must.
uint64_t Reclaimable(const fs::path& stat) {
  std::ifstream lines(stat);
  std::string name;
  uint64_t bytes = 0, total = 0;
  while (lines >> name >> bytes) {
    if (name == "inactive_file" || name == "active_file") total += bytes;
  }
  return total;
}

// What a cgroup may still take; none without a limit.
std::optional<uint64_t> Left(const fs::path& limit, const fs::path& used, const fs::path& stat) {
  const std::optional<uint64_t> most = ReadNumber(limit), taken = ReadNumber(used);
  if (!most.has_value() || !taken.has_value() || *most >= kNoLimit) return std::nullopt;
  const uint64_t kept = *taken - std::min(*taken, Reclaimable(stat));
  return *most - std::min(*most, kept);
}

// This process's cgroup v2 folder and those above it.
std::vector<fs::path> OwnCgroups(const fs::path& proc, const fs::path& cgroup) {
  std::ifstream lines(proc / "self/cgroup");
  std::vector<fs::path> folders;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("0::/")) continue;
    folders.push_back(cgroup);
    fs::path folder = cgroup;
    for (const fs::path& part : fs::path(line.substr(4)).lexically_normal()) {
      if (part == ".." || part.empty()) break;
      folders.push_back(folder /= part);
    }
  }
  return folders;
}

}  // namespace

uint64_t AvailableMemory(const std::string& proc, const std::string& cgroup) {
  uint64_t free = FreeOfMachine(fs::path(proc) / "meminfo");
  const auto lower = [&](std::optional<uint64_t> left) {
    free = std::min(free, left.value_or(free));
  };
  for (const fs::path& folder : OwnCgroups(proc, cgroup))
    lower(Left(folder / "memory.max", folder / "memory.current", folder / "memory.stat"));
  const fs::path v1 = fs::path(cgroup) / "memory";
  lower(Left(v1 / "memory.limit_in_bytes", v1 / "memory.usage_in_bytes", v1 / "memory.stat"));
  return free;
}

}  // namespace gemma
