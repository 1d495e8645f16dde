#include "cc/executor/cuda/fusion.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"
#include "cc/executor/cuda/step_order.h"
#include "cc/kernels/cuda/attention/attention.h"
#include "cc/kernels/cuda/product/product.h"
#include "cc/kernels/cuda/sampling/sample.h"

namespace gemma {
namespace {

template <typename... Parts>
absl::Status CannotRun(const PlanStep& step, const Parts&... parts) {
  return absl::UnimplementedError(absl::StrCat("the CUDA kernels cannot run step ", step.name, ": ",
                                               parts..., " (use --device cpu)"));
}

// The last row is a view, not a copy: a value after SelectLast is the operand before it.
class Fuser {
 public:
  Fuser(const Plan& plan, bool one_token, const std::vector<cuda::DeviceCache>& caches,
        const cuda::Device& device)
      : device_(device), caches_(caches), steps_(plan), operands_(plan.values.size()) {
    fused_.plan = &plan;
    fused_.one_token = one_token;
    fused_.input_number = plan.activations == ActivationPrecision::kFloat16Pairs
                              ? cuda::Number::kFloat16Pair
                              : cuda::Number::kFloat16;
  }

  absl::StatusOr<FusedPlan> Fuse() {
    while (at_ < steps_.size()) {
      const PlanStep& step = steps_[at_];
      GEMMA_RETURN_IF_ERROR(
          std::visit([&](const auto& s) { return Add(step, s); }, step.operation));
    }
    return std::move(fused_);
  }

 private:
  const Plan& plan() const { return *fused_.plan; }

  // Whether a SelectLast that takes `value` comes next, and every row is the last one.
  bool LooksThroughSelect(Index value) const {
    const auto* select = steps_.Get<SelectLastStep>(at_ + 1);
    return fused_.one_token && select != nullptr && select->in == value;
  }

  CudaOperand Read(Index value) const {
    return value == kAbsent ? CudaOperand{} : operands_[value];
  }

  CudaOperand NewBuffer(const CudaBuffer& buffer) {
    fused_.buffers.push_back(buffer);
    return {static_cast<Index>(fused_.buffers.size() - 1), false};
  }

  // A value that is written gets a buffer of its own.
  CudaOperand Write(Index value, cuda::Number number, bool one_row) {
    operands_[value] = NewBuffer({plan().values[value].columns, one_row, number});
    return operands_[value];
  }
  CudaOperand Write(Index value, bool one_row) {
    return Write(value, cuda::Number::kFloat32, one_row);
  }

  // How a value that step `step` and those after it read is stored:
  // in 16 bits where a product does.
  cuda::Number NumberFor(Index value, size_t step) const {
    return steps_.FeedsProduct(value, step) ? fused_.input_number : cuda::Number::kFloat32;
  }

  bool IsHalf(const CudaOperand& operand) const {
    return cuda::IsHalf(fused_.buffers[operand.buffer].number);
  }
  bool IsOneRow(const CudaOperand& operand) const { return fused_.Rows(operand, 2) == 1; }

  void Append(const PlanStep& step, CudaOperation operation, size_t next) {
    fused_.steps.push_back({step.name, std::move(operation), at_ > steps_.select()});
    at_ = next;
  }

  absl::Status Add(const PlanStep& step, const EmbedStep& s) {
    Append(step, CudaEmbed{s.weight, s.scale, Write(s.out, /*one_row=*/false)}, at_ + 1);
    return absl::OkStatus();
  }

  absl::Status Add(const PlanStep& step, const RmsNormStep& s) {
    CudaNorm norm;
    norm.width = s.width;
    norm.epsilon = s.epsilon;
    const CudaOperand in = Read(s.in);
    if (IsHalf(in)) return CannotRun(step, "it normalizes an input of a product");
    if (s.add == kAbsent && s.scalar == kAbsent) {
      norm.x = in;
      norm.weight = s.weight;
      norm.out = Write(s.out, NumberFor(s.out, at_ + 1), IsOneRow(in));
      return AddNorm(step, s.out, norm, at_ + 1);
    }
    norm.branch = in;
    norm.branch_weight = s.weight;
    norm.x = Read(s.add);
    norm.scalar = s.scalar;
    return AddSum(step, s, norm);
  }

  // The residual sum, and with it the norm of its result if that comes next.
  absl::Status AddSum(const PlanStep& step, const RmsNormStep& s, CudaNorm norm) {
    const bool one_row = IsOneRow(norm.branch);
    norm.sum = Write(s.out, one_row);
    size_t following = at_ + 1;
    Index sum = s.out;
    if (LooksThroughSelect(s.out)) {
      const auto* select = steps_.Get<SelectLastStep>(following);
      Select(*select);
      sum = select->out;
      ++following;
    }
    const auto* next = steps_.Get<RmsNormStep>(following);
    if (next == nullptr || next->in != sum || next->add != kAbsent || next->scalar != kAbsent ||
        next->width != s.width || next->epsilon != s.epsilon ||
        s.width != plan().values[s.out].columns) {
      if (steps_.FeedsProduct(sum, following))
        return CannotRun(step, "a residual sum is the input of a product");
      Append(step, norm, following);
      return absl::OkStatus();
    }
    norm.weight = next->weight;
    norm.out = Write(next->out, NumberFor(next->out, following + 1), one_row);
    return AddNorm(steps_[following], next->out, norm, following + 1);
  }

  // A norm whose output is value `out`, on its own or within the product at `next`.
  absl::Status AddNorm(const PlanStep& step, Index out, const CudaNorm& norm, size_t next) {
    const auto* linear = steps_.Get<LinearStep>(next);
    const bool fuses = fused_.one_token && linear != nullptr && linear->in == out &&
                       steps_.IsDead(out, next + 1) && norm.width == plan().values[out].columns &&
                       CanFuse(*linear, next) &&
                       (norm.branch.buffer == kAbsent || norm.x.buffer != kAbsent);
    if (!fuses) {
      Append(step, norm, next);
      return absl::OkStatus();
    }
    at_ = next;
    CudaLinear fused;
    fused.fused_norm = true;
    fused.norm = norm;
    fused.norm.out = {};
    return AddLinear(steps_[next], *linear, std::move(fused));
  }

  // The product at `step` can compute a norm of its input.
  bool CanFuse(const LinearStep& linear, size_t step) const {
    cuda::Product op;
    op.tokens = 1;
    op.in_number = fused_.input_number;
    op.gated = linear.weights.size() == 2 && steps_.Get<GatedGeluStep>(step + 1) != nullptr;
    for (const Index weight : linear.weights) {
      WeightView view;
      view.shape = plan().weights[weight].shape;
      op.outputs.push_back({view, nullptr});
    }
    return cuda::CanFuseNorm(op, device_);
  }

  absl::Status Add(const PlanStep& step, const LinearStep& s) {
    CudaLinear linear;
    linear.in = Read(s.in);
    if (!IsHalf(linear.in))
      return CannotRun(step, "its input is not a norm's, attention's or gate's");
    return AddLinear(step, s, std::move(linear));
  }

  absl::Status AddLinear(const PlanStep& step, const LinearStep& s, CudaLinear linear) {
    if (s.weights.size() > cuda::kMaxProductOutputs)
      return CannotRun(step, s.weights.size(), " products of one input");
    linear.weights = s.weights;
    const bool one_row = IsOneRow(linear.fused_norm ? linear.norm.x : linear.in);
    const size_t following = at_ + 1;
    if (const auto* gelu = steps_.Get<GatedGeluStep>(following);
        gelu != nullptr && s.outs.size() == 2 && gelu->gate == s.outs[0] && gelu->up == s.outs[1] &&
        steps_.AreDead(s.outs, gelu->out, following + 1)) {
      linear.gated = true;
      linear.outs = {Write(gelu->out, NumberFor(gelu->out, following + 1), one_row)};
      Append(steps_[following], std::move(linear), following + 1);
      return absl::OkStatus();
    }
    if (const auto* cap = steps_.Get<SoftcapStep>(following);
        cap != nullptr && s.outs.size() == 1 && cap->in == s.outs[0] &&
        steps_.AreDead(s.outs, cap->out, following + 1)) {
      linear.softcap = cap->cap;
      linear.outs = {Write(cap->out, one_row)};
      Append(steps_[following], std::move(linear), following + 1);
      return absl::OkStatus();
    }
    for (const Index out : s.outs) linear.outs.push_back(Write(out, one_row));
    Append(step, std::move(linear), at_ + 1);
    return absl::OkStatus();
  }

  absl::Status Add(const PlanStep& step, const PrepareAttentionStep& s) {
    const size_t following = at_ + 1;
    const auto* attention = steps_.Get<AttentionStep>(following);
    if (attention == nullptr || attention->q != s.out || attention->cache != s.cache ||
        attention->heads != s.heads ||
        (attention->out != s.out && !steps_.IsDead(s.out, following + 1)))
      return CannotRun(step, "no attention with its queries and cache follows");
    const int64_t kv_heads = plan().caches[s.cache].kv_heads;
    if (kv_heads > cuda::kMaxKvHeads) {
      return CannotRun(step, "its cache has ", kv_heads, " key/value heads, more than ",
                       cuda::kMaxKvHeads);
    }
    CudaAttention op;
    op.prepare = s;
    op.scale = attention->scale;
    op.q = Read(s.q);
    op.k = Read(s.k);
    op.v = Read(s.v);
    const cuda::DeviceCache& cache = caches_[s.cache];
    op.queries = NewBuffer(
        {.columns = s.heads * cuda::ScoreColumns(cache), .number = cuda::Number::kFloat16});
    if (!steps_.FeedsProduct(attention->out, following + 1))
      return CannotRun(steps_[following], "its output is not the input of a product");
    op.out = Write(attention->out, cuda::AttentionOutput(cache), /*one_row=*/false);
    Append(steps_[following], op, following + 1);
    return absl::OkStatus();
  }

  absl::Status Add(const PlanStep& step, const AttentionStep&) {
    return CannotRun(step, "nothing prepares its queries");
  }

  absl::Status AddPointwise(const PlanStep& step, CudaPointwise op, Index out) {
    op.out = Write(out, NumberFor(out, at_ + 1), IsOneRow(op.a));
    Append(step, op, at_ + 1);
    return absl::OkStatus();
  }
  absl::Status Add(const PlanStep& step, const GatedGeluStep& s) {
    return AddPointwise(step, {CudaPointwise::Kind::kGatedGelu, Read(s.gate), Read(s.up), {}, 0},
                        s.out);
  }
  absl::Status Add(const PlanStep& step, const AddStep& s) {
    return AddPointwise(step, {CudaPointwise::Kind::kAdd, Read(s.a), Read(s.b), {}, 0}, s.out);
  }
  absl::Status Add(const PlanStep& step, const SoftcapStep& s) {
    return AddPointwise(step, {CudaPointwise::Kind::kSoftcap, Read(s.in), {}, {}, s.cap}, s.out);
  }

  void Select(const SelectLastStep& s) {
    CudaOperand operand = Read(s.in);
    operand.last_row = !fused_.one_token;
    operands_[s.out] = operand;
  }
  absl::Status Add(const PlanStep&, const SelectLastStep& s) {
    Select(s);
    ++at_;
    return absl::OkStatus();
  }

  absl::Status Add(const PlanStep& step, const SampleStep& s) {
    if (plan().vocab_size > cuda::kMaxSampledIds) {
      return CannotRun(step, "it draws from ", plan().vocab_size, " ids, more than ",
                       cuda::kMaxSampledIds);
    }
    Append(step, CudaSample{Read(s.logits)}, at_ + 1);
    return absl::OkStatus();
  }

  absl::Status Add(const PlanStep& step, const ScoreStep& s) {
    const CudaOperand in = Read(s.in);
    if (!IsHalf(in)) return CannotRun(step, "its input is not a norm's");
    Append(step, CudaScore{in, s.weight, s.softcap, s.top}, at_ + 1);
    return absl::OkStatus();
  }

  const cuda::Device& device_;
  const std::vector<cuda::DeviceCache>& caches_;
  const StepOrder steps_;
  FusedPlan fused_;
  size_t at_ = 0;                      // the step that is looked at
  std::vector<CudaOperand> operands_;  // by value of the plan, as of step at_
};

// ---- memory ----

struct OperandVisitor {
  std::vector<CudaOperand> operands;

  void Put(std::initializer_list<CudaOperand> more) {
    for (const CudaOperand& operand : more) {
      if (operand.buffer != kAbsent) operands.push_back(operand);
    }
  }
  void operator()(const CudaEmbed& op) { Put({op.out}); }
  void operator()(const CudaNorm& op) { Put({op.x, op.branch, op.sum, op.out}); }
  void operator()(const CudaLinear& op) {
    if (op.fused_norm) (*this)(op.norm);
    Put({op.in});
    for (const CudaOperand& out : op.outs) Put({out});
  }
  void operator()(const CudaAttention& op) { Put({op.q, op.k, op.v, op.queries, op.out}); }
  void operator()(const CudaPointwise& op) { Put({op.a, op.b, op.out}); }
  void operator()(const CudaSample& op) { Put({op.logits}); }
  void operator()(const CudaScore& op) { Put({op.in}); }
};

absl::Status PlaceBuffers(FusedPlan& fused) {
  const int64_t tokens = fused.one_token ? 1 : fused.plan->max_tokens;
  std::vector<BufferLifetime> lifetimes(fused.buffers.size());
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    const CudaBuffer& buffer = fused.buffers[i];
    GEMMA_ASSIGN_OR_RETURN(lifetimes[i].size,
                           CheckedMul<uint64_t>(static_cast<uint64_t>(buffer.one_row ? 1 : tokens) *
                                                    ElementBytes(buffer),
                                                static_cast<uint64_t>(buffer.columns)));
  }
  for (size_t step = 0; step < fused.steps.size(); ++step) {
    OperandVisitor visitor;
    std::visit(visitor, fused.steps[step].operation);
    for (const CudaOperand& operand : visitor.operands) lifetimes[operand.buffer].Touch(step);
  }
  GEMMA_ASSIGN_OR_RETURN(fused.places, PlaceLifetimes(std::move(lifetimes), /*alignment=*/256));
  for (const MemoryRange& place : fused.places)
    fused.bytes = std::max(fused.bytes, place.offset + place.size);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FusedPlan> FusePlan(const Plan& plan, bool one_token,
                                   const std::vector<cuda::DeviceCache>& caches,
                                   const cuda::Device& device) {
  GEMMA_ASSIGN_OR_RETURN(FusedPlan fused, Fuser(plan, one_token, caches, device).Fuse());
  GEMMA_RETURN_IF_ERROR(PlaceBuffers(fused));
  return fused;
}

}  // namespace gemma
