#include "cc/engine/logits_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cpu/kernels.h"

namespace gemma {
namespace {

// Written so that NaN is refused, too.
absl::Status CheckRange(absl::string_view name, float value, float least, float most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, " (", least, " to ", most, " are allowed)"));
}

absl::Status CheckFinite(std::span<const float> logits) {
  const auto broken = std::ranges::count_if(logits, [](float l) { return !std::isfinite(l); });
  if (broken == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(broken, " of ", logits.size(), " logits are NaN or infinite"));
}

// log(sum(exp(logits))).
double LogSumExp(std::span<const float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

}  // namespace

absl::Status CheckLogitsChanges(const LogitsChanges& changes, int64_t vocab_size) {
  GEMMA_RETURN_IF_ERROR(CheckRange("repetition_penalty", changes.repetition_penalty, 0.01f, 100));
  GEMMA_RETURN_IF_ERROR(CheckRange("frequency_penalty", changes.frequency_penalty, -2, 2));
  GEMMA_RETURN_IF_ERROR(CheckRange("presence_penalty", changes.presence_penalty, -2, 2));
  for (const auto& [id, bias] : changes.logit_bias) {
    if (id < 0 || id >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("logit_bias names token ", id, ", but the model has ", vocab_size));
    }
    GEMMA_RETURN_IF_ERROR(CheckRange(absl::StrCat("logit_bias of token ", id), bias, -100, 100));
  }
  const int top = changes.top_logprobs.value_or(0);
  return CheckRange("top_logprobs", static_cast<float>(top), 0, kMaxTopLogprobs);
}

struct LogitsSampler::Device {
  const cpu::Kernels& kernels = cpu::BestKernels();
  cpu::Workspace workspace;
};

LogitsSampler::LogitsSampler(const SamplingParams& sampling, const LogitsChanges& changes,
                             int64_t vocab_size)
    : sampling_(sampling), changes_(changes), mask_(MaskWords(vocab_size)) {}
LogitsSampler::~LogitsSampler() = default;

absl::StatusOr<std::unique_ptr<LogitsSampler>> LogitsSampler::Create(
    const SamplingParams& sampling, const LogitsChanges& changes, int64_t vocab_size,
    std::span<const int32_t> prompt) {
  auto sampler = absl::WrapUnique(new LogitsSampler(sampling, changes, vocab_size));
  GEMMA_ASSIGN_OR_RETURN(cpu::Workspace workspace,
                         cpu::Workspace::Create({.max_vocab = vocab_size}));
  sampler->device_ = absl::WrapUnique(new Device{.workspace = std::move(workspace)});
  if (changes.repetition_penalty != 1) {
    for (const int32_t id : prompt) ++sampler->seen_[id];
  }
  return sampler;
}

absl::StatusOr<DrawnToken> LogitsSampler::Draw(std::span<float> logits, int64_t position,
                                               TokenConstraint* constraint) {
  GEMMA_RETURN_IF_ERROR(CheckFinite(logits));
  if (changes_.top_logprobs.has_value()) unchanged_.assign(logits.begin(), logits.end());
  Change(logits);
  if (constraint != nullptr) Mask(logits, *constraint);
  DrawnToken drawn;
  drawn.id =
      static_cast<int32_t>(device_->kernels.sample({.logits = logits.data(),
                                                    .vocab = static_cast<int64_t>(logits.size()),
                                                    .sampling = sampling_,
                                                    .position = static_cast<uint64_t>(position)},
                                                   device_->workspace));
  if (changes_.top_logprobs.has_value()) TakeLogprobs(unchanged_, drawn);
  ++seen_[drawn.id];
  ++drawn_[drawn.id];
  if (constraint != nullptr) GEMMA_RETURN_IF_ERROR(constraint->Accept(drawn.id));
  return drawn;
}

void LogitsSampler::Change(std::span<float> logits) const {
  const float repetition = changes_.repetition_penalty;
  if (repetition != 1) {
    for (const auto& [id, times] : seen_)
      logits[id] = logits[id] > 0 ? logits[id] / repetition : logits[id] * repetition;
  }
  for (const auto& [id, times] : drawn_) {
    logits[id] -= changes_.frequency_penalty * static_cast<float>(times);
    logits[id] -= changes_.presence_penalty;
  }
  for (const auto& [id, bias] : changes_.logit_bias) logits[id] += bias;
}

void LogitsSampler::Mask(std::span<float> logits, TokenConstraint& constraint) {
  constraint.FillMask(mask_);
  for (size_t id = 0; id < logits.size(); ++id) {
    const bool allowed = (mask_[id / 32] >> (id % 32) & 1) != 0;
    if (!allowed) logits[id] = -std::numeric_limits<float>::infinity();
  }
}

void LogitsSampler::TakeLogprobs(std::span<const float> logits, DrawnToken& drawn) const {
  const double total = LogSumExp(logits);
  const auto logprob = [&](int32_t id) { return static_cast<float>(logits[id] - total); };
  drawn.logprob = logprob(drawn.id);
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const size_t top = std::min<size_t>(*changes_.top_logprobs, ids.size());
  const auto likelier = [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  std::partial_sort(ids.begin(), ids.begin() + top, ids.end(), likelier);
  for (size_t i = 0; i < top; ++i) drawn.top.push_back({ids[i], logprob(ids[i])});
}

}  // namespace gemma
