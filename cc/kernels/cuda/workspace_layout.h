// Where the kernels' scratch memory lies in a Workspace.
#ifndef CC_KERNELS_CUDA_WORKSPACE_LAYOUT_H_
#define CC_KERNELS_CUDA_WORKSPACE_LAYOUT_H_

#include <algorithm>
#include <cstddef>

#include "cc/kernels/cuda/attention_params.h"
#include "cc/kernels/cuda/context.h"
#include "cc/kernels/cuda/matvec_params.h"
#include "cc/kernels/cuda/sample_params.h"

namespace gemma::cuda {

struct WorkspaceLayout {
  size_t boundary_sums = 0;
  size_t boundary_flags = 0;
  size_t stream_claims = 0;
  size_t attention_partials = 0;
  size_t attention_counters = 0;
  size_t sample_state = 0;
  size_t gemm_partials = 0;
  size_t gemm_flags = 0;
  size_t bytes = 0;
};

inline constexpr int kMaxKvHeads = 256;

// Splits of the context: with a block for each and each kv head, the multiprocessors are full.
inline int DecodeSplits(const Device& device, int kv_heads) {
  return std::clamp(device.multiprocessors / kv_heads, 1, kMaxSplits);
}

inline WorkspaceLayout LayOutWorkspace(const Device& device, const Workspace::Limits& limits) {
  constexpr size_t kAlignment = 256;
  const size_t blocks = static_cast<size_t>(device.multiprocessors) + 1;
  WorkspaceLayout layout;
  auto place = [&](size_t& offset, size_t bytes) {
    offset = (layout.bytes + kAlignment - 1) / kAlignment * kAlignment;
    layout.bytes = offset + bytes;
  };
  place(layout.boundary_sums, blocks * kTileRows * kMaxMatvecTokens * sizeof(float));
  place(layout.boundary_flags, blocks * sizeof(uint32_t));
  place(layout.stream_claims, kStreamClaims * sizeof(uint32_t));
  place(layout.attention_partials, limits.attention_bytes);
  place(layout.attention_counters, kMaxKvHeads * sizeof(uint32_t));
  place(layout.sample_state, sizeof(SampleState));
  place(layout.gemm_partials, limits.gemm_bytes);
  place(layout.gemm_flags, limits.gemm_bytes == 0 ? 0 : 2 * blocks * sizeof(uint32_t));
  return layout;
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_WORKSPACE_LAYOUT_H_
