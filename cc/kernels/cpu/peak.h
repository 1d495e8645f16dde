// What a machine can do at most, for the benchmark to compare with.
#ifndef CC_KERNELS_CPU_PEAK_H_
#define CC_KERNELS_CPU_PEAK_H_

#include <cstdint>

#include "cc/kernels/cpu/kernels.h"

namespace gemma::cpu {

// `count` steps of independent multiply-adds that fill the units, float32's or AMX's of bfloat16;
// FlopsPerChain is what one step computes.
float MultiplyAdds(Isa isa, int64_t count);
int64_t FlopsPerChain(Isa isa);

}  // namespace gemma::cpu

#endif  // CC_KERNELS_CPU_PEAK_H_
