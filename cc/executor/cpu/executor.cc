#include "cc/executor/cpu/executor.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "cc/base/available_memory.h"
#include "cc/base/checked_math.h"
#include "cc/base/cpu_count.h"
#include "cc/base/status_macros.h"
#include "cc/executor/cpu/measure.h"
#include "cc/executor/cpu/profile.h"
#include "cc/executor/cpu/session.h"
#include "cc/plan/activation_memory.h"
#include "cc/plan/limits.h"

namespace gemma {
namespace {

using cpu::Slice;

// Score computes its logits for this many tokens at a time: vocab_size is large, and all rows at
// once would take more memory than everything else together.
constexpr int64_t kScoreRows = 32;

// Times that a profile takes a call; the least time of each step counts.
constexpr int kDecodeRuns = 5;
constexpr int kPromptRuns = 2;

// A plan with its weights, memory and barriers found.
struct Resolved {
  const Plan* plan = nullptr;
  std::vector<size_t> cache_slots;  // by cache of the plan
  std::vector<WeightView> weights;  // by weight of the plan
  ActivationMemory activations;
  std::vector<bool> barriers;  // by step
  std::vector<size_t> claims;  // by step, its first among those of all products
  size_t claim_count = 0;
};

// What the threads of one call share.
struct Region {
  const Resolved& resolved;
  const cpu::Kernels& kernels;
  const cpu::Workspace& workspace;
  cpu::ThreadPool& pool;
  std::byte* activations;
  std::span<const int32_t> suppressed_ids;
  const CpuSession& session;
  const Call& call;
  const CallResults& results;
  cpu::Claims* claims;
  // Whether to stop, as thread 0 saw it before a barrier. Two of them in turn, so that the answer
  // for one barrier is still there when thread 0 already approaches the next.
  std::array<bool, 2> stop = {false, false};
};

// A number that does not fit the type of its cache.
struct CacheOverflow {
  const PlanCache* cache = nullptr;
  float magnitude = 0;

  absl::Status ToStatus() const {
    return absl::InternalError(absl::StrCat(cache->name, ": a key or value of magnitude ",
                                            magnitude, " is beyond the ", LargestOf(cache->type),
                                            " of ", CacheTypeName(cache->type),
                                            " (export the model with --kv_cache_dtype float32)"));
  }
};

// One thread's way through the steps.
class Worker {
 public:
  Worker(Region& region, Slice slice)
      : region_(region), slice_(slice), tokens_(static_cast<int64_t>(region.call.tokens.size())) {}

  // False when the call was cancelled.
  bool Run() {
    const Plan& plan = *region_.resolved.plan;
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      if (region_.resolved.barriers[i] && !WaitOrStop()) return false;
      const PlanOperation& operation = plan.steps[i].operation;
      if (!region_.call.emit && std::holds_alternative<SelectLastStep>(operation)) break;
      step_ = i;
      std::visit([this](const auto& step) { Step(step); }, operation);
    }
    return true;
  }

  // All steps, each between barriers. seconds: [steps]; thread 0 writes the least that it has seen.
  void RunTimed(std::vector<double>& seconds) {
    const Plan& plan = *region_.resolved.plan;
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      Wait();
      const auto begin = std::chrono::steady_clock::now();
      step_ = i;
      std::visit([this](const auto& step) { Step(step); }, plan.steps[i].operation);
      Wait();
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
      if (slice_.index == 0) seconds[i] = std::min(seconds[i], taken.count());
    }
  }

  // The first one that this thread met.
  const std::optional<CacheOverflow>& overflow() const { return overflow_; }

 private:
  float* Value(Index index) const {
    return reinterpret_cast<float*>(region_.activations +
                                    region_.resolved.activations.values[index].offset);
  }
  const WeightView& Weight(Index index) const { return region_.resolved.weights[index]; }
  // The numbers of an F32 weight of one row; null when the step has none.
  const float* Vector(Index index) const {
    return index == kAbsent ? nullptr : reinterpret_cast<const float*>(Weight(index).data);
  }
  const KvCache& Cache(Index index) const {
    return region_.session.cache(region_.resolved.cache_slots[index]);
  }
  int64_t Columns(Index value) const { return region_.resolved.plan->values[value].columns; }
  int64_t Rows(Index value) const { return region_.resolved.plan->Rows(value, tokens_); }
  int64_t Size(Index value) const { return Rows(value) * Columns(value); }

  void Wait() { region_.pool.Wait(); }

  bool WaitOrStop() {
    bool& stop = region_.stop[turn_];
    turn_ ^= 1;
    if (slice_.index == 0) {
      stop = region_.call.cancelled != nullptr &&
             region_.call.cancelled->load(std::memory_order_relaxed);
    }
    Wait();
    return !stop;
  }

  // All of these projections have one input, whose packing they share. claims: one each, or null.
  void Multiply(std::span<const Linear> linears, cpu::Claims* claims) {
    const Linear& first = linears.front();
    if (cpu::LinearPacksInput(first.tokens)) {
      region_.kernels.pack_input(first.in, first.tokens, first.weight.shape.columns,
                                 region_.workspace, slice_);
      Wait();
    }
    for (size_t i = 0; i < linears.size(); ++i) {
      region_.kernels.linear(linears[i], region_.workspace, slice_,
                             claims == nullptr ? nullptr : claims + i);
    }
  }

  void Step(const EmbedStep& step) {
    region_.kernels.embed({.weight = Weight(step.weight),
                           .ids = region_.call.tokens.data(),
                           .tokens = tokens_,
                           .scale = step.scale,
                           .out = Value(step.out)},
                          region_.workspace, slice_);
  }

  void Step(const RmsNormStep& step) {
    region_.kernels.rms_norm({.in = Value(step.in),
                              .weight = Vector(step.weight),
                              .add = step.add == kAbsent ? nullptr : Value(step.add),
                              .tokens = Rows(step.in),
                              .columns = Columns(step.in),
                              .width = step.width,
                              .epsilon = step.epsilon,
                              .scalar = step.scalar == kAbsent ? 1 : *Vector(step.scalar),
                              .out = Value(step.out)},
                             slice_);
  }

  void Step(const LinearStep& step) {
    std::array<Linear, PlanLimits::kLinears> linears;
    for (size_t i = 0; i < step.weights.size(); ++i) {
      linears[i] = {.weight = Weight(step.weights[i]),
                    .in = Value(step.in),
                    .tokens = Rows(step.in),
                    .out = Value(step.outs[i])};
    }
    Multiply({linears.data(), step.weights.size()},
             region_.claims + region_.resolved.claims[step_]);
  }

  void Step(const PrepareAttentionStep& step) {
    const PlanCache& cache = region_.resolved.plan->caches[step.cache];
    float largest = 0;
    region_.kernels.prepare_attention({.q = Value(step.q),
                                       .k = Value(step.k),
                                       .v = step.v == kAbsent ? nullptr : Value(step.v),
                                       .q_norm = Vector(step.q_norm),
                                       .k_norm = Vector(step.k_norm),
                                       .frequencies = Vector(step.frequencies),
                                       .normalize_v = step.normalize_v,
                                       .epsilon = step.epsilon,
                                       .heads = step.heads,
                                       .tokens = tokens_,
                                       .start = region_.call.start,
                                       .cache = Cache(step.cache),
                                       .out = Value(step.out),
                                       .largest = &largest},
                                      slice_);
    if (largest > LargestOf(cache.type) && !overflow_.has_value()) overflow_ = {&cache, largest};
  }

  void Step(const AttentionStep& step) {
    const Attention attention = {.q = Value(step.q),
                                 .heads = step.heads,
                                 .tokens = tokens_,
                                 .start = region_.call.start,
                                 .scale = step.scale,
                                 .cache = Cache(step.cache),
                                 .out = Value(step.out)};
    region_.kernels.attention(attention, region_.workspace, slice_);
    if (cpu::AttentionParts(attention) > 1) {
      Wait();
      region_.kernels.merge_attention(attention, region_.workspace, slice_);
    }
  }

  void Step(const GatedGeluStep& step) {
    region_.kernels.gated_gelu({.gate = Value(step.gate),
                                .up = Value(step.up),
                                .size = Size(step.gate),
                                .out = Value(step.out)},
                               slice_);
  }

  void Step(const AddStep& step) {
    region_.kernels.add(
        {.a = Value(step.a), .b = Value(step.b), .size = Size(step.a), .out = Value(step.out)},
        slice_);
  }

  void Step(const SelectLastStep& step) {
    if (slice_.index != 0) return;
    const int64_t columns = Columns(step.in);
    std::memcpy(Value(step.out), Value(step.in) + (tokens_ - 1) * columns, columns * sizeof(float));
  }

  void Step(const SoftcapStep& step) {
    region_.kernels.softcap(
        {.in = Value(step.in), .size = Size(step.in), .cap = step.cap, .out = Value(step.out)},
        slice_);
  }

  void Step(const SampleStep& step) {
    if (slice_.index != 0) return;
    for (const int32_t id : region_.suppressed_ids)
      Value(step.logits)[id] = std::numeric_limits<float>::lowest();
    std::copy_n(Value(step.logits), region_.results.logits.size(), region_.results.logits.begin());
    *region_.results.token = region_.kernels.sample({.logits = Value(step.logits),
                                                     .vocab = Columns(step.logits),
                                                     .sampling = region_.call.sampling,
                                                     .position = DrawnPosition(region_.call)},
                                                    region_.workspace);
  }

  void Step(const ScoreStep& step) {
    for (int64_t first = 0; first < tokens_; first += kScoreRows) {
      if (first > 0) Wait();  // the logits of the rows before are read no more
      ScoreSomeRows(step, first, std::min(kScoreRows, tokens_ - first));
    }
  }

  void ScoreSomeRows(const ScoreStep& step, int64_t first, int64_t rows) {
    auto* logits =
        reinterpret_cast<float*>(region_.activations + region_.resolved.activations.scratch.offset);
    const int64_t vocab = region_.resolved.plan->vocab_size;
    const Linear head = {.weight = Weight(step.weight),
                         .in = Value(step.in) + first * Columns(step.in),
                         .tokens = rows,
                         .out = logits};
    Multiply({&head, 1}, nullptr);
    Wait();
    if (step.softcap > 0) {
      region_.kernels.softcap(
          {.in = logits, .size = rows * vocab, .cap = step.softcap, .out = logits}, slice_);
      Wait();
    }
    region_.kernels.score({.logits = logits,
                           .targets = region_.call.targets.data() + first,
                           .tokens = rows,
                           .vocab = vocab,
                           .top = step.top,
                           .logprobs = region_.results.logprobs.data() + first,
                           .top_ids = region_.results.top_ids.data() + first * step.top,
                           .top_logprobs = region_.results.top_logprobs.data() + first * step.top},
                          slice_);
  }

  Region& region_;
  const Slice slice_;
  const int64_t tokens_;
  size_t step_ = 0;
  int turn_ = 0;
  std::optional<CacheOverflow> overflow_;
};

void CountClaims(const Plan& plan, Resolved& resolved) {
  for (const PlanStep& step : plan.steps) {
    resolved.claims.push_back(resolved.claim_count);
    if (const auto* linear = std::get_if<LinearStep>(&step.operation))
      resolved.claim_count += linear->weights.size();
  }
}

// The workspace that the plan's steps need, for calls of max_tokens.
cpu::Workspace::Limits FindLimits(const Plan& plan, int threads) {
  cpu::Workspace::Limits limits;
  limits.threads = threads;
  limits.max_tokens = plan.max_tokens;
  limits.max_vocab = plan.vocab_size;
  for (const PlanStep& step : plan.steps) {
    if (const auto* linear = std::get_if<LinearStep>(&step.operation)) {
      limits.max_columns = std::max(limits.max_columns, plan.values[linear->in].columns);
    } else if (const auto* score = std::get_if<ScoreStep>(&step.operation)) {
      limits.max_columns = std::max(limits.max_columns, plan.values[score->in].columns);
    } else if (const auto* attention = std::get_if<AttentionStep>(&step.operation)) {
      limits.max_heads = std::max(limits.max_heads, attention->heads);
      limits.max_head_dim = std::max(limits.max_head_dim, plan.caches[attention->cache].head_dim);
    }
  }
  return limits;
}

cpu::Workspace::Limits Larger(const cpu::Workspace::Limits& a, const cpu::Workspace::Limits& b) {
  return {.threads = std::max(a.threads, b.threads),
          .max_tokens = std::max(a.max_tokens, b.max_tokens),
          .max_columns = std::max(a.max_columns, b.max_columns),
          .max_heads = std::max(a.max_heads, b.max_heads),
          .max_head_dim = std::max(a.max_head_dim, b.max_head_dim),
          .max_vocab = std::max(a.max_vocab, b.max_vocab)};
}

// Bytes of the logits that Score computes at a time; 0 for the other methods.
absl::StatusOr<uint64_t> ScoreLogitsBytes(const Plan& plan) {
  if (plan.method != PlanMethod::kScore) return uint64_t{0};
  const auto rows = static_cast<uint64_t>(std::min(plan.max_tokens, kScoreRows));
  return CheckedMul<uint64_t>(rows * sizeof(float), static_cast<uint64_t>(plan.vocab_size));
}

}  // namespace

class PreparedCpuPlan final : public PreparedPlan {
 public:
  PreparedCpuPlan(CpuExecutor::Shared& shared, Resolved resolved)
      : shared_(shared), resolved_(std::move(resolved)), claims_(resolved_.claim_count) {}

  absl::Status Run(SessionState& session, const Call& call, const CallResults& results) override {
    std::lock_guard lock(shared_.run_mutex);
    if (results.token != nullptr) *results.token = -1;
    Region region = MakeRegion(session, call, results);
    bool finished = false;
    ResetClaims();
    std::vector<std::optional<CacheOverflow>> overflows(shared_.pool->threads());
    shared_.pool->Run([&](Slice slice) {
      Worker worker(region, slice);
      const bool ran = worker.Run();
      overflows[slice.index] = worker.overflow();
      if (slice.index == 0) finished = ran;
    });
    if (!finished) return absl::CancelledError("the call was cancelled");
    return CheckOverflows(overflows, results);
  }

  absl::StatusOr<std::vector<StepTime>> Profile(SessionState& session, int64_t start,
                                                int64_t tokens) override {
    const Plan& plan = *resolved_.plan;
    GEMMA_RETURN_IF_ERROR(CheckProfile(plan, start, tokens));
    std::lock_guard lock(shared_.run_mutex);
    const std::vector<int64_t> ids(static_cast<size_t>(tokens), 0);
    int64_t token = -1;
    const Call call = {.tokens = ids, .start = start, .sampling = {}, .targets = {}};
    const CallResults results = {.token = &token};  // the region refers to it
    Region region = MakeRegion(session, call, results);
    std::vector<double> seconds(plan.steps.size(), std::numeric_limits<double>::infinity());
    for (int run = 0; run < (tokens == 1 ? kDecodeRuns : kPromptRuns); ++run) {
      ResetClaims();
      shared_.pool->Run([&](Slice slice) { Worker(region, slice).RunTimed(seconds); });
    }
    return ProfileByKind(plan, start, tokens, seconds);
  }

 private:
  // A call in which a cached number became infinite has no result.
  static absl::Status CheckOverflows(const std::vector<std::optional<CacheOverflow>>& overflows,
                                     const CallResults& results) {
    for (const std::optional<CacheOverflow>& overflow : overflows) {
      if (!overflow.has_value()) continue;
      if (results.token != nullptr) *results.token = -1;
      return overflow->ToStatus();
    }
    return absl::OkStatus();
  }

  Region MakeRegion(SessionState& session, const Call& call, const CallResults& results) {
    return {.resolved = resolved_,
            .kernels = *shared_.kernels,
            .workspace = *shared_.workspace,
            .pool = *shared_.pool,
            .activations = shared_.activations.data(),
            .suppressed_ids = shared_.suppressed_ids,
            // The model that made the session has checked that it is this executor's.
            .session = static_cast<const CpuSession&>(session),
            .call = call,
            .results = results,
            .claims = claims_.data()};
  }

  void ResetClaims() {
    for (cpu::Claims& claims : claims_) claims.Reset();
  }

  CpuExecutor::Shared& shared_;
  const Resolved resolved_;
  std::vector<cpu::Claims> claims_;  // of every product of the plan; one call runs at a time
};

absl::StatusOr<std::unique_ptr<CpuExecutor>> CpuExecutor::Create(const Options& options) {
  std::unique_ptr<CpuExecutor> executor(new CpuExecutor);
  const int threads = options.threads > 0 ? options.threads
                                          : std::min(AvailableCpus(), cpu::ThreadPool::kMaxThreads);
  GEMMA_ASSIGN_OR_RETURN(executor->shared_.pool, cpu::ThreadPool::Create(threads));
  executor->shared_.kernels = options.kernels != nullptr ? options.kernels : &cpu::BestKernels();
  executor->shared_.suppressed_ids = options.suppressed_ids;
  return executor;
}

std::string CpuExecutor::Description() const {
  return absl::StrCat("CPU (", cpu::IsaName(shared_.kernels->isa), ", ", shared_.pool->threads(),
                      shared_.pool->threads() == 1 ? " thread)" : " threads)");
}

absl::StatusOr<ExecutorMemory> CpuExecutor::EstimateMemory(
    std::span<const Plan* const> plans, const std::vector<PlanCache>& caches) const {
  ExecutorMemory memory;
  std::vector<PlanWeight> weights;
  cpu::Workspace::Limits limits;
  for (const Plan* plan : plans) {
    weights.insert(weights.end(), plan->weights.begin(), plan->weights.end());
    limits = Larger(limits, FindLimits(*plan, shared_.pool->threads()));
    GEMMA_ASSIGN_OR_RETURN(const uint64_t logits_bytes, ScoreLogitsBytes(*plan));
    GEMMA_ASSIGN_OR_RETURN(const ActivationMemory activations,
                           PlaceActivations(*plan, logits_bytes));
    memory.activations = std::max(memory.activations, activations.bytes);
  }
  GEMMA_ASSIGN_OR_RETURN(memory.weights, LoadedWeights::Bytes(weights));
  GEMMA_ASSIGN_OR_RETURN(memory.workspace, cpu::Workspace::Bytes(limits));
  for (const PlanCache& cache : caches) memory.session += cache.bytes;
  memory.free = AvailableMemory();
  return memory;
}

absl::Status CpuExecutor::LoadWeights(std::span<const PlanWeight> weights, WeightSource& source) {
  return shared_.weights.Load(weights, source);
}

absl::Status CpuExecutor::GrowWorkspace(const Plan& plan) {
  const cpu::Workspace::Limits limits =
      Larger(shared_.limits, FindLimits(plan, shared_.pool->threads()));
  GEMMA_ASSIGN_OR_RETURN(const uint64_t bytes, cpu::Workspace::Bytes(limits));
  if (shared_.workspace.has_value() && bytes == shared_.workspace_bytes) return absl::OkStatus();
  GEMMA_ASSIGN_OR_RETURN(cpu::Workspace workspace, cpu::Workspace::Create(limits));
  shared_.workspace.emplace(std::move(workspace));
  shared_.workspace_bytes = bytes;
  shared_.limits = limits;
  return absl::OkStatus();
}

absl::Status CpuExecutor::GrowActivations(uint64_t bytes) {
  if (bytes <= shared_.activations.size()) return absl::OkStatus();
  GEMMA_ASSIGN_OR_RETURN(shared_.activations, HostMemory::Allocate(bytes, "activations"));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PreparedPlan>> CpuExecutor::Prepare(
    const Plan& plan, std::vector<size_t> cache_slots) {
  GEMMA_RETURN_IF_ERROR(CheckSuppressedIds(plan, shared_.suppressed_ids));
  std::lock_guard lock(shared_.run_mutex);
  Resolved resolved;
  resolved.plan = &plan;
  resolved.cache_slots = std::move(cache_slots);
  for (const PlanWeight& weight : plan.weights) {
    GEMMA_ASSIGN_OR_RETURN(const WeightView view, shared_.weights.Find(weight));
    resolved.weights.push_back(view);
  }
  GEMMA_ASSIGN_OR_RETURN(const uint64_t logits_bytes, ScoreLogitsBytes(plan));
  GEMMA_ASSIGN_OR_RETURN(resolved.activations, PlaceActivations(plan, logits_bytes));
  resolved.barriers = FindBarriers(plan, resolved.activations);
  CountClaims(plan, resolved);
  GEMMA_RETURN_IF_ERROR(GrowWorkspace(plan));
  GEMMA_RETURN_IF_ERROR(GrowActivations(resolved.activations.bytes));
  return std::make_unique<PreparedCpuPlan>(shared_, std::move(resolved));
}

absl::StatusOr<std::unique_ptr<SessionState>> CpuExecutor::NewSession(
    const std::vector<PlanCache>& caches, int64_t max_context) {
  return CpuSession::Create(caches, max_context);
}

// Host memory is no device's: how much of it is used stays zero.
absl::StatusOr<DeviceFigures> CpuExecutor::Measure() {
  std::lock_guard lock(shared_.run_mutex);
  DeviceFigures figures;
  GEMMA_ASSIGN_OR_RETURN(const uint64_t bytes, BytesToRead(LastCacheBytes(), AvailableMemory()));
  GEMMA_ASSIGN_OR_RETURN(figures.read_bytes_per_second,
                         MeasureReadBandwidth(*shared_.kernels, *shared_.pool, bytes));
  return figures;
}

uint64_t CpuExecutor::ActivationBytes() const {
  return shared_.activations.size() + shared_.workspace_bytes;
}

}  // namespace gemma
