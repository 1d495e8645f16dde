#include "cc/engine/logits_sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
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

// The id of the n-th token that the mask allows, from 0.
int32_t NthAllowed(std::span<const uint32_t> mask, int32_t n) {
  size_t word = 0;
  for (; std::popcount(mask[word]) <= n; ++word) n -= std::popcount(mask[word]);
  uint32_t rest = mask[word];
  for (; n > 0; --n) rest &= rest - 1;
  return static_cast<int32_t>(word * 32) + std::countr_zero(rest);
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
  DrawnToken drawn;
  if (constraint == nullptr) {
    drawn.id = DrawIndex(logits, position);
  } else {
    constraint->FillMask(mask_);
    GatherAllowed(logits);
    if (allowed_.empty()) return absl::InternalError("the answer's form allows no token");
    drawn.id = NthAllowed(mask_, DrawIndex(allowed_, position));
  }
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

int32_t LogitsSampler::DrawIndex(std::span<const float> logits, int64_t position) {
  return static_cast<int32_t>(device_->kernels.sample({.logits = logits.data(),
                                                       .vocab = static_cast<int64_t>(logits.size()),
                                                       .sampling = sampling_,
                                                       .position = static_cast<uint64_t>(position)},
                                                      device_->workspace));
}

// What is forbidden is left out rather than made unlikely: where few tokens are allowed, drawing is
// cheap, and top_k does not rank a vocabulary of equals.
void LogitsSampler::GatherAllowed(std::span<const float> logits) {
  allowed_.clear();
  for (size_t word = 0; word < mask_.size(); ++word) {
    const std::span<const float> here =
        logits.subspan(word * 32, std::min<size_t>(32, logits.size() - word * 32));
    if (mask_[word] == ~0u) {
      allowed_.insert(allowed_.end(), here.begin(), here.end());
      continue;
    }
    for (uint32_t rest = mask_[word]; rest != 0; rest &= rest - 1) {
      const auto bit = static_cast<size_t>(std::countr_zero(rest));
      if (bit < here.size()) allowed_.push_back(here[bit]);
    }
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
