// A sequence of launches, captured once and then launched as one.
#ifndef CC_KERNELS_CUDA_RUNTIME_GRAPH_H_
#define CC_KERNELS_CUDA_RUNTIME_GRAPH_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/kernels/cuda/runtime/device.h"

namespace gemma::cuda {

class Graph {
 public:
  // `work` launches kernels and copies on `stream`, none of which runs now. The memory that they
  // name must stay where it is as long as the graph is launched.
  static absl::StatusOr<Graph> Capture(Stream stream, const std::function<absl::Status()>& work);

  absl::Status Launch(Stream stream) const;

 private:
  struct Destroy {
    void operator()(cudaGraphExec_t graph) const {
      if (!GpuIsLost()) cudaGraphExecDestroy(graph);
    }
  };
  std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> executable_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_GRAPH_H_
