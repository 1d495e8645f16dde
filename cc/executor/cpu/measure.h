// How fast this machine's threads read its memory, all together: the limit of decoding.
#ifndef CC_EXECUTOR_CPU_MEASURE_H_
#define CC_EXECUTOR_CPU_MEASURE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "cc/kernels/cpu/kernels.h"
#include "cc/kernels/cpu/thread_pool.h"

namespace gemma {

// Bytes to read, far more than the caches hold, that leave most of the free memory alone.
// ResourceExhausted where too little is free.
absl::StatusOr<uint64_t> BytesToRead(uint64_t cache_bytes, uint64_t free_bytes);

// Of the last level of caches, all of it; 0 where the machine does not tell.
uint64_t LastCacheBytes();

// Bytes per second, the most of some runs over `bytes` (at least a few kilobytes a thread), which
// are taken and given back here.
absl::StatusOr<double> MeasureReadBandwidth(const cpu::Kernels& kernels, cpu::ThreadPool& pool,
                                            uint64_t bytes);

}  // namespace gemma

#endif  // CC_EXECUTOR_CPU_MEASURE_H_
