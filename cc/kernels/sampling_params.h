// How tokens are drawn: one struct from the flags to the kernels, and the one table of what its
// fields are called, may be, and where they lie in the `sampling` tensor of a .pte
// (docs/formats.md, "Methods"). No dependencies, so that CUDA code may include it.
//
// To add a parameter: a field, its line in kSamplingFields, and its meaning in the kernels.
#ifndef CC_KERNELS_SAMPLING_PARAMS_H_
#define CC_KERNELS_SAMPLING_PARAMS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace gemma {

// The filters apply in this order, each to what the one before it kept, on the softmax of
// logits / temperature:
//   top_k  keeps the k largest logits;
//   top_p  keeps the fewest most likely tokens whose probabilities (renormalized after top_k) sum
//          to >= top_p;
//   min_p  keeps tokens at least min_p times as likely as the most likely one.
// Of equal logits the lower id counts as the larger. At least one token is always kept.
// The draw: u = Philox4x32-10(counter = position, key = seed),
// 53 bits in [0, 1); the token is the first id, in ascending order,
// at which the running sum of kept probabilities exceeds u times their total.
struct SamplingParams {
  float temperature = 0;  // 0: the largest logit, the lowest id among equals; nothing else counts
  int64_t top_k = 0;      // 0: off
  float top_p = 1;        // 1: off
  float min_p = 0;        // 0: off
  uint64_t seed = 0;      // same seed and position, same draw

  bool operator==(const SamplingParams&) const = default;
};

// A field that a user may set, but for the seed.
struct SamplingField {
  const char* name;  // of the flag, and in messages
  const char* help;
  const char* allowed;  // for messages
  double off;           // allowed, whatever the next two say
  double least;
  double most;
  float SamplingParams::* real;       // null for a whole number
  int64_t SamplingParams::* integer;  // null for a real one

  double Get(const SamplingParams& params) const {
    return real != nullptr ? static_cast<double>(params.*real)
                           : static_cast<double>(params.*integer);
  }
  void Set(SamplingParams& params, double value) const {
    if (real != nullptr) {
      params.*real = static_cast<float>(value);
    } else {
      params.*integer = static_cast<int64_t>(value);
    }
  }
  // Whether `value` may be set: NaN may not, nor a fraction of a whole number.
  bool Allows(double value) const;
};

// In the order of the tensor. The temperature has a least value because one that float32 cannot
// tell from 0 would silently be greedy; top_k a largest because float32, in which it travels, does
// not hold every integer above.
inline constexpr std::array<SamplingField, 4> kSamplingFields = {{
    {"temperature", "0: always the most likely token.", "0, which is greedy, and 1e-6 to 1e6", 0,
     1e-6f, 1e6, &SamplingParams::temperature, nullptr},
    {"top_k", "draw among the k most likely tokens; 0: off.", "0 to 16777216", 0, 0, 1 << 24,
     nullptr, &SamplingParams::top_k},
    {"top_p", "draw among the most likely tokens that together reach this; 1: off.",
     "more than 0, to 1", 1, 1.2e-38, 1, &SamplingParams::top_p, nullptr},
    {"min_p", "draw among tokens this many times as likely as the best; 0: off.", "0 to 1", 0, 0, 1,
     &SamplingParams::min_p, nullptr},
}};
inline constexpr size_t kSamplingTensorSize = kSamplingFields.size();

using SamplingTensor = std::array<float, kSamplingTensorSize>;

// The parameters, without the seed, as a method takes them.
SamplingTensor ToTensor(const SamplingParams& params);

// Reads `tensor` into `params` and returns "" or what is wrong with it, as SamplingProblem does.
std::string FromTensor(const SamplingTensor& tensor, SamplingParams& params);

// "" or one sentence with a parameter's name, its value and what is allowed:
// "temperature is -1 (0, which is greedy, and 1e-6 to 1e6 are allowed)".
std::string SamplingProblem(const SamplingParams& params);

}  // namespace gemma

#endif  // CC_KERNELS_SAMPLING_PARAMS_H_
