#include "cc/kernels/cuda/context.h"

#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/workspace_layout.h"

namespace gemma::cuda {

size_t Workspace::Bytes(const Device& device, const Limits& limits) {
  return LayOutWorkspace(device, limits).bytes;
}

absl::StatusOr<Workspace> Workspace::Create(const Device& device, const Limits& limits,
                                            Stream stream) {
  const WorkspaceLayout layout = LayOutWorkspace(device, limits);
  Workspace workspace;
  workspace.limits_ = limits;
  GEMMA_ASSIGN_OR_RETURN(workspace.memory_,
                         DeviceBuffer::Allocate(layout.bytes, "the kernels' scratch memory"));
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaMemsetAsync(workspace.memory_.data(), 0, layout.bytes, stream),
                                 "cannot clear scratch memory"));
  std::byte* const base = static_cast<std::byte*>(workspace.memory_.data());
  workspace.boundary_sums_ = reinterpret_cast<float*>(base + layout.boundary_sums);
  workspace.boundary_flags_ = reinterpret_cast<uint32_t*>(base + layout.boundary_flags);
  workspace.stream_claims_ = reinterpret_cast<uint32_t*>(base + layout.stream_claims);
  workspace.attention_partials_ = reinterpret_cast<float*>(base + layout.attention_partials);
  workspace.attention_counters_ = reinterpret_cast<uint32_t*>(base + layout.attention_counters);
  workspace.sample_state_ = reinterpret_cast<SampleState*>(base + layout.sample_state);
  workspace.gemm_partials_ = reinterpret_cast<float*>(base + layout.gemm_partials);
  workspace.gemm_flags_ = reinterpret_cast<uint32_t*>(base + layout.gemm_flags);
  return workspace;
}

}  // namespace gemma::cuda
