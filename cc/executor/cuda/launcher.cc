#include "cc/executor/cuda/launcher.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/attention/attention.h"
#include "cc/kernels/cuda/product/product.h"
#include "cc/kernels/cuda/sampling/sample.h"

namespace gemma {
absl::Status CudaLauncher::Launch(const FusedStep& step, const FusedStep* next) const {
  const cuda::Prefetch prefetch = next == nullptr ? cuda::Prefetch{} : PrefetchFor(*next);
  const absl::Status status =
      std::visit([&](const auto& op) { return Run(op, prefetch); }, step.operation);
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("step ", step.name, ": ", status.message()));
}

void* CudaLauncher::Address(const CudaOperand& operand) const {
  if (operand.buffer == kAbsent) return nullptr;
  const CudaBuffer& buffer = fused_.buffers[operand.buffer];
  const size_t row = static_cast<size_t>(buffer.columns) * ElementBytes(buffer);
  const size_t skipped = operand.last_row && !buffer.one_row ? static_cast<size_t>(tokens_ - 1) : 0;
  return model_.activations + fused_.places[operand.buffer].offset + skipped * row;
}

cuda::Activations CudaLauncher::Get(const CudaOperand& operand) const {
  if (operand.buffer == kAbsent) return {};
  return {Address(operand), NumberOf(operand)};
}

const float* CudaLauncher::Vector(Index index) const {
  return index == kAbsent ? nullptr : reinterpret_cast<const float*>(Weight(index).data);
}

absl::Status CudaLauncher::Run(const CudaEmbed& op, const cuda::Prefetch&) const {
  cuda::EmbedParams params;
  params.ids = fused_.one_token ? &session_.step()->token : model_.buffers.ids;
  params.tokens = tokens_;
  params.scale = op.scale;
  params.out = Floats(op.out);
  return cuda::RunEmbed(Weight(op.weight), params, context_);
}

absl::Status CudaLauncher::Run(const CudaNorm& op, const cuda::Prefetch&) const {
  const CudaOperand& in = op.branch.buffer != kAbsent ? op.branch : op.x;
  cuda::NormParams params;
  params.x = Floats(op.x);
  params.branch = Get(op.branch);
  params.branch_weight = Vector(op.branch_weight);
  params.scalar = Vector(op.scalar);
  params.x_out = Floats(op.sum);
  params.weight = Vector(op.weight);
  params.out = Get(op.out);
  params.rows = Rows(in) * (Columns(in) / op.width);
  params.columns = static_cast<int32_t>(op.width);
  params.epsilon = op.epsilon;
  return cuda::RunNorm(params, context_);
}

cuda::Product CudaLauncher::Product(const CudaLinear& op, int64_t rows) const {
  cuda::Product product;
  product.tokens = rows;
  product.in = op.fused_norm ? nullptr : Halves(op.in);
  product.in_number = op.fused_norm ? fused_.input_number : NumberOf(op.in);
  for (size_t i = 0; i < op.weights.size(); ++i) {
    product.outputs.push_back(
        {Weight(op.weights[i]), i < op.outs.size() ? Address(op.outs[i]) : nullptr});
  }
  product.gated = op.gated;
  product.out_number = NumberOf(op.outs[0]);
  product.softcap = op.softcap;
  return product;
}

cuda::Prefetch CudaLauncher::PrefetchFor(const FusedStep& next) const {
  if (const auto* linear = std::get_if<CudaLinear>(&next.operation))
    return cuda::FirstWeightsOf(Product(*linear, 1));
  cuda::Prefetch prefetch;
  const auto* attention = std::get_if<CudaAttention>(&next.operation);
  const bool looks_on = attention != nullptr || std::holds_alternative<CudaNorm>(next.operation);
  if (looks_on && &next != &fused_.steps.back()) prefetch = PrefetchFor((&next)[1]);
  if (attention != nullptr) prefetch.cache = cuda::VisibleCacheOf(Attention(*attention).prepare);
  return prefetch;
}

absl::Status CudaLauncher::Run(const CudaLinear& op, const cuda::Prefetch& prefetch) const {
  const int64_t rows = Rows(op.fused_norm ? op.norm.x : op.in);
  cuda::Product product = Product(op, rows);
  if (op.fused_norm) {
    product.norm = {Floats(op.norm.x),      Floats(op.norm.branch), Vector(op.norm.branch_weight),
                    Vector(op.norm.scalar), Vector(op.norm.weight), Floats(op.norm.sum),
                    op.norm.epsilon};
  }
  product.prefetch = prefetch;
  return cuda::RunProduct(product, context_);
}

cuda::Attention CudaLauncher::Attention(const CudaAttention& op) const {
  cuda::Attention attention;
  cuda::PrepareParams& prepare = attention.prepare;
  prepare.q = Floats(op.q);
  prepare.k = Floats(op.k);
  prepare.v = Floats(op.v);
  prepare.q_norm = Vector(op.prepare.q_norm);
  prepare.k_norm = Vector(op.prepare.k_norm);
  prepare.frequencies = Vector(op.prepare.frequencies);
  prepare.normalize_v = op.prepare.normalize_v;
  prepare.epsilon = op.prepare.epsilon;
  prepare.heads = static_cast<int32_t>(op.prepare.heads);
  prepare.tokens = static_cast<int32_t>(tokens_);
  prepare.start = &session_.step()->position;
  prepare.cache = session_.cache(model_.cache_slots[op.prepare.cache]);
  attention.scale = op.scale;
  attention.out = Halves(op.out);
  attention.queries = Halves(op.queries);
  attention.max_context = fused_.plan->max_context;
  return attention;
}

absl::Status CudaLauncher::Run(const CudaAttention& op, const cuda::Prefetch& prefetch) const {
  cuda::Attention attention = Attention(op);
  attention.prefetch = prefetch;
  return cuda::RunAttention(attention, context_);
}

absl::Status CudaLauncher::Run(const CudaPointwise& op, const cuda::Prefetch&) const {
  cuda::PointwiseParams params;
  switch (op.kind) {
    case CudaPointwise::Kind::kGatedGelu:
      params.operation = cuda::Pointwise::kGatedGelu;
      break;
    case CudaPointwise::Kind::kAdd:
      params.operation = cuda::Pointwise::kAdd;
      break;
    case CudaPointwise::Kind::kSoftcap:
      params.operation = cuda::Pointwise::kSoftcap;
      break;
  }
  params.a = Get(op.a);
  params.b = Get(op.b);
  params.out = Get(op.out);
  params.size = Rows(op.a) * Columns(op.a);
  params.columns = Columns(op.a);
  params.cap = op.cap;
  return cuda::RunPointwise(params, context_);
}

const float* CudaLauncher::DrawnLogits() const {
  const auto* sample = std::get_if<CudaSample>(&fused_.steps.back().operation);
  return sample == nullptr ? nullptr : Floats(sample->logits);
}

absl::Status CudaLauncher::Run(const CudaSample& op, const cuda::Prefetch&) const {
  cuda::StepState* const step = session_.step();
  float* const logits = Floats(op.logits);
  const int64_t vocab = Columns(op.logits);
  GEMMA_RETURN_IF_ERROR(cuda::RunSample(logits, vocab, model_.buffers.suppressed, &step->request,
                                        &step->token, context_));
  return cuda::ToStatus(cuda::LaunchFinishStep({logits, static_cast<int32_t>(vocab),
                                                static_cast<int32_t>(tokens_), step},
                                               context_.launch()),
                        "cannot end a step");
}

absl::Status CudaLauncher::Run(const CudaScore& op, const cuda::Prefetch&) const {
  const int64_t vocab = fused_.plan->vocab_size;
  const CudaCallBuffers& buffers = model_.buffers;
  for (int64_t first = 0; first < tokens_; first += kCudaScoreRows) {
    const int64_t rows = std::min(kCudaScoreRows, tokens_ - first);
    cuda::Product head;
    head.tokens = rows;
    head.in_number = NumberOf(op.in);
    head.in = Halves(op.in) + cuda::RowsOf(head.in_number) * first * Columns(op.in);
    head.outputs = {{Weight(op.weight), buffers.logits}};
    head.softcap = op.softcap;
    GEMMA_RETURN_IF_ERROR(cuda::RunProduct(head, context_));
    cuda::ScoreParams score;
    score.logits = buffers.logits;
    score.targets = buffers.targets + first;
    score.tokens = static_cast<int32_t>(rows);
    score.vocab = static_cast<int32_t>(vocab);
    score.top = static_cast<int32_t>(op.top);
    score.logprobs = buffers.logprobs + first;
    score.top_ids = buffers.top_ids + first * op.top;
    score.top_logprobs = buffers.top_logprobs + first * op.top;
    GEMMA_RETURN_IF_ERROR(cuda::RunScore(score, context_));
  }
  return absl::OkStatus();
}

}  // namespace gemma
