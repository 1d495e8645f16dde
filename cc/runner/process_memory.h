// Memory of this process, as the kernel counts it.
#ifndef CC_RUNNER_PROCESS_MEMORY_H_
#define CC_RUNNER_PROCESS_MEMORY_H_

#include <cstdint>

namespace gemma {

// The largest resident size so far, in bytes.
uint64_t PeakResidentBytes();

// From now on, "so far" begins now. Nothing happens where the kernel cannot do that.
void ForgetPeakResidentBytes();

}  // namespace gemma

#endif  // CC_RUNNER_PROCESS_MEMORY_H_
