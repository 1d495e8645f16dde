// A plan's steps as the fused operations that the CUDA kernels run, over buffers in device memory.
// Pure data: nothing here touches a device.
//
// What is fused: two norms around a residual sum into one; a norm into the product that follows it
// (one token); projections of one input; gelu(gate) * up into gate and up's product;
// a softcap into the head; the preparation of queries, keys and values into attention.
// What is stored in 16 bits (activation.h): inputs of products,
// as pairs where the plan asks for that precision (attention's output, where its caches are pairs).
// Everything else is float32.
//
// There are two fused plans for a plan: one for calls of one token, in which the last row is the
// only one, and one for all others.
#ifndef CC_EXECUTOR_CUDA_FUSION_H_
#define CC_EXECUTOR_CUDA_FUSION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/product/product.h"
#include "cc/kernels/cuda/runtime/device.h"
#include "cc/plan/activation_memory.h"
#include "cc/plan/plan.h"

namespace gemma {

// One activation; an index into FusedPlan::buffers, or kAbsent.
struct CudaOperand {
  Index buffer = kAbsent;
  bool last_row = false;  // of as many rows as the call has tokens
};

struct CudaBuffer {
  int64_t columns = 0;
  bool one_row = false;  // instead of one a token
  cuda::Number number = cuda::Number::kFloat32;
};

// Bytes of one of its numbers.
inline size_t ElementBytes(const CudaBuffer& buffer) {
  return buffer.number == cuda::Number::kFloat16 ? sizeof(uint16_t) : sizeof(float);
}

struct CudaEmbed {
  Index weight = kAbsent;
  float scale = 1;
  CudaOperand out;
};

// sum = (x + norm(branch) * branch_weight) * scalar;  out = norm(sum) * weight. See NormParams.
struct CudaNorm {
  CudaOperand x;       // absent: zeros
  CudaOperand branch;  // absent: sum = x
  Index branch_weight = kAbsent;
  Index scalar = kAbsent;
  CudaOperand sum;  // absent: not kept
  Index weight = kAbsent;
  CudaOperand out;  // absent: sum alone
  int64_t width = 0;
  float epsilon = 0;
};

struct CudaLinear {
  bool fused_norm = false;
  CudaNorm norm;   // computes the input, where fused_norm
  CudaOperand in;  // otherwise
  std::vector<Index> weights;
  std::vector<CudaOperand> outs;  // as many as weights; one when gated
  bool gated = false;
  float softcap = 0;
};

struct CudaAttention {
  PrepareAttentionStep prepare;  // its weights, cache and numbers; not its values
  float scale = 1;
  CudaOperand q, k, v;  // v absent: values come from k
  CudaOperand queries;  // room for prepared ones, where a kernel of its own prepares them
  CudaOperand out;
};

struct CudaPointwise {
  enum class Kind { kGatedGelu, kAdd, kSoftcap };
  Kind kind = Kind::kAdd;
  CudaOperand a, b, out;
  float cap = 0;
};

struct CudaSample {
  CudaOperand logits;
};

struct CudaScore {
  CudaOperand in;
  Index weight = kAbsent;
  float softcap = 0;
  int64_t top = 0;
};

using CudaOperation = std::variant<CudaEmbed, CudaNorm, CudaLinear, CudaAttention, CudaPointwise,
                                   CudaSample, CudaScore>;

struct FusedStep {
  std::string name;  // of the last plan step in it
  CudaOperation operation;
  bool emits = false;  // skipped when a call emits nothing
};

struct FusedPlan {
  const Plan* plan = nullptr;
  bool one_token = false;
  cuda::Number input_number = cuda::Number::kFloat16;  // of products, but for attention's output
  std::vector<CudaBuffer> buffers;
  std::vector<FusedStep> steps;
  std::vector<MemoryRange> places;  // by buffer, for max_tokens
  uint64_t bytes = 0;               // of all places together

  int64_t Rows(const CudaOperand& operand, int64_t tokens) const {
    return operand.last_row || buffers[operand.buffer].one_row ? 1 : tokens;
  }
};

// `caches`: their shapes, by cache of the plan, without memory. Unimplemented names a step that the
// CUDA kernels cannot run. The plan must outlive the fused plan.
// `device` decides what can be fused.
absl::StatusOr<FusedPlan> FusePlan(const Plan& plan, bool one_token,
                                   const std::vector<cuda::DeviceCache>& caches,
                                   const cuda::Device& device);

}  // namespace gemma

#endif  // CC_EXECUTOR_CUDA_FUSION_H_
