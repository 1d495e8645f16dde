// How a token is drawn: the one struct that the reference, the CPU and the CUDA kernels take. Plain
// numbers, so that it can lie in device memory.
#ifndef CC_KERNELS_SAMPLING_H_
#define CC_KERNELS_SAMPLING_H_

#include <cstdint>

namespace gemma {

// The filters apply in this order, each to what the one before it kept, on the softmax of logits /
// temperature:
//   top_k  keeps the k largest logits;
//   top_p  keeps the fewest most likely tokens whose probabilities (renormalized after top_k) sum
//          to >= top_p;
//   min_p  keeps tokens at least min_p times as likely as the most likely one.
// Of equal logits the lower id counts as the larger. At least one token is always kept.
// The draw: u = Philox4x32-10(counter = position, key = seed), 53 bits in [0, 1); the token is the
// first id, in ascending order, at which the running sum of kept probabilities exceeds u times
// their total.
struct Sampling {
  // 0: the largest logit, the lowest id among equals; nothing else is looked at
  float temperature = 0;
  int64_t top_k = 0;  // 0: off
  float top_p = 1;    // 1: off
  float min_p = 0;    // 0: off
  uint64_t seed = 0;
  uint64_t position = 0;  // of the drawn token
};

}  // namespace gemma

#endif  // CC_KERNELS_SAMPLING_H_
