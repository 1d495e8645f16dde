#include "cc/kernels/sampling_params.h"

#include <cmath>
#include <cstdio>

namespace gemma {
namespace {

std::string Problem(const SamplingField& field, double value) {
  char number[40];
  std::snprintf(number, sizeof(number), "%.9g", value);
  return std::string(field.name) + " is " + number + " (" + field.allowed + " are allowed)";
}

}  // namespace

bool SamplingField::Allows(double value) const {
  if (value == off) return true;
  const bool whole = integer == nullptr || value == std::floor(value);
  return value >= least && value <= most && whole;
}

SamplingTensor ToTensor(const SamplingParams& params) {
  SamplingTensor tensor;
  for (size_t i = 0; i < tensor.size(); ++i)
    tensor[i] = static_cast<float>(kSamplingFields[i].Get(params));
  return tensor;
}

std::string FromTensor(const SamplingTensor& tensor, SamplingParams& params) {
  for (size_t i = 0; i < tensor.size(); ++i) {
    if (!kSamplingFields[i].Allows(tensor[i])) return Problem(kSamplingFields[i], tensor[i]);
    kSamplingFields[i].Set(params, tensor[i]);
  }
  return "";
}

std::string SamplingProblem(const SamplingParams& params) {
  for (const SamplingField& field : kSamplingFields) {
    if (!field.Allows(field.Get(params))) return Problem(field, field.Get(params));
  }
  return "";
}

}  // namespace gemma
