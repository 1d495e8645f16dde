#include "cc/executor/cuda/executor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"
#include "cc/executor/cuda/key_range.h"
#include "cc/executor/cuda/measure.h"
#include "cc/executor/cuda/session.h"
#include "cc/executor/cuda/weight_memory.h"
#include "cc/kernels/cuda/attention/attention.h"
#include "cc/kernels/cuda/product/product.h"
#include "cc/kernels/cuda/runtime/graph.h"
#include "cc/kernels/cuda/runtime/wait.h"
#include "cc/kernels/cuda/sampling/sample.h"
#include "cc/kernels/cuda/sampling/step.h"
#include "cc/kernels/limits.h"

namespace gemma {
namespace {

using cuda::ToStatus;

// Both fused forms of a plan, with their places in one block of GPU memory.
struct FusedPlans {
  FusedPlan one_token;
  FusedPlan many_tokens;  // without steps where a call has one token at most
  uint64_t buffers = 0;   // offset of the calls' buffers, behind the activations
  uint64_t bytes = 0;

  const FusedPlan& ForTokens(int64_t tokens) const { return tokens == 1 ? one_token : many_tokens; }
};

struct BufferPlaces {
  uint64_t ids = 0, targets = 0, logits = 0, logprobs = 0, top_ids = 0, top_logprobs = 0;
  uint64_t bytes = 0;
};

absl::StatusOr<BufferPlaces> PlaceCallBuffers(const Plan& plan) {
  BufferPlaces places;
  const auto place = [&](uint64_t& offset, uint64_t count, uint64_t size) -> absl::Status {
    offset = places.bytes;
    GEMMA_ASSIGN_OR_RETURN(const uint64_t bytes, CheckedMul(count, size));
    GEMMA_ASSIGN_OR_RETURN(places.bytes, CheckedAdd(places.bytes, bytes));
    GEMMA_ASSIGN_OR_RETURN(places.bytes, CheckedRoundUp<uint64_t>(places.bytes, 256));
    return absl::OkStatus();
  };
  const auto tokens = static_cast<uint64_t>(plan.max_tokens);
  GEMMA_RETURN_IF_ERROR(place(places.ids, tokens, sizeof(int64_t)));
  if (plan.method != PlanMethod::kScore) return places;
  const auto rows = static_cast<uint64_t>(std::min(plan.max_tokens, kCudaScoreRows));
  const auto top = static_cast<uint64_t>(plan.ScoreTop());
  GEMMA_RETURN_IF_ERROR(place(places.targets, tokens, sizeof(int64_t)));
  GEMMA_RETURN_IF_ERROR(
      place(places.logits, rows * sizeof(float), static_cast<uint64_t>(plan.vocab_size)));
  GEMMA_RETURN_IF_ERROR(place(places.logprobs, tokens, sizeof(float)));
  GEMMA_RETURN_IF_ERROR(place(places.top_ids, tokens * top, sizeof(int64_t)));
  GEMMA_RETURN_IF_ERROR(place(places.top_logprobs, tokens * top, sizeof(float)));
  return places;
}

CudaCallBuffers BuffersAt(std::byte* base, const BufferPlaces& places,
                          const cuda::SuppressedIds& suppressed) {
  return {reinterpret_cast<int64_t*>(base + places.ids),
          reinterpret_cast<int64_t*>(base + places.targets),
          reinterpret_cast<float*>(base + places.logits),
          reinterpret_cast<float*>(base + places.logprobs),
          reinterpret_cast<int64_t*>(base + places.top_ids),
          reinterpret_cast<float*>(base + places.top_logprobs),
          suppressed};
}

// The plan's caches, without memory; rotated: by cache, see DeviceCache.
std::vector<cuda::DeviceCache> CacheShapes(const Plan& plan, const std::vector<int>& rotated) {
  std::vector<cuda::DeviceCache> shapes;
  for (size_t i = 0; i < plan.caches.size(); ++i)
    shapes.push_back(CudaSession::CacheShape(plan.caches[i], rotated[i]));
  return shapes;
}

absl::StatusOr<FusedPlans> FusePlans(const Plan& plan, const std::vector<int>& rotated,
                                     const cuda::Device& device) {
  const std::vector<cuda::DeviceCache> caches = CacheShapes(plan, rotated);
  FusedPlans fused;
  GEMMA_ASSIGN_OR_RETURN(fused.one_token, FusePlan(plan, /*one_token=*/true, caches, device));
  fused.bytes = fused.one_token.bytes;
  if (plan.max_tokens > 1) {
    GEMMA_ASSIGN_OR_RETURN(fused.many_tokens, FusePlan(plan, /*one_token=*/false, caches, device));
    fused.bytes = std::max(fused.bytes, fused.many_tokens.bytes);
  }
  fused.buffers = fused.bytes;
  GEMMA_ASSIGN_OR_RETURN(const BufferPlaces buffers, PlaceCallBuffers(plan));
  GEMMA_ASSIGN_OR_RETURN(fused.bytes, CheckedAdd(fused.bytes, buffers.bytes));
  return fused;
}

// Scratch memory of all operations of the plan.
cuda::Regions FindRegions(const Plan& plan, const std::vector<int>& rotated,
                          const cuda::Device& device) {
  cuda::Regions regions = cuda::ProductRegions(device, plan.max_tokens);
  cuda::AddRegions(cuda::SampleRegions(), regions);
  const std::vector<cuda::DeviceCache> caches = CacheShapes(plan, rotated);
  for (const PlanStep& step : plan.steps) {
    const auto* prepare = std::get_if<PrepareAttentionStep>(&step.operation);
    if (prepare == nullptr) continue;
    cuda::AddRegions(cuda::AttentionRegions(device, caches[prepare->cache],
                                            static_cast<int>(prepare->heads), plan.max_tokens),
                     regions);
  }
  return regions;
}

cuda::StepState MakeStep(const Call& call) {
  cuda::StepState step = {};
  step.position = call.start;
  step.token = call.tokens[0];
  step.request = {call.sampling, DrawnPosition(call)};
  return step;
}

// The numbers of an F32 weight of one row, which lies in GPU memory.
absl::StatusOr<std::vector<float>> ToHost(const WeightView& weight) {
  std::vector<float> numbers(weight.shape.columns);
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaMemcpy(numbers.data(), weight.data,
                                            numbers.size() * sizeof(float), cudaMemcpyDeviceToHost),
                                 "cannot read a weight from the GPU"));
  return numbers;
}

}  // namespace

class PreparedCudaPlan final : public PreparedPlan {
 public:
  PreparedCudaPlan(CudaExecutor::Shared& shared, const Plan& plan, FusedPlans fused,
                   std::vector<WeightView> weights, std::vector<size_t> cache_slots,
                   BufferPlaces places)
      : shared_(shared),
        plan_(plan),
        fused_(std::move(fused)),
        weights_(std::move(weights)),
        cache_slots_(std::move(cache_slots)),
        places_(places) {}

  absl::Status Run(SessionState& session, const Call& call, const CallResults& results) override {
    std::lock_guard lock(shared_.run_mutex);
    GEMMA_RETURN_IF_ERROR(Enter());
    if (results.token != nullptr) *results.token = -1;
    // The model that made the session has checked that it is this executor's.
    auto& cuda_session = static_cast<CudaSession&>(session);
    const absl::Status status = RunCall(cuda_session, call, results);
    if (!status.ok()) Recover(cuda_session);
    return status;
  }

  absl::StatusOr<std::vector<StepTime>> Profile(SessionState& session, int64_t start,
                                                int64_t tokens) override {
    std::lock_guard lock(shared_.run_mutex);
    GEMMA_RETURN_IF_ERROR(Enter());
    auto& cuda_session = static_cast<CudaSession&>(session);
    absl::StatusOr<std::vector<StepTime>> times = ProfileSteps(cuda_session, start, tokens);
    Recover(cuda_session);
    return times;
  }

 private:
  cuda::Stream stream() const { return shared_.context.stream; }

  absl::Status Enter() const {
    GEMMA_RETURN_IF_ERROR(shared_.lost);
    return ToStatus(cudaSetDevice(shared_.context.device.index), "cannot use the GPU");
  }

  // After an error: waits until nothing of the call runs, and forgets the session's state on the
  // GPU. A GPU that has failed is marked lost; every later call returns that error.
  void Recover(CudaSession& session) {
    session.SetStepKnown(false);
    absl::Status status = Synchronize();  // may tell the same error once more
    cudaGetLastError();
    if (!cuda::GpuIsLost()) status = Synchronize();
    // A call that ended early may have left counters that the next one needs to be zero.
    if (status.ok()) status = shared_.workspace->Clear(stream());
    if (status.ok()) return;
    shared_.lost =
        cuda::GpuIsLost() ? status : cuda::LostGpu(absl::StrCat("failed (", status.message(), ")"));
  }

  absl::Status RunCall(CudaSession& session, const Call& call, const CallResults& results) {
    GEMMA_RETURN_IF_ERROR(CheckCancelled(call));
    GEMMA_RETURN_IF_ERROR(session.SetStep(MakeStep(call), stream()));
    if (plan_.method == PlanMethod::kScore) return RunScore(session, call, results);
    if (call.tokens.size() <= kMaxDecodeTokens && call.emit) {
      GEMMA_RETURN_IF_ERROR(RunGraph(session, call.tokens));
    } else {
      GEMMA_RETURN_IF_ERROR(RunSteps(session, call));
      if (call.emit) GEMMA_RETURN_IF_ERROR(session.CopyStepToHost(stream()));
    }
    if (call.emit && !results.logits.empty())
      GEMMA_RETURN_IF_ERROR(CopyLogits(session, call, results.logits));
    GEMMA_RETURN_IF_ERROR(Synchronize());
    return call.emit ? TakeToken(session, results) : absl::OkStatus();
  }

  absl::Status Synchronize() const {
    return cuda::WaitForStream(stream(), "the GPU could not run a call", shared_.longest_wait);
  }

  static absl::Status CheckCancelled(const Call& call) {
    if (call.cancelled == nullptr || !call.cancelled->load(std::memory_order_relaxed))
      return absl::OkStatus();
    return absl::CancelledError("the call was cancelled");
  }

  absl::Status TakeToken(CudaSession& session, const CallResults& results) const {
    const cuda::StepState& step = session.step_result();
    if (step.broken_logits > 0) {
      return absl::InternalError(absl::StrCat(
          step.broken_logits, " of ", plan_.vocab_size, " logits at position ", step.position - 1,
          " are NaN or infinite (activations left float16's range: use --device cpu)"));
    }
    *results.token = step.token;
    session.SetStepKnown(true);
    return absl::OkStatus();
  }

  CudaLauncher::Model LauncherModel() const {
    auto* const base = static_cast<std::byte*>(shared_.activations.data());
    return {weights_, cache_slots_, base,
            BuffersAt(base + fused_.buffers, places_, shared_.Suppressed())};
  }

  // One launch; captured by the session's first call of this plan with so many tokens. What differs
  // from call to call (where it begins, and its tokens) the kernels find in GPU memory.
  absl::Status RunGraph(CudaSession& session, std::span<const int64_t> ids) {
    const auto tokens = static_cast<int64_t>(ids.size());
    const CudaLauncher::Model model = LauncherModel();
    if (tokens > 1) GEMMA_RETURN_IF_ERROR(CopyIds(ids, model.buffers.ids, 0));
    const cuda::Graph* graph = session.FindGraph(this, tokens);
    if (graph == nullptr) {
      const FusedPlan& fused = fused_.ForTokens(tokens);
      const CudaLauncher launcher(fused, model, session, shared_.context, tokens);
      GEMMA_ASSIGN_OR_RETURN(cuda::Graph captured, cuda::Graph::Capture(stream(), [&] {
                               GEMMA_RETURN_IF_ERROR(LaunchAll(launcher, fused.steps));
                               return session.CopyStepToHost(stream());
                             }));
      graph = &session.AddGraph(this, tokens, std::move(captured));
    }
    return graph->Launch(stream());
  }

  static absl::Status LaunchAll(const CudaLauncher& launcher, const std::vector<FusedStep>& steps) {
    for (size_t i = 0; i < steps.size(); ++i) {
      const FusedStep* const next = i + 1 < steps.size() ? &steps[i + 1] : nullptr;
      GEMMA_RETURN_IF_ERROR(launcher.Launch(steps[i], next));
    }
    return absl::OkStatus();
  }

  absl::Status RunSteps(const CudaSession& session, const Call& call) {
    const auto tokens = static_cast<int64_t>(call.tokens.size());
    const FusedPlan& fused = fused_.ForTokens(tokens);
    const CudaLauncher::Model model = LauncherModel();
    if (tokens > 1) GEMMA_RETURN_IF_ERROR(CopyIds(call.tokens, model.buffers.ids, 0));
    const CudaLauncher launcher(fused, model, session, shared_.context, tokens);
    for (const FusedStep& step : fused.steps) {
      if (step.emits && !call.emit) break;
      GEMMA_RETURN_IF_ERROR(CheckCancelled(call));
      const bool last = &step == &fused.steps.back();
      GEMMA_RETURN_IF_ERROR(launcher.Launch(step, last ? nullptr : &step + 1));
    }
    return absl::OkStatus();
  }

  // Through pinned memory, whose half `half` the GPU has finished with when a call begins.
  absl::Status CopyIds(std::span<const int64_t> ids, int64_t* to, int half) const {
    auto* const staged = static_cast<int64_t*>(shared_.ids.data()) + half * plan_.max_tokens;
    std::copy(ids.begin(), ids.end(), staged);
    return ToStatus(cudaMemcpyAsync(to, staged, ids.size_bytes(), cudaMemcpyHostToDevice, stream()),
                    "cannot copy a call's tokens to the GPU");
  }

  absl::Status CopyLogits(const CudaSession& session, const Call& call,
                          std::span<float> logits) const {
    const auto tokens = static_cast<int64_t>(call.tokens.size());
    const CudaLauncher::Model model = LauncherModel();
    const CudaLauncher launcher(fused_.ForTokens(tokens), model, session, shared_.context, tokens);
    return CopyToHost(launcher.DrawnLogits(), logits);
  }

  template <typename T>
  absl::Status CopyToHost(const T* from, std::span<T> to) const {
    return ToStatus(
        cudaMemcpyAsync(to.data(), from, to.size_bytes(), cudaMemcpyDeviceToHost, stream()),
        "cannot copy results from the GPU");
  }

  absl::Status RunScore(const CudaSession& session, const Call& call, const CallResults& results) {
    const CudaLauncher::Model model = LauncherModel();
    const CudaCallBuffers& buffers = model.buffers;
    GEMMA_RETURN_IF_ERROR(CopyIds(call.targets, buffers.targets, 1));
    GEMMA_RETURN_IF_ERROR(RunSteps(session, call));
    GEMMA_RETURN_IF_ERROR(CopyToHost(buffers.logprobs, results.logprobs));
    GEMMA_RETURN_IF_ERROR(CopyToHost(buffers.top_ids, results.top_ids));
    GEMMA_RETURN_IF_ERROR(CopyToHost(buffers.top_logprobs, results.top_logprobs));
    GEMMA_RETURN_IF_ERROR(Synchronize());
    for (size_t i = 0; i < call.targets.size(); ++i) {
      const bool broken = call.targets[i] >= 0 && !std::isfinite(results.logprobs[i]);
      const size_t top = results.top_logprobs.size() / call.targets.size();
      if (broken || (top > 0 && !std::isfinite(results.top_logprobs[i * top]))) {
        return absl::InternalError(absl::StrCat(
            "the logits at position ", call.start + static_cast<int64_t>(i),
            " are NaN or infinite (activations left float16's range: use --device cpu)"));
      }
    }
    return absl::OkStatus();
  }

  // ---- profile ----

  uint64_t BytesRead(const FusedStep& step, const CudaSession& session, int64_t end) const {
    const auto weight_bytes = [&](const std::vector<Index>& indices) {
      uint64_t bytes = 0;
      for (const Index index : indices) bytes += weights_[index].planes.bytes;
      return bytes;
    };
    if (const auto* linear = std::get_if<CudaLinear>(&step.operation))
      return weight_bytes(linear->weights);
    if (const auto* attention = std::get_if<CudaAttention>(&step.operation)) {
      cuda::DeviceCache seen = session.cache(cache_slots_[attention->prepare.cache]);
      seen.capacity =
          static_cast<int32_t>(seen.window == 0 ? end : std::min<int64_t>(seen.window, end));
      return cuda::CacheBytes(seen).value_or(0);
    }
    return 0;
  }

  double Operations(const FusedStep& step, const FusedPlan& fused, int64_t tokens) const {
    const auto* linear = std::get_if<CudaLinear>(&step.operation);
    if (linear == nullptr) return 0;
    const CudaOperand& in = linear->fused_norm ? linear->norm.x : linear->in;
    double operations = 0;
    for (const Index index : linear->weights) {
      const WeightShape& shape = weights_[index].shape;
      operations += 2.0 * static_cast<double>(shape.rows) * static_cast<double>(shape.columns);
    }
    return operations * static_cast<double>(fused.Rows(in, tokens));
  }

  // Kinds in the order in which they first appear, each with its steps.
  std::vector<std::pair<std::string, std::vector<const FusedStep*>>> StepsByKind(
      const FusedPlan& fused) const {
    std::vector<std::pair<std::string, std::vector<const FusedStep*>>> kinds;
    for (const FusedStep& step : fused.steps) {
      std::string kind = StepKind(step.name);
      if (const auto* attention = std::get_if<CudaAttention>(&step.operation)) {
        const int64_t window = plan_.caches[attention->prepare.cache].window;
        absl::StrAppend(&kind, window == 0 ? ", full" : ", sliding");
      }
      const auto found = std::find_if(kinds.begin(), kinds.end(),
                                      [&](const auto& entry) { return entry.first == kind; });
      if (found == kinds.end()) {
        kinds.push_back({kind, {&step}});
      } else {
        found->second.push_back(&step);
      }
    }
    return kinds;
  }

  absl::StatusOr<double> TimeGraph(const cuda::Graph& graph, int runs) const {
    constexpr int kWarmUps = 3;
    cuda::Event begin, end;
    for (int i = 0; i < kWarmUps; ++i) GEMMA_RETURN_IF_ERROR(graph.Launch(stream()));
    GEMMA_RETURN_IF_ERROR(begin.Record(stream()));
    for (int i = 0; i < runs; ++i) GEMMA_RETURN_IF_ERROR(graph.Launch(stream()));
    GEMMA_RETURN_IF_ERROR(end.Record(stream()));
    GEMMA_RETURN_IF_ERROR(Synchronize());
    GEMMA_ASSIGN_OR_RETURN(const float milliseconds, end.MillisecondsSince(begin));
    return 1000.0 * milliseconds / runs;
  }

  absl::StatusOr<std::vector<StepTime>> ProfileSteps(CudaSession& session, int64_t start,
                                                     int64_t tokens) {
    GEMMA_RETURN_IF_ERROR(CheckProfile(plan_, start, tokens));
    const FusedPlan& fused = fused_.ForTokens(tokens);
    const int runs = tokens == 1 ? 20 : 3;
    cuda::StepState step = {};
    step.position = start;
    const CudaLauncher::Model model = LauncherModel();
    if (tokens > 1) {
      const std::vector<int64_t> ids(static_cast<size_t>(tokens), 0);
      GEMMA_RETURN_IF_ERROR(CopyIds(ids, model.buffers.ids, 0));
    }
    const CudaLauncher launcher(fused, model, session, shared_.context, tokens);
    std::vector<StepTime> times;
    for (const auto& [kind, steps] : StepsByKind(fused)) {
      GEMMA_RETURN_IF_ERROR(session.SetStep(step, stream()));
      session.SetStepKnown(false);  // the last kind's steps move it on
      GEMMA_ASSIGN_OR_RETURN(const cuda::Graph graph, cuda::Graph::Capture(stream(), [&] {
                               // The last one is followed by the first of the next run.
                               for (size_t i = 0; i < steps.size(); ++i) {
                                 const FusedStep* const next = steps[(i + 1) % steps.size()];
                                 GEMMA_RETURN_IF_ERROR(launcher.Launch(*steps[i], next));
                               }
                               return absl::OkStatus();
                             }));
      StepTime time = {kind, static_cast<int64_t>(steps.size())};
      GEMMA_ASSIGN_OR_RETURN(time.microseconds, TimeGraph(graph, runs));
      for (const FusedStep* each : steps) {
        time.bytes_read += BytesRead(*each, session, start + tokens);
        time.operations += Operations(*each, fused, tokens);
      }
      times.push_back(std::move(time));
    }
    return times;
  }

  CudaExecutor::Shared& shared_;
  const Plan& plan_;
  const FusedPlans fused_;
  const std::vector<WeightView> weights_;  // by weight of the plan
  const std::vector<size_t> cache_slots_;  // by cache of the plan
  const BufferPlaces places_;
};

absl::StatusOr<std::unique_ptr<CudaExecutor>> CudaExecutor::Create(const Options& options) {
  std::unique_ptr<CudaExecutor> executor(new CudaExecutor);
  Shared& shared = executor->shared_;
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaSetDevice(options.device.index), "cannot use the GPU"));
  if (options.device.code_major == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("this program has no kernels for ", options.device.name,
                     ", whose compute capability is ", options.device.compute_major, ".",
                     options.device.compute_minor, " (build it with --config=cuda_all)"));
  }
  GEMMA_ASSIGN_OR_RETURN(shared.stream, cuda::OwnedStream::Create());
  shared.longest_wait = options.longest_wait;
  shared.context.device = options.device;
  shared.context.stream = shared.stream.get();
  shared.context.overlap = options.device.features().overlap;
  shared.weights =
      std::make_unique<LoadedWeights>(std::make_unique<CudaWeightMemory>(shared.stream.get()));
  GEMMA_RETURN_IF_ERROR(executor->KeepSuppressedIds(options.suppressed_ids));
  return executor;
}

absl::Status CudaExecutor::KeepSuppressedIds(const std::vector<int32_t>& ids) {
  if (ids.empty()) return absl::OkStatus();
  const size_t bytes = ids.size() * sizeof(int32_t);
  GEMMA_ASSIGN_OR_RETURN(shared_.suppressed_memory,
                         cuda::DeviceBuffer::Allocate(bytes, "suppressed ids"));
  shared_.suppressed_ids = ids;
  return ToStatus(
      cudaMemcpy(shared_.suppressed_memory.data(), ids.data(), bytes, cudaMemcpyHostToDevice),
      "cannot copy the suppressed ids");
}

cuda::SuppressedIds CudaExecutor::Shared::Suppressed() const {
  return {static_cast<const int32_t*>(suppressed_memory.data()),
          static_cast<int32_t>(suppressed_ids.size())};
}

CudaExecutor::~CudaExecutor() {
  if (shared_.context.stream == nullptr || cuda::GpuIsLost()) return;
  cuda::WaitForStream(shared_.context.stream, "the GPU could not end", shared_.longest_wait)
      .IgnoreError();
}

std::string CudaExecutor::Description() const {
  const cuda::Device& device = shared_.context.device;
  return absl::StrFormat("CUDA (%s, compute capability %d.%d, %.1f GB)", device.name,
                         device.compute_major, device.compute_minor, device.memory_bytes / 1e9);
}

absl::StatusOr<ExecutorMemory> CudaExecutor::EstimateMemory(
    std::span<const Plan* const> plans, const std::vector<PlanCache>& caches) const {
  ExecutorMemory memory;
  std::vector<PlanWeight> weights;
  cuda::Regions regions;
  for (const Plan* plan : plans) {
    weights.insert(weights.end(), plan->weights.begin(), plan->weights.end());
    const std::vector<int> rotated(plan->caches.size(), 0);
    cuda::AddRegions(FindRegions(*plan, rotated, shared_.context.device), regions);
    GEMMA_ASSIGN_OR_RETURN(const FusedPlans fused,
                           FusePlans(*plan, rotated, shared_.context.device));
    memory.activations = std::max(memory.activations, fused.bytes);
  }
  GEMMA_ASSIGN_OR_RETURN(memory.weights, LoadedWeights::Bytes(weights));
  memory.workspace = cuda::Workspace::Bytes(regions);
  GEMMA_ASSIGN_OR_RETURN(memory.session,
                         CudaSession::Bytes(caches, std::vector<int>(caches.size(), 0)));
  size_t free = 0, total = 0;
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaMemGetInfo(&free, &total), "cannot ask for free GPU memory"));
  memory.free = free;
  return memory;
}

absl::Status CudaExecutor::LoadWeights(std::span<const PlanWeight> weights, WeightSource& source) {
  std::lock_guard lock(shared_.run_mutex);
  GEMMA_RETURN_IF_ERROR(
      ToStatus(cudaSetDevice(shared_.context.device.index), "cannot use the GPU"));
  return shared_.weights->Load(weights, source);
}

// Which caches keys and values can share, by cache of the plan: rope's frequencies decide. Keys in
// pairs have more digits than values, so they share nothing. FailedPrecondition where keys do not
// fit a cache.
absl::StatusOr<std::vector<int>> CudaExecutor::FindRotations(
    const Plan& plan, const std::vector<WeightView>& weights) const {
  std::vector<int> rotated(plan.caches.size(), 0);
  for (const PlanStep& step : plan.steps) {
    const auto* prepare = std::get_if<PrepareAttentionStep>(&step.operation);
    if (prepare == nullptr) continue;
    const PlanCache& cache = plan.caches[prepare->cache];
    GEMMA_ASSIGN_OR_RETURN(const std::vector<float> k_norm, ToHost(weights[prepare->k_norm]));
    GEMMA_RETURN_IF_ERROR(CheckKeyRange(cache, k_norm));
    if (cache.type == CacheType::kF32) continue;
    GEMMA_ASSIGN_OR_RETURN(const std::vector<float> frequencies,
                           ToHost(weights[prepare->frequencies]));
    rotated[prepare->cache] =
        cuda::SharedCacheRotation(frequencies.data(), static_cast<int>(cache.head_dim),
                                  prepare->v != kAbsent, prepare->normalize_v);
  }
  return rotated;
}

absl::Status CudaExecutor::GrowWorkspace(const cuda::Regions& regions) {
  cuda::Regions larger;
  if (shared_.workspace.has_value()) larger = shared_.workspace->regions();
  cuda::AddRegions(regions, larger);
  if (shared_.workspace.has_value() && larger == shared_.workspace->regions())
    return absl::OkStatus();
  shared_.workspace.reset();
  GEMMA_ASSIGN_OR_RETURN(cuda::Workspace workspace,
                         cuda::Workspace::Create(larger, shared_.context.stream));
  shared_.workspace.emplace(std::move(workspace));
  shared_.context.workspace = &*shared_.workspace;
  return cuda::WaitForStream(shared_.context.stream, "cannot clear scratch memory");
}

absl::Status CudaExecutor::GrowActivations(uint64_t bytes) {
  if (bytes <= shared_.activations.bytes()) return absl::OkStatus();
  shared_.activations = {};
  GEMMA_ASSIGN_OR_RETURN(shared_.activations, cuda::DeviceBuffer::Allocate(bytes, "activations"));
  return absl::OkStatus();
}

absl::Status CudaExecutor::GrowIds(int64_t tokens) {
  const size_t bytes = 2 * static_cast<size_t>(tokens) * sizeof(int64_t);
  if (bytes <= shared_.ids.bytes()) return absl::OkStatus();
  GEMMA_ASSIGN_OR_RETURN(shared_.ids, cuda::HostBuffer::Allocate(bytes, "token ids"));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PreparedPlan>> CudaExecutor::Prepare(
    const Plan& plan, std::vector<size_t> cache_slots) {
  GEMMA_RETURN_IF_ERROR(CheckSuppressedIds(plan, shared_.suppressed_ids));
  std::lock_guard lock(shared_.run_mutex);
  if (shared_.has_sessions)
    return absl::FailedPreconditionError("a plan was prepared after the first session was made");
  GEMMA_RETURN_IF_ERROR(
      ToStatus(cudaSetDevice(shared_.context.device.index), "cannot use the GPU"));
  std::vector<WeightView> weights;
  for (const PlanWeight& weight : plan.weights) {
    GEMMA_ASSIGN_OR_RETURN(const WeightView view, shared_.weights->Find(weight));
    weights.push_back(view);
  }
  GEMMA_ASSIGN_OR_RETURN(const std::vector<int> rotated, FindRotations(plan, weights));
  for (size_t i = 0; i < cache_slots.size(); ++i) {
    const auto [entry, added] = shared_.rotated.emplace(cache_slots[i], rotated[i]);
    if (entry->second != rotated[i]) {
      return absl::InvalidArgumentError(absl::StrCat(
          "cache ", plan.caches[i].name, ": the methods disagree about how it is stored"));
    }
  }
  GEMMA_ASSIGN_OR_RETURN(FusedPlans fused, FusePlans(plan, rotated, shared_.context.device));
  GEMMA_ASSIGN_OR_RETURN(const BufferPlaces places, PlaceCallBuffers(plan));
  GEMMA_RETURN_IF_ERROR(GrowWorkspace(FindRegions(plan, rotated, shared_.context.device)));
  GEMMA_RETURN_IF_ERROR(GrowActivations(fused.bytes));
  GEMMA_RETURN_IF_ERROR(GrowIds(plan.max_tokens));
  return std::make_unique<PreparedCudaPlan>(shared_, plan, std::move(fused), std::move(weights),
                                            std::move(cache_slots), places);
}

absl::StatusOr<std::unique_ptr<SessionState>> CudaExecutor::NewSession(
    const std::vector<PlanCache>& caches, int64_t max_context) {
  std::lock_guard lock(shared_.run_mutex);
  GEMMA_RETURN_IF_ERROR(shared_.lost);
  GEMMA_RETURN_IF_ERROR(
      ToStatus(cudaSetDevice(shared_.context.device.index), "cannot use the GPU"));
  std::vector<int> rotated;
  for (size_t slot = 0; slot < caches.size(); ++slot) {
    const auto found = shared_.rotated.find(slot);
    rotated.push_back(found == shared_.rotated.end() ? 0 : found->second);
  }
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<CudaSession> session,
                         CudaSession::Create(caches, rotated, max_context));
  shared_.has_sessions = true;
  return session;
}

absl::StatusOr<DeviceFigures> CudaExecutor::Measure() {
  std::lock_guard lock(shared_.run_mutex);
  return MeasureDevice(shared_.context.device, shared_.context.stream);
}

uint64_t CudaExecutor::ActivationBytes() const {
  const bool has_workspace = shared_.workspace.has_value();
  return shared_.activations.bytes() +
         (has_workspace ? cuda::Workspace::Bytes(shared_.workspace->regions()) : 0);
}

}  // namespace gemma
