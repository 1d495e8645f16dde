#include "cc/engine/load_engine.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/base/sizes.h"
#include "cc/base/status_macros.h"
#include "cc/delegate/gemma_delegate.h"
#include "cc/engine/artifact_files.h"
#include "cc/engine/artifact_program.h"
#include "cc/engine/artifact_tokenizer.h"
#include "cc/engine/check_sampling.h"
#include "cc/engine/executorch_program.h"
#include "cc/engine/read_through.h"
#include "cc/executor/model.h"
#include "cc/weights/ptd_files.h"
#include "cc/weights/random_weights.h"

namespace gemma {
namespace {

// What sessions share; calls take turns.
struct Runtime {
  ArtifactProgram artifact;
  std::shared_ptr<Model> model;
  std::unique_ptr<ExecuTorchProgram> program;
  std::mutex mutex;
};

class SessionImpl final : public Session {
 public:
  SessionImpl(Runtime& runtime, const EngineLimits& limits, const SessionOptions& options,
              std::unique_ptr<SessionState> state)
      : runtime_(runtime),
        limits_(limits),
        chunk_(options.prefill_chunk > 0 ? options.prefill_chunk : limits.max_prefill_chunk),
        cancelled_(options.cancelled),
        state_(std::move(state)) {}

  int64_t position() const override { return state_->length(); }

  absl::StatusOr<int32_t> Prefill(std::span<const int32_t> tokens,
                                  const SamplingParams& sampling) override {
    GEMMA_RETURN_IF_ERROR(CheckRoom(limits_, position(), tokens.size()));
    GEMMA_RETURN_IF_ERROR(CheckSampling(sampling));
    int32_t drawn = -1;
    while (!tokens.empty()) {
      const std::span<const int32_t> chunk = NextChunk(tokens);
      tokens = tokens.subspan(chunk.size());
      GEMMA_ASSIGN_OR_RETURN(drawn,
                             Generate(PlanMethod::kPrefill, chunk, tokens.empty(), sampling));
    }
    return drawn;
  }

  absl::Status Append(std::span<const int32_t> tokens, std::span<float> logits) override {
    GEMMA_RETURN_IF_ERROR(CheckRoom(limits_, position(), tokens.size()));
    if (!logits.empty() && static_cast<int64_t>(logits.size()) != limits_.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat("there is room for ", logits.size(),
                                                     " logits, but the model has ",
                                                     limits_.vocab_size, " tokens"));
    }
    const PlanMethod method = tokens.size() == 1 ? PlanMethod::kDecode : PlanMethod::kPrefill;
    while (!tokens.empty()) {
      const std::span<const int32_t> chunk = NextChunk(tokens);
      tokens = tokens.subspan(chunk.size());
      const bool emit = tokens.empty() && !logits.empty();
      GEMMA_RETURN_IF_ERROR(
          Generate(method, chunk, emit, {}, emit ? logits : std::span<float>()).status());
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int32_t> Decode(int32_t token, const SamplingParams& sampling) override {
    GEMMA_RETURN_IF_ERROR(CheckRoom(limits_, position(), 1));
    GEMMA_RETURN_IF_ERROR(CheckSampling(sampling));
    return Generate(PlanMethod::kDecode, {&token, 1}, /*emit=*/true, sampling);
  }

  absl::StatusOr<std::vector<TokenScore>> Score(std::span<const int32_t> tokens) override {
    GEMMA_RETURN_IF_ERROR(CheckRoom(limits_, position(), tokens.size()));
    std::vector<TokenScore> scores;
    while (!tokens.empty()) {
      const std::span<const int32_t> chunk = NextChunk(tokens);
      GEMMA_RETURN_IF_ERROR(ScoreChunk(chunk, tokens.subspan(1), scores));
      tokens = tokens.subspan(chunk.size());
    }
    return scores;
  }

  absl::Status Rewind(int64_t position) override { return state_->Rewind(position); }

  absl::StatusOr<std::vector<StepTime>> Profile(int64_t position, int64_t tokens) override {
    std::lock_guard lock(runtime_.mutex);
    GEMMA_RETURN_IF_ERROR(state_->Rewind(0));
    return runtime_.model->Profile(*state_, position, tokens);
  }

 private:
  std::span<const int32_t> NextChunk(std::span<const int32_t> tokens) const {
    return tokens.first(std::min<size_t>(tokens.size(), static_cast<size_t>(chunk_)));
  }

  absl::StatusOr<int32_t> Generate(PlanMethod method, std::span<const int32_t> tokens, bool emit,
                                   const SamplingParams& sampling, std::span<float> logits = {}) {
    if (IsCancelled()) return absl::CancelledError("the call was cancelled");
    ids_.assign(tokens.begin(), tokens.end());
    std::lock_guard lock(runtime_.mutex);
    ScopedSession bound(*state_, cancelled_, logits);
    GEMMA_ASSIGN_OR_RETURN(const int64_t drawn,
                           runtime_.program->Generate(method, ids_, position(), emit, sampling));
    return static_cast<int32_t>(drawn);
  }

  // `successors`: what follows each of the chunk's tokens, as far as the text goes.
  absl::Status ScoreChunk(std::span<const int32_t> tokens, std::span<const int32_t> successors,
                          std::vector<TokenScore>& scores) {
    if (IsCancelled()) return absl::CancelledError("the call was cancelled");
    ids_.assign(tokens.begin(), tokens.end());
    targets_.assign(tokens.size(), -1);
    std::copy_n(successors.begin(), std::min(successors.size(), tokens.size()), targets_.begin());
    std::lock_guard lock(runtime_.mutex);
    ScopedSession bound(*state_, cancelled_);
    GEMMA_ASSIGN_OR_RETURN(const ScoreOutputs outputs,
                           runtime_.program->Score(ids_, position(), targets_));
    const size_t top = outputs.top_ids.size() / tokens.size();
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto ids = outputs.top_ids.subspan(i * top, top);
      const auto logprobs = outputs.top_logprobs.subspan(i * top, top);
      scores.push_back(
          {outputs.logprobs[i], {ids.begin(), ids.end()}, {logprobs.begin(), logprobs.end()}});
    }
    return absl::OkStatus();
  }

  bool IsCancelled() const { return cancelled_ != nullptr && cancelled_->load(); }

  Runtime& runtime_;
  const EngineLimits& limits_;
  const int64_t chunk_;
  const std::atomic<bool>* const cancelled_;
  const std::unique_ptr<SessionState> state_;
  std::vector<int64_t> ids_;      // of the running call
  std::vector<int64_t> targets_;  // of the running call
};

class EngineImpl final : public Engine {
 public:
  explicit EngineImpl(std::string folder) : folder_(std::move(folder)) {}

  // The phases of loading, in order; first those that take no memory to speak of.
  absl::Status LoadPlans(const EngineOptions& options) {
    GEMMA_RETURN_IF_ERROR(Timed("manifest", [&] { return ReadFolder(); }));
    return Timed("program", [&] { return LoadProgram(options); });
  }
  // All that Load does but to take memory and fill it.
  absl::Status Check(const EngineOptions& options) {
    GEMMA_RETURN_IF_ERROR(LoadPlans(options));
    GEMMA_RETURN_IF_ERROR(Timed("tokenizer", [&] { return LoadTokenizer(); }));
    if (options.check) GEMMA_RETURN_IF_ERROR(options.check(*this));
    GEMMA_RETURN_IF_ERROR(OpenWeights(options));
    return EstimateMemory().status();
  }
  absl::Status Load(const EngineOptions& options) {
    GEMMA_RETURN_IF_ERROR(Check(options));
    return Timed("weights", [&] { return LoadWeights(options); });
  }

  // The same without stopping at what fails,
  // as far as the rest can be judged; at last the weights' bytes.
  std::vector<absl::Status> FindProblems(const EngineOptions& options) {
    std::vector<absl::Status> problems;
    const auto keep = [&](const absl::Status& status) {
      if (!status.ok()) problems.push_back(status);
      return status.ok();
    };
    if (!keep(ReadFolder())) return problems;
    if (keep(LoadProgram(options))) {
      keep(LoadTokenizer());
      if (keep(EstimateMemory().status()) && keep(OpenWeights(options))) keep(ReadWeights());
      return problems;
    }
    // Without a program nobody knows what the others must hold, but they can be whole.
    for (const ManifestFile& file : manifest_.files) {
      if (file.name != "model.pte") keep(VerifyFile(folder_, file));
    }
    return problems;
  }

  // After Check.
  ArtifactDescription Describe() const {
    ArtifactDescription description = {.manifest = manifest_};
    for (const Plan& plan : runtime_.artifact.plans)
      description.methods.push_back(DescribePlan(plan));
    return description;
  }

  // After LoadPlans.
  absl::StatusOr<MemoryEstimate> EstimateMemory() const {
    MemoryEstimate estimate = {DescribeDevice(), {}, limits_.max_seq_len};
    GEMMA_ASSIGN_OR_RETURN(estimate.memory, runtime_.model->EstimateMemory());
    return estimate;
  }

  absl::StatusOr<DeviceFigures> MeasureDevice() override {
    std::lock_guard lock(runtime_.mutex);
    return runtime_.model->MeasureDevice();
  }

  const Manifest& manifest() const override { return manifest_; }
  const EngineLimits& limits() const override { return limits_; }
  std::string device() const override { return runtime_.model->executor().Description(); }
  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  const BenchmarkInfo& load_info() const override { return load_info_; }

  EngineMemory memory() const override {
    EngineMemory memory = {.weights = runtime_.model->executor().WeightBytes(),
                           .activations = runtime_.model->executor().ActivationBytes()};
    memory.session = session_bytes_;
    return memory;
  }

  absl::StatusOr<std::unique_ptr<Session>> NewSession(const SessionOptions& options) override {
    if (options.prefill_chunk < 0 || options.prefill_chunk > limits_.max_prefill_chunk) {
      return absl::InvalidArgumentError(absl::StrCat("prefill_chunk is ", options.prefill_chunk,
                                                     " (1 to ", limits_.max_prefill_chunk,
                                                     " are allowed by this artifact)"));
    }
    GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<SessionState> state, runtime_.model->NewSession());
    session_bytes_ = state->bytes();
    return std::make_unique<SessionImpl>(runtime_, limits_, options, std::move(state));
  }

 private:
  template <typename Body>
  absl::Status Timed(const char* phase, Body body) {
    const Stopwatch stopwatch;
    GEMMA_RETURN_IF_ERROR(body());
    load_info_.Add(phase, stopwatch.Seconds());
    return absl::OkStatus();
  }

  // A status of the program, which lacks the file's name.
  absl::Status OfProgram(const absl::Status& status) const {
    if (status.ok()) return status;
    return absl::Status(status.code(), absl::StrCat(folder_, "/model.pte: ", status.message()));
  }

  absl::Status OfManifest(const absl::Status& status) const {
    if (status.ok()) return status;
    return absl::Status(status.code(), absl::StrCat(folder_, "/manifest.json: ", status.message()));
  }

  absl::Status ReadFolder() {
    GEMMA_ASSIGN_OR_RETURN(manifest_, ReadManifest(folder_));
    limits_.max_seq_len = manifest_.max_seq_len;
    limits_.max_prefill_chunk = manifest_.max_prefill_chunk;
    return absl::OkStatus();
  }

  // The plans are checked here, and once more where ExecuTorch hands them to our delegate.
  absl::Status LoadProgram(const EngineOptions& options) {
    GEMMA_ASSIGN_OR_RETURN(runtime_.artifact, ReadArtifactProgram(folder_, manifest_));
    GEMMA_ASSIGN_OR_RETURN(
        ChosenExecutor chosen,
        MakeExecutor(options.device,
                     {.threads = options.threads, .suppressed_ids = manifest_.suppressed_ids}));
    device_reason_ = chosen.reason;
    runtime_.model = std::make_shared<Model>(std::move(chosen.executor));
    absl::StatusOr<std::unique_ptr<ExecuTorchProgram>> program =
        ExecuTorchProgram::Load(runtime_.artifact.bytes());
    GEMMA_RETURN_IF_ERROR(OfProgram(program.status()));
    runtime_.program = *std::move(program);
    ScopedLoad load(runtime_.model);
    for (const Plan& plan : runtime_.artifact.plans) {
      GEMMA_RETURN_IF_ERROR(OfProgram(runtime_.program->LoadMethod(plan.method)));
      GEMMA_RETURN_IF_ERROR(OfManifest(CheckSuppressedIds(plan, manifest_.suppressed_ids)));
      limits_.vocab_size = plan.vocab_size;
    }
    limits_.can_generate = runtime_.model->FindPlan(PlanMethod::kPrefill) != nullptr &&
                           runtime_.model->FindPlan(PlanMethod::kDecode) != nullptr;
    limits_.can_score = runtime_.model->FindPlan(PlanMethod::kScore) != nullptr;
    return absl::OkStatus();
  }

  std::string DescribeDevice() const {
    return device_reason_.empty() ? device() : absl::StrCat(device(), ", as ", device_reason_);
  }

  absl::Status LoadTokenizer() {
    GEMMA_ASSIGN_OR_RETURN(tokenizer_,
                           ReadArtifactTokenizer(folder_, manifest_, limits_.vocab_size));
    return absl::OkStatus();
  }

  // Says what will be taken, and refuses what cannot fit.
  absl::Status CheckMemory(const EngineOptions& options) {
    GEMMA_ASSIGN_OR_RETURN(const MemoryEstimate estimate, EstimateMemory());
    session_bytes_ = estimate.memory.session;
    if (options.report) {
      options.report(absl::StrCat("device: ", estimate.device));
      options.report(absl::StrCat("memory: ", FormatMemory(estimate.memory)));
    }
    const absl::Status fits = CheckFits(estimate.memory);
    if (fits.ok()) return fits;
    return absl::Status(fits.code(), absl::StrCat(folder_, " on ", device(), ": ", fits.message()));
  }

  // Every weight that is not to be random is in the files, with its size.
  absl::Status OpenWeights(const EngineOptions& options) {
    GEMMA_ASSIGN_OR_RETURN(std::vector<PtdFile> files,
                           OpenWeightFiles(folder_, manifest_, options.progress));
    GEMMA_ASSIGN_OR_RETURN(PtdFiles weights, PtdFiles::Create(std::move(files)));
    std::vector<WeightRequest> requests;
    for (const PlanWeight& weight : runtime_.model->weights()) {
      if (!options.random_weights || weights.Has(weight.data_key))
        requests.push_back({weight.data_key, weight.bytes});
    }
    GEMMA_RETURN_IF_ERROR(weights.Check(requests));
    weights_.emplace(std::move(weights));
    return absl::OkStatus();
  }

  // Every byte of those that the files have, so that they are compared with their digests.
  absl::Status ReadWeights() {
    std::vector<PlanWeight> stored;
    for (const PlanWeight& weight : runtime_.model->weights()) {
      if (weights_->Has(weight.data_key)) stored.push_back(weight);
    }
    return ReadThrough(stored, *weights_);
  }

  absl::Status LoadWeights(const EngineOptions& options) {
    GEMMA_RETURN_IF_ERROR(CheckMemory(options));
    if (!options.random_weights) return runtime_.model->Load(*weights_);
    RandomWeights random(
        runtime_.model->weights(), *weights_,
        [&](const std::string& key) { return weights_->Has(key); }, options.progress);
    return runtime_.model->Load(random);
  }

  const std::string folder_;
  Manifest manifest_;
  EngineLimits limits_;
  Runtime runtime_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<PtdFiles> weights_;
  BenchmarkInfo load_info_;
  std::string device_reason_;                // why the device is what it is
  std::atomic<uint64_t> session_bytes_ = 0;  // of the newest session; before, as planned
};

}  // namespace

std::string FormatMemory(const ExecutorMemory& memory) {
  return absl::StrCat("weights ", FormatBytes(memory.weights), ", activations ",
                      FormatBytes(memory.activations), ", workspace ",
                      FormatBytes(memory.workspace), ", each session at most ",
                      FormatBytes(memory.session), ", free ", FormatBytes(memory.free));
}

absl::Status CheckFits(const ExecutorMemory& memory) {
  if (memory.model() <= memory.free) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the model needs ", FormatBytes(memory.model()), " (weights ", FormatBytes(memory.weights),
      ", activations ", FormatBytes(memory.activations), ", workspace ",
      FormatBytes(memory.workspace), "), but ", FormatBytes(memory.free),
      " are free (free some, or export with a smaller --recipe or --max_prefill_chunk)"));
}

absl::StatusOr<MemoryEstimate> EstimateMemory(const std::string& folder,
                                              const EngineOptions& options) {
  EngineImpl engine(folder);
  GEMMA_RETURN_IF_ERROR(engine.LoadPlans(options));
  return engine.EstimateMemory();
}

std::vector<absl::Status> FindProblems(const std::string& folder, bool random_weights) {
  return EngineImpl(folder).FindProblems(
      {.device = DeviceChoice::kCpu, .threads = 1, .random_weights = random_weights});
}

absl::StatusOr<ArtifactDescription> DescribeArtifact(const std::string& folder,
                                                     bool random_weights) {
  EngineImpl engine(folder);
  GEMMA_RETURN_IF_ERROR(
      engine.Check({.device = DeviceChoice::kCpu, .threads = 1, .random_weights = random_weights}));
  return engine.Describe();
}

absl::StatusOr<std::unique_ptr<Engine>> LoadEngine(const std::string& folder,
                                                   const EngineOptions& options) {
  auto engine = std::make_unique<EngineImpl>(folder);
  GEMMA_RETURN_IF_ERROR(engine->Load(options));
  return engine;
}

}  // namespace gemma
