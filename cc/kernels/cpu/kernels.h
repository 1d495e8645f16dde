// The CPU kernels. A kernel is a function that does one slice of an operation (operations.h) and
// never waits: all threads of a region call it, and the caller puts a barrier before whatever reads
// its output. Results do not depend on the number of threads.
//
// The same code is compiled for several instruction sets; BestKernels() picks the best one that
// this machine has.
#ifndef CC_KERNELS_CPU_KERNELS_H_
#define CC_KERNELS_CPU_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/base/host_memory.h"
#include "cc/kernels/cpu/thread_pool.h"
#include "cc/kernels/operations.h"

namespace gemma::cpu {

enum class Isa {
  kPortable,
  kAvx2,
  kAvx512,
  kAmx,        // AVX-512, and products of many tokens on AMX's bfloat16 tiles
  kTileModel,  // kAmx's schedule on a model of the tiles, for any machine; tests alone
};

absl::string_view IsaName(Isa isa);  // "portable", "AVX2", "AVX-512", "AMX", "tile model"

// A token that `sample` may draw.
struct Candidate {
  float logit;
  int32_t id;
};

// Memory that a kernel needs beside its operands, taken once for the largest call.
class Workspace {
 public:
  struct Limits {
    int threads = 1;
    int64_t max_tokens = 1;
    int64_t max_columns = 1;  // of any linear's input
    int64_t max_heads = 1;    // of any attention
    int64_t max_head_dim = 1;
    int64_t max_vocab = 1;  // of `sample`
  };

  // The bytes that Create takes; OutOfRange when they do not fit 64 bits.
  static absl::StatusOr<uint64_t> Bytes(const Limits& limits);
  // ResourceExhausted, with the number of bytes, when there is not enough memory.
  static absl::StatusOr<Workspace> Create(const Limits& limits);

  float* packed_input() const { return packed_input_; }
  float* attention_parts() const { return attention_parts_; }
  Candidate* candidates() const { return candidates_; }
  float* thread_scratch(int index) const { return thread_scratch_ + index * thread_floats_; }

 private:
  HostMemory memory_;
  float* packed_input_ = nullptr;     // a linear's input, as its inner loop reads it
  float* attention_parts_ = nullptr;  // softmax sums of pieces of the context
  Candidate* candidates_ = nullptr;   // [max_vocab]
  float* thread_scratch_ = nullptr;   // [threads][thread_floats_]
  size_t thread_floats_ = 0;
};

// True when `pack_input` must run (and a barrier follow) before `linear`.
inline bool LinearPacksInput(int64_t tokens) { return tokens > kMaxDecodeTokens; }

// The number of pieces into which `attention` cuts the context; above 1, a barrier and
// `merge_attention` must follow.
int64_t AttentionParts(const Attention& op);

struct Kernels {
  Isa isa;

  void (*embed)(const Embed&, const Workspace&, Slice);
  void (*rms_norm)(const RmsNorm&, Slice);

  // All linears that share one input share its packing:
  //   if (LinearPacksInput(tokens)) { pack_input(in, tokens, columns, workspace, slice); barrier }
  //   linear(a, workspace, slice); linear(b, workspace, slice); barrier
  void (*pack_input)(const float* in, int64_t tokens, int64_t columns, const Workspace&, Slice);
  // claims: of its rows; null: every thread has its share of them.
  void (*linear)(const Linear&, const Workspace&, Slice, Claims* claims);

  void (*prepare_attention)(const PrepareAttention&, Slice);
  //   attention(op, workspace, slice); barrier
  //   if (AttentionParts(op) > 1) { merge_attention(op, workspace, slice); barrier }
  void (*attention)(const Attention&, const Workspace&, Slice);
  void (*merge_attention)(const Attention&, const Workspace&, Slice);

  void (*gated_gelu)(const GatedGelu&, Slice);
  void (*add)(const Add&, Slice);
  void (*softcap)(const Softcap&, Slice);
  void (*score)(const Score&, Slice);

  // One thread; the others need not call it.
  int64_t (*sample)(const Sample&, const Workspace&);

  // The sum of `count` floats (a multiple of 128), read as quickly as memory gives them. One
  // thread; to measure with.
  float (*read)(const float* numbers, int64_t count);
};

// The best set for this machine, found by cpuid once.
const Kernels& BestKernels();

// All sets that this machine can run, portable first. For tests and benchmarks.
std::vector<const Kernels*> AvailableKernels();

}  // namespace gemma::cpu

#endif  // CC_KERNELS_CPU_KERNELS_H_
