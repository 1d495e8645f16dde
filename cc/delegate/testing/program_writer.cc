#include "cc/delegate/testing/program_writer.h"

#include <cstring>
#include <utility>

#include "cc/plan/testing/plan_writer.h"
#include "third_party/executorch/program_generated.h"

namespace gemma {
namespace {

namespace pte = executorch_flatbuffer;
using Builder = flatbuffers::FlatBufferBuilder;

constexpr uint64_t kAlignment = 128;
constexpr uint64_t kHeaderBytes = 64;  // 32, padded so that the FlatBuffers keep their alignment

uint64_t RoundUp(uint64_t number) { return (number + kAlignment - 1) / kAlignment * kAlignment; }

void AppendNumber(uint64_t number, size_t bytes, std::string& to) {
  to.append(reinterpret_cast<const char*>(&number), bytes);
}

// Gives tensors their places in the method's planned memory, one after another.
class TensorWriter {
 public:
  explicit TensorWriter(Builder& builder) : builder_(builder) {}

  flatbuffers::Offset<pte::EValue> Write(const TestTensorSpec& tensor) {
    std::vector<uint8_t> order;
    uint64_t bytes = tensor.floating ? 4 : 8;
    for (const int32_t size : tensor.sizes) {
      order.push_back(static_cast<uint8_t>(order.size()));
      bytes *= static_cast<uint64_t>(size);
    }
    const auto place =
        pte::CreateAllocationDetails(builder_, 1, static_cast<uint32_t>(planned_), 0);
    planned_ += RoundUp(bytes);
    const auto written = pte::CreateTensorDirect(
        builder_, tensor.floating ? pte::ScalarType::FLOAT : pte::ScalarType::LONG, 0,
        &tensor.sizes, &order, false, 0, place, 0,
        tensor.dynamic ? pte::TensorShapeDynamism::DYNAMIC_BOUND
                       : pte::TensorShapeDynamism::STATIC);
    return pte::CreateEValue(builder_, pte::KernelTypes::Tensor, written.Union());
  }

  uint64_t planned() const { return planned_; }

 private:
  Builder& builder_;
  uint64_t planned_ = 0;
};

// As exir's emitter writes a constant method: its values are its outputs.
flatbuffers::Offset<pte::ExecutionPlan> WriteConstants(Builder& builder, const TestMethod& method) {
  std::vector<flatbuffers::Offset<pte::EValue>> values;
  std::vector<int32_t> outputs;
  for (const int64_t number : method.constants) {
    outputs.push_back(static_cast<int32_t>(values.size()));
    values.push_back(method.boolean
                         ? pte::CreateEValue(builder, pte::KernelTypes::Bool,
                                             pte::CreateBool(builder, number != 0).Union())
                         : pte::CreateEValue(builder, pte::KernelTypes::Int,
                                             pte::CreateInt(builder, number).Union()));
  }
  const std::vector<int32_t> inputs;
  const std::vector<flatbuffers::Offset<pte::Instruction>> instructions;
  const std::vector<flatbuffers::Offset<pte::Chain>> chains = {
      pte::CreateChainDirect(builder, &inputs, &inputs, &instructions)};
  const std::vector<flatbuffers::Offset<pte::Operator>> operators;
  const std::vector<flatbuffers::Offset<pte::BackendDelegate>> delegates;
  const std::vector<int64_t> planned = {0};
  return pte::CreateExecutionPlanDirect(builder, method.name.c_str(), 0, &values, &inputs, &outputs,
                                        &chains, &operators, &delegates, &planned);
}

flatbuffers::Offset<pte::ExecutionPlan> WriteMethod(Builder& builder, const TestMethod& method,
                                                    uint32_t segment) {
  TensorWriter tensors(builder);
  std::vector<flatbuffers::Offset<pte::EValue>> values;
  std::vector<int32_t> inputs;
  std::vector<int32_t> outputs;
  for (const TestTensorSpec& tensor : method.inputs) {
    inputs.push_back(static_cast<int32_t>(values.size()));
    values.push_back(tensors.Write(tensor));
  }
  for (const TestTensorSpec& tensor : method.outputs) {
    outputs.push_back(static_cast<int32_t>(values.size()));
    values.push_back(tensors.Write(tensor));
  }
  std::vector<int32_t> args = inputs;
  args.insert(args.end(), outputs.begin(), outputs.end());
  std::vector<flatbuffers::Offset<pte::Instruction>> instructions;
  for (int i = 0; i < method.calls; ++i) {
    const auto call = pte::CreateDelegateCallDirect(builder, 0, &args);
    instructions.push_back(
        pte::CreateInstruction(builder, pte::InstructionArguments::DelegateCall, call.Union()));
  }
  const std::vector<flatbuffers::Offset<pte::Chain>> chains = {
      pte::CreateChainDirect(builder, &inputs, &outputs, &instructions)};
  const std::vector<flatbuffers::Offset<pte::Operator>> operators;
  const std::vector<flatbuffers::Offset<pte::CompileSpec>> specs;
  const auto data =
      pte::CreateBackendDelegateDataReference(builder, pte::DataLocation::SEGMENT, segment);
  const std::vector<flatbuffers::Offset<pte::BackendDelegate>> delegates = {
      pte::CreateBackendDelegateDirect(builder, method.delegate_id.c_str(), data, &specs)};
  const std::vector<int64_t> planned = {0, static_cast<int64_t>(tensors.planned())};
  return pte::CreateExecutionPlanDirect(builder, method.name.c_str(), 0, &values, &inputs, &outputs,
                                        &chains, &operators, &delegates, &planned);
}

}  // namespace

TestMethod MakeTestMethod(const Plan& plan) {
  TestMethod method;
  method.name = std::string(PlanMethodName(plan.method));
  method.payload = WritePlan(plan);
  const auto tokens = static_cast<int32_t>(plan.max_tokens);
  const TestTensorSpec ids = {false, {1, tokens}, tokens > 1};
  const TestTensorSpec number = {false, {1}, false};
  if (plan.method == PlanMethod::kScore) {
    const auto top = static_cast<int32_t>(plan.ScoreTop());
    method.inputs = {ids, number, ids};
    method.outputs = {
        {true, {1, tokens}, true}, {false, {1, tokens, top}, true}, {true, {1, tokens, top}, true}};
  } else {
    method.inputs = {ids, number, number, {true, {4}, false}, number};
    method.outputs = {{false, {1, 1}, false}};
  }
  return method;
}

TestMethod MakeConstantMethod(const std::string& name, const std::vector<int64_t>& constants,
                              bool boolean) {
  TestMethod method;
  method.name = name;
  method.constants = constants;
  method.boolean = boolean;
  return method;
}

std::string WriteProgram(const std::vector<TestMethod>& methods) {
  Builder builder;
  std::vector<flatbuffers::Offset<pte::ExecutionPlan>> plans;
  std::vector<flatbuffers::Offset<pte::DataSegment>> segments;
  std::string payloads;
  for (const TestMethod& method : methods) {
    if (!method.constants.empty()) {
      plans.push_back(WriteConstants(builder, method));
      continue;
    }
    plans.push_back(WriteMethod(builder, method, static_cast<uint32_t>(segments.size())));
    payloads.resize(RoundUp(payloads.size()));
    segments.push_back(pte::CreateDataSegment(builder, payloads.size(), method.payload.size()));
    payloads += method.payload;
  }
  const std::vector<uint64_t> no_constants = {0};
  const auto constants = pte::CreateSubsegmentOffsetsDirect(builder, 0, &no_constants);
  builder.Finish(
      pte::CreateProgramDirect(builder, 0, &plans, nullptr, nullptr, &segments, constants), "ET12");
  const std::string program(reinterpret_cast<const char*>(builder.GetBufferPointer()),
                            builder.GetSize());

  const uint64_t start = RoundUp(program.size() + kHeaderBytes);
  uint32_t root = 0;
  std::memcpy(&root, program.data(), sizeof(root));
  std::string file;
  AppendNumber(root + kHeaderBytes, 4, file);
  file += program.substr(4, 4);
  file += "eh00";
  AppendNumber(32, 4, file);
  AppendNumber(program.size() + kHeaderBytes, 8, file);
  AppendNumber(start, 8, file);
  AppendNumber(payloads.size(), 8, file);
  file.resize(8 + kHeaderBytes);
  file += program.substr(8);
  file.resize(start);
  return file + payloads;
}

}  // namespace gemma
