// What every kernel call needs beside its operands: the GPU, a stream, and a stream's scratch
// memory.
#ifndef CC_KERNELS_CUDA_CONTEXT_H_
#define CC_KERNELS_CUDA_CONTEXT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "cc/kernels/cuda/device.h"
#include "cc/kernels/cuda/matvec_params.h"

namespace gemma::cuda {

struct SampleState;

// Scratch memory that kernels leave as they found it, so kernels of one stream share it. One per
// stream; never used by two streams at once.
class Workspace {
 public:
  struct Limits {
    size_t attention_bytes = 0;  // the largest DecodeAttentionBytes (attention.h) of any layer
    size_t gemm_bytes = 0;       // GemmBytes (gemm.h), where products of many tokens are run
  };

  static absl::StatusOr<Workspace> Create(const Device& device, const Limits& limits,
                                          Stream stream);
  // What Create takes.
  static size_t Bytes(const Device& device, const Limits& limits);

  const Limits& limits() const { return limits_; }

  // Matvec: sums that a block leaves for its neighbour, and flags, 0 between launches.
  float* boundary_sums() const { return boundary_sums_; }
  uint32_t* boundary_flags() const { return boundary_flags_; }

  // Matvec, streamed: a counter of claimed tiles, 0 between launches and another one for every
  // launch.
  uint32_t* NextClaims() { return stream_claims_ + stream_turn_++ % kStreamClaims; }

  // Decode attention: what splits of the context leave for the last one, and counters, 0 between
  // launches.
  float* attention_partials() const { return attention_partials_; }
  uint32_t* attention_counters() const { return attention_counters_; }

  // Gemm: sums that blocks leave for the one that has a tile's first columns, and flags, 0 between
  // launches. None where limits().gemm_bytes is 0.
  float* gemm_partials() const { return gemm_partials_; }
  uint32_t* gemm_flags() const { return gemm_flags_; }

  // Sample: histograms and a grid barrier (sample_params.h).
  SampleState* sample_state() const { return sample_state_; }

 private:
  DeviceBuffer memory_;
  Limits limits_;
  float* boundary_sums_ = nullptr;
  uint32_t* boundary_flags_ = nullptr;
  uint32_t* stream_claims_ = nullptr;
  unsigned stream_turn_ = 0;
  float* attention_partials_ = nullptr;
  uint32_t* attention_counters_ = nullptr;
  SampleState* sample_state_ = nullptr;
  float* gemm_partials_ = nullptr;
  uint32_t* gemm_flags_ = nullptr;
};

struct Context {
  Device device;
  Stream stream = nullptr;
  Workspace* workspace = nullptr;
  // Let each kernel start while the one before it ends (programmatic dependent launch, compute
  // capability 9.0): it fills its shared memory with weights meanwhile. Every kernel of the stream
  // must then be one of this folder.
  bool overlap = false;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_CONTEXT_H_
