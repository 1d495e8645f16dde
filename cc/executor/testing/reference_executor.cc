#include "cc/executor/testing/reference_executor.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "cc/base/status_macros.h"
#include "cc/executor/cpu/session.h"
#include "cc/kernels/reference.h"

namespace gemma {
namespace {

// Interprets one call.
class Interpreter {
 public:
  Interpreter(const Plan& plan, const std::vector<WeightView>& weights,
              const std::vector<size_t>& cache_slots, const CpuSession& session, const Call& call,
              const CallResults& results)
      : plan_(plan),
        weights_(weights),
        cache_slots_(cache_slots),
        session_(session),
        call_(call),
        results_(results),
        tokens_(static_cast<int64_t>(call.tokens.size())) {
    for (size_t i = 0; i < plan.values.size(); ++i) {
      values_.emplace_back(Size(static_cast<Index>(i)), std::numeric_limits<float>::quiet_NaN());
    }
  }

  void Run() {
    if (results_.token != nullptr) *results_.token = -1;
    for (const PlanStep& step : plan_.steps) {
      if (!call_.emit && std::holds_alternative<SelectLastStep>(step.operation)) return;
      std::visit([this](const auto& operation) { Step(operation); }, step.operation);
    }
  }

  std::vector<float> TakeLogits() { return std::move(logits_); }

 private:
  int64_t Columns(Index i) const { return plan_.values[i].columns; }
  int64_t Rows(Index i) const { return plan_.Rows(i, tokens_); }
  int64_t Size(Index i) const { return Rows(i) * Columns(i); }
  float* Value(Index i) { return i == kAbsent ? nullptr : values_[i].data(); }
  const float* Vector(Index i) const {
    return i == kAbsent ? nullptr : reinterpret_cast<const float*>(weights_[i].data);
  }
  const KvCache& Cache(Index i) const { return session_.cache(cache_slots_[i]); }

  void Step(const EmbedStep& s) {
    reference::Compute(
        Embed{weights_[s.weight], call_.tokens.data(), tokens_, s.scale, Value(s.out)});
  }
  void Step(const RmsNormStep& s) {
    const float scalar = s.scalar == kAbsent ? 1 : *Vector(s.scalar);
    reference::Compute(RmsNorm{Value(s.in), Vector(s.weight), Value(s.add), Rows(s.in),
                               Columns(s.in), s.width, s.epsilon, scalar, Value(s.out)});
  }
  void Step(const LinearStep& s) {
    for (size_t i = 0; i < s.weights.size(); ++i) {
      reference::Compute(Linear{weights_[s.weights[i]], Value(s.in), Rows(s.in), Value(s.outs[i])});
    }
  }
  void Step(const PrepareAttentionStep& s) {
    reference::Compute(PrepareAttention{Value(s.q), Value(s.k), Value(s.v), Vector(s.q_norm),
                                        Vector(s.k_norm), Vector(s.frequencies), s.normalize_v,
                                        s.epsilon, s.heads, tokens_, call_.start, Cache(s.cache),
                                        Value(s.out)});
  }
  void Step(const AttentionStep& s) {
    reference::Compute(Attention{Value(s.q), s.heads, tokens_, call_.start, s.scale, Cache(s.cache),
                                 Value(s.out)});
  }
  void Step(const GatedGeluStep& s) {
    reference::Compute(GatedGelu{Value(s.gate), Value(s.up), Size(s.gate), Value(s.out)});
  }
  void Step(const AddStep& s) {
    reference::Compute(Add{Value(s.a), Value(s.b), Size(s.a), Value(s.out)});
  }
  void Step(const SelectLastStep& s) {
    std::copy_n(Value(s.in) + (tokens_ - 1) * Columns(s.in), Columns(s.in), Value(s.out));
  }
  void Step(const SoftcapStep& s) {
    reference::Compute(Softcap{Value(s.in), Size(s.in), s.cap, Value(s.out)});
  }
  void Step(const SampleStep& s) {
    logits_ = values_[s.logits];
    std::copy_n(Value(s.logits), results_.logits.size(), results_.logits.begin());
    *results_.token = reference::Compute(
        Sample{Value(s.logits), Columns(s.logits), call_.sampling, DrawnPosition(call_)});
  }
  void Step(const ScoreStep& s) {
    std::vector<float> logits(tokens_ * plan_.vocab_size);
    reference::Compute(Linear{weights_[s.weight], Value(s.in), tokens_, logits.data()});
    if (s.softcap > 0) {
      reference::Compute(
          Softcap{logits.data(), static_cast<int64_t>(logits.size()), s.softcap, logits.data()});
    }
    reference::Compute(gemma::Score{logits.data(), call_.targets.data(), tokens_, plan_.vocab_size,
                                    s.top, results_.logprobs.data(), results_.top_ids.data(),
                                    results_.top_logprobs.data()});
  }

  const Plan& plan_;
  const std::vector<WeightView>& weights_;
  const std::vector<size_t>& cache_slots_;
  const CpuSession& session_;
  const Call& call_;
  const CallResults& results_;
  const int64_t tokens_;
  std::vector<std::vector<float>> values_;
  std::vector<float> logits_;
};

class ReferencePlan final : public PreparedPlan {
 public:
  ReferencePlan(const Plan& plan, std::vector<WeightView> weights, std::vector<size_t> cache_slots,
                std::vector<float>& logits)
      : plan_(plan),
        weights_(std::move(weights)),
        cache_slots_(std::move(cache_slots)),
        logits_(logits) {}

  absl::Status Run(SessionState& session, const Call& call, const CallResults& results) override {
    Interpreter interpreter(plan_, weights_, cache_slots_, static_cast<const CpuSession&>(session),
                            call, results);
    interpreter.Run();
    logits_ = interpreter.TakeLogits();
    return absl::OkStatus();
  }

 private:
  const Plan& plan_;
  const std::vector<WeightView> weights_;
  const std::vector<size_t> cache_slots_;
  std::vector<float>& logits_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PreparedPlan>> ReferenceExecutor::Prepare(
    const Plan& plan, std::vector<size_t> cache_slots) {
  std::vector<WeightView> weights;
  for (const PlanWeight& weight : plan.weights) {
    GEMMA_ASSIGN_OR_RETURN(const WeightView view, weights_.Find(weight));
    weights.push_back(view);
  }
  return std::make_unique<ReferencePlan>(plan, std::move(weights), std::move(cache_slots), logits_);
}

absl::StatusOr<std::unique_ptr<SessionState>> ReferenceExecutor::NewSession(
    const std::vector<PlanCache>& caches, int64_t max_context) {
  return CpuSession::Create(caches, max_context);
}

}  // namespace gemma
