#include "cc/executor/cuda/session.h"

#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/attention/attention.h"

namespace gemma {
namespace {

using cuda::StepState;
using cuda::ToStatus;

constexpr uint64_t kAlignment = 256;

bool SameStep(const StepState& a, const StepState& b) {
  return a.position == b.position && a.token == b.token && a.request == b.request &&
         a.broken_logits == b.broken_logits;
}

struct Places {
  std::vector<uint64_t> offsets;  // by cache
  uint64_t step = 0;
  uint64_t bytes = 0;
};

absl::StatusOr<Places> Place(const std::vector<PlanCache>& caches,
                             const std::vector<int>& rotated) {
  Places places;
  for (size_t i = 0; i < caches.size(); ++i) {
    places.offsets.push_back(places.bytes);
    GEMMA_ASSIGN_OR_RETURN(const uint64_t bytes,
                           cuda::CacheBytes(CudaSession::CacheShape(caches[i], rotated[i])));
    GEMMA_ASSIGN_OR_RETURN(places.bytes, CheckedAdd(places.bytes, bytes));
    GEMMA_ASSIGN_OR_RETURN(places.bytes, CheckedRoundUp(places.bytes, kAlignment));
  }
  places.step = places.bytes;
  GEMMA_ASSIGN_OR_RETURN(places.bytes, CheckedAdd<uint64_t>(places.bytes, sizeof(StepState)));
  return places;
}

}  // namespace

cuda::DeviceCache CudaSession::CacheShape(const PlanCache& cache, int rotated) {
  cuda::DeviceCache shape;
  shape.kv_heads = static_cast<int32_t>(cache.kv_heads);
  shape.head_dim = static_cast<int32_t>(cache.head_dim);
  shape.capacity = static_cast<int32_t>(cache.capacity);
  shape.window = static_cast<int32_t>(cache.window);
  shape.rotated = rotated;
  switch (cache.type) {
    case CacheType::kF32:
      shape.form = cuda::CacheForm::kPairs;
      break;
    case CacheType::kBF16:  // of older plans, kept in float16
    case CacheType::kF16:
      shape.form = rotated > 0 ? cuda::CacheForm::kShared : cuda::CacheForm::kSeparate;
      break;
  }
  return shape;
}

absl::StatusOr<uint64_t> CudaSession::Bytes(const std::vector<PlanCache>& caches,
                                            const std::vector<int>& rotated) {
  GEMMA_ASSIGN_OR_RETURN(const Places places, Place(caches, rotated));
  return places.bytes;
}

absl::StatusOr<std::unique_ptr<CudaSession>> CudaSession::Create(
    const std::vector<PlanCache>& caches, const std::vector<int>& rotated, int64_t max_context) {
  GEMMA_ASSIGN_OR_RETURN(const Places places, Place(caches, rotated));
  std::unique_ptr<CudaSession> session(new CudaSession(caches, max_context));
  GEMMA_ASSIGN_OR_RETURN(session->memory_,
                         cuda::DeviceBuffer::Allocate(places.bytes, "a session's keys and values"));
  GEMMA_ASSIGN_OR_RETURN(session->host_,
                         cuda::HostBuffer::Allocate(2 * sizeof(StepState), "a session"));
  auto* const base = static_cast<std::byte*>(session->memory_.data());
  for (size_t i = 0; i < caches.size(); ++i) {
    cuda::DeviceCache cache = CacheShape(caches[i], rotated[i]);
    auto* const first = reinterpret_cast<uint16_t*>(base + places.offsets[i]);
    const size_t keys = static_cast<size_t>(cache.kv_heads) * static_cast<size_t>(cache.capacity) *
                        static_cast<size_t>(cuda::ScoreColumns(cache));
    cache.values = rotated[i] > 0 ? first : first + keys;
    cache.keys = rotated[i] > 0 ? nullptr : first;
    session->device_caches_.push_back(cache);
  }
  session->step_ = reinterpret_cast<StepState*>(base + places.step);
  return session;
}

absl::Status CudaSession::SetStep(const StepState& wanted, cuda::Stream stream) {
  if (step_known_ && SameStep(wanted, known_step_)) return absl::OkStatus();
  host_steps()[0] = wanted;
  GEMMA_RETURN_IF_ERROR(ToStatus(
      cudaMemcpyAsync(step_, host_steps(), sizeof(StepState), cudaMemcpyHostToDevice, stream),
      "cannot copy a call's inputs to the GPU"));
  step_known_ = true;
  known_step_ = wanted;
  return absl::OkStatus();
}

absl::Status CudaSession::CopyStepToHost(cuda::Stream stream) {
  return ToStatus(
      cudaMemcpyAsync(host_steps() + 1, step_, sizeof(StepState), cudaMemcpyDeviceToHost, stream),
      "cannot copy a token from the GPU");
}

void CudaSession::SetStepKnown(bool known) {
  step_known_ = known;
  if (known) known_step_ = step_result();
}

const cuda::Graph* CudaSession::FindGraph(const void* plan, int64_t tokens) const {
  const auto found = graphs_.find({plan, tokens});
  return found == graphs_.end() ? nullptr : &found->second;
}

const cuda::Graph& CudaSession::AddGraph(const void* plan, int64_t tokens, cuda::Graph graph) {
  return graphs_.insert_or_assign({plan, tokens}, std::move(graph)).first->second;
}

}  // namespace gemma
