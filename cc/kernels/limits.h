// Sizes up to which the kernels go, each written here alone.
#ifndef CC_KERNELS_LIMITS_H_
#define CC_KERNELS_LIMITS_H_

#include <cstdint>

namespace gemma {

inline constexpr int kMaxHeadDim = 512;
// Calls of up to so many tokens read weights and caches once (decoding, verification of drafts);
// longer ones are matrix products (prompts).
inline constexpr int kMaxDecodeTokens = 8;
inline constexpr int64_t kMaxScoreTop = 16;

}  // namespace gemma

#endif  // CC_KERNELS_LIMITS_H_
