#include "cc/plan/testing/plan_writer.h"

#include <utility>
#include <variant>
#include <vector>

#include "cc/plan/plan_generated.h"

namespace gemma {
namespace {

using Builder = flatbuffers::FlatBufferBuilder;
using Union = std::pair<plan::Operation, flatbuffers::Offset<void>>;

// Writes each operation and says which of the union's types it is.
struct OperationWriter {
  Builder& builder;

  Union operator()(const EmbedStep& s) const {
    return {plan::Operation::Embed, plan::CreateEmbed(builder, s.weight, s.scale, s.out).Union()};
  }
  Union operator()(const RmsNormStep& s) const {
    const auto width = static_cast<uint32_t>(s.width);
    return {plan::Operation::RmsNorm,
            plan::CreateRmsNorm(builder, s.in, s.weight, width, s.epsilon, s.add, s.scalar, s.out)
                .Union()};
  }
  Union operator()(const LinearStep& s) const {
    return {plan::Operation::Linear,
            plan::CreateLinearDirect(builder, s.in, &s.weights, &s.outs).Union()};
  }
  Union operator()(const PrepareAttentionStep& s) const {
    return {plan::Operation::PrepareAttention,
            plan::CreatePrepareAttention(builder, s.q, s.k, s.v, s.q_norm, s.k_norm, s.normalize_v,
                                         s.epsilon, s.frequencies, static_cast<uint32_t>(s.heads),
                                         s.cache, s.out)
                .Union()};
  }
  Union operator()(const AttentionStep& s) const {
    const auto heads = static_cast<uint32_t>(s.heads);
    return {plan::Operation::Attention,
            plan::CreateAttention(builder, s.q, s.cache, heads, s.scale, s.out).Union()};
  }
  Union operator()(const GatedGeluStep& s) const {
    return {plan::Operation::GatedGelu,
            plan::CreateGatedGelu(builder, s.gate, s.up, s.out).Union()};
  }
  Union operator()(const AddStep& s) const {
    return {plan::Operation::Add, plan::CreateAdd(builder, s.a, s.b, s.out).Union()};
  }
  Union operator()(const SelectLastStep& s) const {
    return {plan::Operation::SelectLast, plan::CreateSelectLast(builder, s.in, s.out).Union()};
  }
  Union operator()(const SoftcapStep& s) const {
    return {plan::Operation::Softcap, plan::CreateSoftcap(builder, s.in, s.cap, s.out).Union()};
  }
  Union operator()(const SampleStep& s) const {
    return {plan::Operation::Sample, plan::CreateSample(builder, s.logits).Union()};
  }
  Union operator()(const ScoreStep& s) const {
    const auto top = static_cast<uint32_t>(s.top);
    return {plan::Operation::Score,
            plan::CreateScore(builder, s.in, s.weight, s.softcap, top).Union()};
  }
};

flatbuffers::Offset<plan::Weight> Write(Builder& builder, const PlanWeight& weight) {
  return plan::CreateWeightDirect(builder, weight.name.c_str(), weight.data_key.c_str(),
                                  static_cast<plan::Layout>(weight.shape.layout), weight.shape.rows,
                                  weight.shape.columns, weight.shape.group, weight.bytes);
}

flatbuffers::Offset<plan::Cache> Write(Builder& builder, const PlanCache& cache) {
  return plan::CreateCacheDirect(
      builder, cache.name.c_str(), static_cast<uint32_t>(cache.kv_heads),
      static_cast<uint32_t>(cache.head_dim), static_cast<uint32_t>(cache.capacity),
      static_cast<uint32_t>(cache.window), static_cast<plan::DType>(cache.type));
}

flatbuffers::Offset<plan::Value> Write(Builder& builder, const PlanValue& value) {
  return plan::CreateValueDirect(builder, value.name.c_str(), static_cast<uint32_t>(value.columns),
                                 value.one_row ? plan::Rows::ONE : plan::Rows::TOKENS);
}

flatbuffers::Offset<plan::Step> Write(Builder& builder, const PlanStep& step) {
  const auto [type, operation] = std::visit(OperationWriter{builder}, step.operation);
  return plan::CreateStepDirect(builder, step.name.c_str(), type, operation);
}

template <typename Table, typename Entry>
std::vector<flatbuffers::Offset<Table>> WriteAll(Builder& builder,
                                                 const std::vector<Entry>& entries) {
  std::vector<flatbuffers::Offset<Table>> offsets;
  for (const Entry& entry : entries) offsets.push_back(Write(builder, entry));
  return offsets;
}

}  // namespace

std::string WritePlan(const Plan& plan, uint32_t version) {
  Builder builder;
  const auto weights = WriteAll<plan::Weight>(builder, plan.weights);
  const auto caches = WriteAll<plan::Cache>(builder, plan.caches);
  const auto values = WriteAll<plan::Value>(builder, plan.values);
  const auto steps = WriteAll<plan::Step>(builder, plan.steps);
  const std::string method(PlanMethodName(plan.method));
  plan::FinishPlanBuffer(
      builder, plan::CreatePlanDirect(
                   builder, version, plan.model.c_str(), method.c_str(),
                   static_cast<uint32_t>(plan.vocab_size), static_cast<uint32_t>(plan.max_tokens),
                   static_cast<uint32_t>(plan.max_context), &weights, &caches, &values, &steps,
                   static_cast<plan::ActivationPrecision>(plan.activations)));
  return std::string(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
}

}  // namespace gemma
