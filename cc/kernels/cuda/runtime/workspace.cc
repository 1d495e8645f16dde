#include "cc/kernels/cuda/runtime/workspace.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace gemma::cuda {
namespace {

constexpr size_t kAlignment = 256;

size_t RoundUp(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <typename List>
auto FindRegion(List& regions, absl::string_view name) {
  return std::find_if(regions.begin(), regions.end(),
                      [&](const Region& region) { return region.name == name; });
}

}  // namespace

void AddRegions(const Regions& more, Regions& regions) {
  for (const Region& region : more) {
    const auto found = FindRegion(regions, region.name);
    if (found == regions.end()) {
      regions.push_back(region);
    } else {
      found->bytes = std::max(found->bytes, region.bytes);
    }
  }
}

size_t Workspace::Bytes(const Regions& regions) {
  size_t bytes = 0;
  for (const Region& region : regions) bytes += RoundUp(region.bytes);
  return bytes;
}

absl::StatusOr<Workspace> Workspace::Create(const Regions& regions, Stream stream) {
  Workspace workspace;
  workspace.regions_ = regions;
  GEMMA_ASSIGN_OR_RETURN(workspace.memory_,
                         DeviceBuffer::Allocate(std::max(Bytes(regions), kAlignment),
                                                "the kernels' scratch memory"));
  size_t offset = 0;
  for (const Region& region : regions) {
    workspace.offsets_.push_back(offset);
    offset += RoundUp(region.bytes);
  }
  GEMMA_RETURN_IF_ERROR(workspace.Clear(stream));
  return workspace;
}

absl::Status Workspace::Clear(Stream stream) {
  for (size_t i = 0; i < regions_.size(); ++i) {
    if (!regions_[i].zeroed || regions_[i].bytes == 0) continue;
    std::byte* const begin = static_cast<std::byte*>(memory_.data()) + offsets_[i];
    GEMMA_RETURN_IF_ERROR(ToStatus(cudaMemsetAsync(begin, 0, regions_[i].bytes, stream),
                                   "cannot clear scratch memory"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::byte*> Workspace::FindBytes(const Region& needed) const {
  if (needed.bytes == 0) return nullptr;
  const auto found = FindRegion(regions_, needed.name);
  const size_t available = found == regions_.end() ? 0 : found->bytes;
  if (available < needed.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(needed.name, " need ", needed.bytes, " bytes of scratch memory, but there are ",
                     available, " (make the workspace with the operation's regions)"));
  }
  return static_cast<std::byte*>(memory_.data()) +
         offsets_[static_cast<size_t>(found - regions_.begin())];
}

}  // namespace gemma::cuda
