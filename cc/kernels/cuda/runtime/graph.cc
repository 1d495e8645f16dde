#include "cc/kernels/cuda/runtime/graph.h"

#include "cc/base/status_macros.h"

namespace gemma::cuda {

absl::StatusOr<Graph> Graph::Capture(Stream stream, const std::function<absl::Status()>& work) {
  GEMMA_RETURN_IF_ERROR(
      ToStatus(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cannot capture"));
  const absl::Status status = work();
  cudaGraph_t graph = nullptr;
  const cudaError_t end = cudaStreamEndCapture(stream, &graph);  // also after an error
  if (!status.ok() || end != cudaSuccess) {
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    return status.ok() ? ToStatus(end, "cannot capture a decode step") : status;
  }
  cudaGraphExec_t executable = nullptr;
  const cudaError_t instantiate = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  GEMMA_RETURN_IF_ERROR(ToStatus(instantiate, "cannot instantiate a decode step's graph"));
  Graph result;
  result.executable_.reset(executable);
  return result;
}

absl::Status Graph::Launch(Stream stream) const {
  return ToStatus(cudaGraphLaunch(executable_.get(), stream), "cannot launch a decode step");
}

}  // namespace gemma::cuda
