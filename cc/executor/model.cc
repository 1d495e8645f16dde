#include "cc/executor/model.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

template <typename... Parts>
absl::Status Disagree(const Plan& plan, const Plan& other, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("the plans of ", PlanMethodName(plan.method),
                                                 " and ", PlanMethodName(other.method),
                                                 " disagree about ", parts...));
}

absl::Status CheckWeightsAgree(const Plan& plan, const Plan& other) {
  std::map<absl::string_view, const PlanWeight*> by_key;
  for (const PlanWeight& weight : other.weights) by_key.emplace(weight.data_key, &weight);
  for (const PlanWeight& weight : plan.weights) {
    const auto same = by_key.find(weight.data_key);
    if (same == by_key.end() || weight.SameData(*same->second)) continue;
    return Disagree(plan, other, "the layout, shape or size of weight ", weight.data_key);
  }
  return absl::OkStatus();
}

absl::Status CheckCachesAgree(const Plan& plan, const Plan& other) {
  for (const PlanCache& cache : plan.caches) {
    for (const PlanCache& same : other.caches) {
      if (cache.name == same.name && !(cache == same))
        return Disagree(plan, other, "cache ", cache.name);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Model::CheckAgreement(const Plan& plan) const {
  for (const Method& method : methods_) {
    if (method.plan == nullptr) continue;
    const Plan& other = *method.plan;
    if (plan.model != other.model)
      return Disagree(plan, other, "the model (", plan.model, ", ", other.model, ")");
    if (plan.vocab_size != other.vocab_size) {
      return Disagree(plan, other, "vocab_size (", plan.vocab_size, ", ", other.vocab_size, ")");
    }
    if (plan.max_context != other.max_context) {
      return Disagree(plan, other, "max_context (", plan.max_context, ", ", other.max_context, ")");
    }
    GEMMA_RETURN_IF_ERROR(CheckWeightsAgree(plan, other));
    GEMMA_RETURN_IF_ERROR(CheckCachesAgree(plan, other));
  }
  return absl::OkStatus();
}

absl::Status Model::AddPlan(Plan plan) {
  if (loaded_)
    return absl::FailedPreconditionError("a plan was added to a model that is already loaded");
  Method& method = methods_[static_cast<size_t>(plan.method)];
  if (method.plan != nullptr) {
    return absl::AlreadyExistsError(
        absl::StrCat("the model has two plans of ", PlanMethodName(plan.method)));
  }
  GEMMA_RETURN_IF_ERROR(CheckAgreement(plan));
  for (const PlanCache& cache : plan.caches) {
    if (std::find(caches_.begin(), caches_.end(), cache) == caches_.end()) caches_.push_back(cache);
  }
  method.plan = std::make_unique<const Plan>(std::move(plan));
  return absl::OkStatus();
}

std::vector<size_t> Model::CacheSlots(const Plan& plan) const {
  std::vector<size_t> slots;
  for (const PlanCache& cache : plan.caches) {
    slots.push_back(std::find(caches_.begin(), caches_.end(), cache) - caches_.begin());
  }
  return slots;
}

std::vector<PlanWeight> Model::weights() const {
  std::vector<PlanWeight> weights;
  for (const Method& method : methods_) {
    if (method.plan != nullptr)
      weights.insert(weights.end(), method.plan->weights.begin(), method.plan->weights.end());
  }
  return weights;
}

absl::StatusOr<ExecutorMemory> Model::EstimateMemory() const {
  std::vector<const Plan*> plans;
  for (const Method& method : methods_) {
    if (method.plan != nullptr) plans.push_back(method.plan.get());
  }
  return executor_->EstimateMemory(plans, caches_);
}

absl::StatusOr<std::vector<StepTime>> Model::Profile(SessionState& session, int64_t start,
                                                     int64_t tokens) const {
  const PlanMethod name = tokens == 1 ? PlanMethod::kDecode : PlanMethod::kPrefill;
  const Method& method = methods_[static_cast<size_t>(name)];
  if (method.prepared == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the model has no method ", PlanMethodName(name)));
  }
  if (session.owner() != this)
    return absl::InvalidArgumentError("the session belongs to another model");
  return method.prepared->Profile(session, start, tokens);
}

absl::Status Model::Load(WeightSource& source) {
  if (loaded_) return absl::FailedPreconditionError("the model is already loaded");
  GEMMA_RETURN_IF_ERROR(executor_->LoadWeights(weights(), source));
  for (Method& method : methods_) {
    if (method.plan == nullptr) continue;
    GEMMA_ASSIGN_OR_RETURN(method.prepared,
                           executor_->Prepare(*method.plan, CacheSlots(*method.plan)));
  }
  loaded_ = true;
  return absl::OkStatus();
}

const Plan* Model::FindPlan(PlanMethod method) const {
  return methods_[static_cast<size_t>(method)].plan.get();
}

absl::StatusOr<std::unique_ptr<SessionState>> Model::NewSession() const {
  if (!loaded_)
    return absl::FailedPreconditionError(
        "a session was asked of a model whose weights are not loaded");
  int64_t max_context = 0;
  for (const Method& method : methods_) {
    if (method.plan != nullptr) max_context = method.plan->max_context;
  }
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<SessionState> session,
                         executor_->NewSession(caches_, max_context));
  session->set_owner(this);
  return session;
}

absl::Status Model::Run(PlanMethod method, SessionState& session, const Call& call,
                        const CallResults& results) const {
  const Method& entry = methods_[static_cast<size_t>(method)];
  if (entry.prepared == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the model has no method ", PlanMethodName(method), " or its weights are not loaded"));
  }
  if (session.owner() != this)
    return absl::InvalidArgumentError("the session belongs to another model");
  const auto tokens = static_cast<int64_t>(call.tokens.size());
  GEMMA_RETURN_IF_ERROR(CheckCall(*entry.plan, call, results));
  GEMMA_RETURN_IF_ERROR(session.CheckStart(call.start, tokens));
  session.Begin(call.start, tokens);
  GEMMA_RETURN_IF_ERROR(entry.prepared->Run(session, call, results));
  session.Commit(call.start, tokens);
  return absl::OkStatus();
}

}  // namespace gemma
