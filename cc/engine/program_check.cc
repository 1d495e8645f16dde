#include "cc/engine/program_check.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"
#include "cc/engine/constant_methods.h"
#include "cc/engine/number_vector.h"
#include "cc/kernels/sampling_params.h"
#include "third_party/executorch/program_generated.h"

namespace gemma {
namespace {

namespace pte = executorch_flatbuffer;

// The file: root offset (4 bytes), "ET12", then a header in the middle of the FlatBuffers: "eh00",
// its length (4), the FlatBuffers' size (8), where the segments start (8) and how long they are
// (8). All numbers are little-endian.
constexpr size_t kPrefixBytes = 8;
constexpr size_t kHeaderBytes = 32;
constexpr size_t kMaxSegments = 1000;
constexpr size_t kMaxTensors = 16;
constexpr size_t kMaxDimensions = 3;
constexpr int64_t kMaxPlannedBytes = 256 << 20;
constexpr char kDelegate[] = "GemmaDelegate";

struct Header {
  uint64_t program_bytes = 0;
  uint64_t segments_offset = 0;
  uint64_t segments_bytes = 0;
};

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::StatusOr<Header> ReadHeader(std::span<const std::byte> bytes) {
  if (bytes.size() < kPrefixBytes + kHeaderBytes) {
    return Refuse("has ", bytes.size(), " bytes, fewer than the smallest .pte file");
  }
  if (std::memcmp(&bytes[4], "ET12", 4) != 0 || std::memcmp(&bytes[kPrefixBytes], "eh00", 4) != 0) {
    return Refuse("is not a .pte file (no ET12 at byte 4 and eh00 at byte 8)");
  }
  uint32_t length = 0;
  Header header;
  std::memcpy(&length, &bytes[kPrefixBytes + 4], sizeof(length));
  std::memcpy(&header, &bytes[kPrefixBytes + 8], sizeof(header));
  if (length < kHeaderBytes)
    return Refuse("has a header of ", length, " bytes, fewer than ", kHeaderBytes);
  const absl::StatusOr<uint64_t> end = CheckedAdd(header.segments_offset, header.segments_bytes);
  if (header.program_bytes > bytes.size() || !end.ok() || *end > bytes.size()) {
    return Refuse("has ", bytes.size(), " bytes, but its header speaks of ", header.program_bytes,
                  " bytes of program and ", header.segments_bytes, " of segments at ",
                  header.segments_offset, " (truncated or corrupt)");
  }
  return header;
}

template <typename T>
bool IsEmpty(const flatbuffers::Vector<T>* vector) {
  return vector == nullptr || vector->size() == 0;
}

// Bytes [offset, offset + size) of the memory that is planned for tensors.
struct Place {
  uint64_t offset = 0;
  uint64_t size = 0;
};

// One method's tables, each looked at before it is followed.
class MethodChecker {
 public:
  MethodChecker(const pte::Program& program, const pte::ExecutionPlan& plan, const Header& header,
                std::span<const std::byte> bytes)
      : program_(program), plan_(plan), header_(header), bytes_(bytes) {}

  absl::StatusOr<ProgramMethod> Check() {
    GEMMA_RETURN_IF_ERROR(ReadName());
    GEMMA_RETURN_IF_ERROR(CheckMemory());
    GEMMA_RETURN_IF_ERROR(ReadTensors());
    GEMMA_RETURN_IF_ERROR(CheckPlacesApart());
    GEMMA_RETURN_IF_ERROR(ReadList(plan_.inputs(), "inputs", inputs_, method_.inputs));
    GEMMA_RETURN_IF_ERROR(ReadList(plan_.outputs(), "outputs", outputs_, method_.outputs));
    GEMMA_RETURN_IF_ERROR(CheckOnlyCall());
    GEMMA_RETURN_IF_ERROR(CheckDelegate());
    return std::move(method_);
  }

 private:
  template <typename... Parts>
  absl::Status Fail(const Parts&... parts) const {
    return Refuse("method ", method_.name, " ", parts...);
  }

  absl::Status ReadName() {
    for (int i = 0; i < kPlanMethods; ++i) {
      const std::string known(PlanMethodName(static_cast<PlanMethod>(i)));
      if (plan_.name()->str() == known) method_.name = known;
    }
    if (method_.name.empty()) {
      return Refuse("has a method that is neither prefill, decode, score nor a constant one");
    }
    return absl::OkStatus();
  }

  // Buffer 0 is reserved; buffer 1 holds the tensors.
  absl::Status CheckMemory() {
    const auto* sizes = plan_.non_const_buffer_sizes();
    if (sizes == nullptr || sizes->size() != 2 || !IsAligned(*sizes) ||
        !IsEmpty(plan_.non_const_buffer_device())) {
      return Fail("does not plan one piece of host memory");
    }
    if (sizes->Get(0) != 0 || sizes->Get(1) < 0 || sizes->Get(1) > kMaxPlannedBytes) {
      return Fail("plans ", sizes->Get(1), " bytes for its tensors (0 to ", kMaxPlannedBytes,
                  " are allowed)");
    }
    planned_ = static_cast<uint64_t>(sizes->Get(1));
    return absl::OkStatus();
  }

  absl::Status ReadTensors() {
    if (IsEmpty(plan_.values()) || plan_.values()->size() > kMaxTensors) {
      return Fail("does not have 1 to ", kMaxTensors, " values");
    }
    for (const pte::EValue* value : *plan_.values()) {
      const size_t index = tensors_.size();
      if (value->val_type() != pte::KernelTypes::Tensor || value->val() == nullptr) {
        return Fail("has a value ", index, " that is not a tensor");
      }
      GEMMA_RETURN_IF_ERROR(ReadTensor(*value->val_as_Tensor(), index));
    }
    return absl::OkStatus();
  }

  absl::Status ReadTensor(const pte::Tensor& tensor, size_t index) {
    const bool floating = tensor.scalar_type() == pte::ScalarType::FLOAT;
    if (!floating && tensor.scalar_type() != pte::ScalarType::LONG) {
      return Fail("has tensor ", index, " of scalar type ", static_cast<int>(tensor.scalar_type()),
                  " (int64 and float32 are allowed)");
    }
    const bool dynamic = tensor.shape_dynamism() == pte::TensorShapeDynamism::DYNAMIC_BOUND;
    if (!dynamic && tensor.shape_dynamism() != pte::TensorShapeDynamism::STATIC) {
      return Fail("has tensor ", index, " without an upper bound");
    }
    if (tensor.storage_offset() != 0 || tensor.data_buffer_idx() != 0 || tensor.layout() != 0 ||
        tensor.extra_tensor_info() != nullptr) {
      return Fail("has tensor ", index, " that is more than planned memory");
    }
    GEMMA_ASSIGN_OR_RETURN(std::vector<int32_t> sizes, ReadSizes(tensor, index));
    GEMMA_RETURN_IF_ERROR(ReadPlace(tensor, sizes, floating ? 4 : 8, index));
    tensors_.push_back({floating, std::move(sizes), dynamic});
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<int32_t>> ReadSizes(const pte::Tensor& tensor, size_t index) const {
    const auto* sizes = tensor.sizes();
    const auto* order = tensor.dim_order();
    if (IsEmpty(sizes) || sizes->size() > kMaxDimensions || order == nullptr ||
        order->size() != sizes->size()) {
      return Fail("has tensor ", index, " without 1 to ", kMaxDimensions, " dimensions");
    }
    for (uint32_t i = 0; i < sizes->size(); ++i) {
      if (sizes->Get(i) < 1 || order->Get(i) != i)
        return Fail("has tensor ", index, " that is empty or not contiguous");
    }
    return std::vector<int32_t>(sizes->begin(), sizes->end());
  }

  absl::Status ReadPlace(const pte::Tensor& tensor, const std::vector<int32_t>& sizes,
                         uint64_t element, size_t index) {
    const auto* place = tensor.allocation_info();
    if (place == nullptr || place->memory_id() != 1)
      return Fail("has tensor ", index, " outside of its planned memory");
    const uint64_t offset = place->memory_offset_low() | uint64_t{place->memory_offset_high()}
                                                             << 32;
    uint64_t bytes = element;
    for (const int32_t size : sizes) {
      GEMMA_ASSIGN_OR_RETURN(bytes, CheckedMul<uint64_t>(bytes, static_cast<uint64_t>(size)));
    }
    const absl::StatusOr<uint64_t> end = CheckedAdd(offset, bytes);
    if (!end.ok() || *end > planned_ || offset % element != 0) {
      return Fail("puts tensor ", index, " of ", bytes, " bytes at ", offset, ", but plans ",
                  planned_, " bytes");
    }
    places_.push_back({offset, bytes});
    return absl::OkStatus();
  }

  // A result must not be written over an input that was checked and is still read.
  absl::Status CheckPlacesApart() const {
    for (size_t a = 0; a < places_.size(); ++a) {
      for (size_t b = 0; b < a; ++b) {
        const bool apart = places_[a].offset + places_[a].size <= places_[b].offset ||
                           places_[b].offset + places_[b].size <= places_[a].offset;
        if (!apart) return Fail("has tensors ", b, " and ", a, " in the same memory");
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadList(const flatbuffers::Vector<int32_t>* list, absl::string_view what,
                        std::vector<int32_t>& indices, std::vector<ProgramTensor>& tensors) {
    if (list == nullptr) return Fail("has no ", what);
    for (const int32_t index : *list) {
      const bool known = index >= 0 && static_cast<size_t>(index) < tensors_.size();
      if (!known || !used_.insert(index).second)
        return Fail("has value ", index, " among its ", what, " twice or wrongly");
      indices.push_back(index);
      tensors.push_back(tensors_[index]);
    }
    return absl::OkStatus();
  }

  absl::Status CheckOnlyCall() const {
    const auto* chains = plan_.chains();
    const bool one = chains != nullptr && chains->size() == 1 &&
                     chains->Get(0)->instructions() != nullptr &&
                     chains->Get(0)->instructions()->size() == 1;
    if (!one || plan_.operators() == nullptr || plan_.operators()->size() != 0) {
      return Fail("is not one instruction");
    }
    const pte::Instruction& instruction = *chains->Get(0)->instructions()->Get(0);
    if (instruction.instr_args_type() != pte::InstructionArguments::DelegateCall ||
        instruction.instr_args() == nullptr) {
      return Fail("is not a call of a delegate");
    }
    const pte::DelegateCall& call = *instruction.instr_args_as_DelegateCall();
    std::vector<int32_t> expected = inputs_;
    expected.insert(expected.end(), outputs_.begin(), outputs_.end());
    if (call.delegate_index() != 0 || call.args() == nullptr ||
        !std::equal(call.args()->begin(), call.args()->end(), expected.begin(), expected.end())) {
      return Fail("does not give its inputs and outputs to its delegate");
    }
    return absl::OkStatus();
  }

  absl::Status CheckDelegate() {
    if (plan_.delegates() == nullptr || plan_.delegates()->size() != 1)
      return Fail("does not have one delegate");
    const pte::BackendDelegate& delegate = *plan_.delegates()->Get(0);
    if (delegate.id() == nullptr || delegate.id()->str() != kDelegate) {
      return Fail("is for another delegate than ", kDelegate);
    }
    if (delegate.compile_specs() == nullptr || delegate.compile_specs()->size() != 0) {
      return Fail("has compile specs, of which ", kDelegate, " knows none");
    }
    const auto* data = delegate.processed();
    if (data == nullptr || data->location() != pte::DataLocation::SEGMENT ||
        data->index() >= program_.segments()->size()) {
      return Fail("does not have its plan in a segment of the file");
    }
    const pte::DataSegment& segment = *program_.segments()->Get(data->index());
    method_.plan = bytes_.subspan(header_.segments_offset + segment.offset(), segment.size());
    return absl::OkStatus();
  }

  const pte::Program& program_;
  const pte::ExecutionPlan& plan_;
  const Header& header_;
  const std::span<const std::byte> bytes_;
  ProgramMethod method_;
  uint64_t planned_ = 0;
  std::vector<ProgramTensor> tensors_;  // by value
  std::vector<Place> places_;           // by value
  std::vector<int32_t> inputs_;
  std::vector<int32_t> outputs_;
  std::set<int32_t> used_;  // values that are an input or output
};

absl::Status CheckSegments(const pte::Program& program, const Header& header) {
  if (program.segments() == nullptr || program.segments()->size() > kMaxSegments) {
    return Refuse("has no list of segments, or one of more than ", kMaxSegments);
  }
  for (const pte::DataSegment* segment : *program.segments()) {
    const absl::StatusOr<uint64_t> end = CheckedAdd(segment->offset(), segment->size());
    if (!end.ok() || *end > header.segments_bytes) {
      return Refuse("has a segment of ", segment->size(), " bytes at ", segment->offset(),
                    ", but all together have ", header.segments_bytes);
    }
  }
  return absl::OkStatus();
}

// Weights belong into the .ptd, and nothing of ours is anywhere else.
absl::Status CheckNoOtherData(const pte::Program& program) {
  const auto* constants = program.constant_segment();
  const bool no_constants = constants != nullptr && constants->offsets() != nullptr &&
                            constants->offsets()->size() == 1 && IsAligned(*constants->offsets()) &&
                            constants->offsets()->Get(0) == 0 &&
                            constants->segment_index() < program.segments()->size();
  if (!no_constants || !IsEmpty(program.constant_buffer()) ||
      !IsEmpty(program.backend_delegate_data()) || !IsEmpty(program.mutable_data_segments()) ||
      !IsEmpty(program.named_data())) {
    return Refuse("holds constants or other data than plans");
  }
  return absl::OkStatus();
}

std::string Describe(const ProgramTensor& tensor) {
  return absl::StrCat(tensor.floating ? "float32" : "int64", tensor.dynamic ? " up to [" : " [",
                      absl::StrJoin(tensor.sizes, ", "), "]");
}

absl::Status CompareTensors(const ProgramMethod& method, absl::string_view what,
                            const std::vector<ProgramTensor>& tensors,
                            const std::vector<ProgramTensor>& expected) {
  if (tensors.size() != expected.size()) {
    return Refuse("method ", method.name, " has ", tensors.size(), " ", what, "s, not ",
                  expected.size());
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i] == expected[i]) continue;
    return Refuse("method ", method.name, " has ", what, " ", i, " as ", Describe(tensors[i]),
                  ", not ", Describe(expected[i]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<ProgramMethod>> CheckProgram(std::span<const std::byte> bytes) {
  GEMMA_ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes));
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  flatbuffers::Verifier verifier(data, header.program_bytes, /*max_depth=*/32,
                                 /*max_tables=*/10000);
  if (header.program_bytes < kPrefixBytes + kHeaderBytes || !pte::VerifyProgramBuffer(verifier)) {
    return Refuse("its program of ", header.program_bytes, " bytes is corrupt");
  }
  const pte::Program& program = *pte::GetProgram(data);
  if (program.version() != 0)
    return Refuse("has version ", program.version(), " of the .pte format, not 0");
  GEMMA_RETURN_IF_ERROR(CheckSegments(program, header));
  GEMMA_RETURN_IF_ERROR(CheckNoOtherData(program));
  constexpr size_t kMost = kPlanMethods + kConstantMethods;
  if (program.execution_plan() == nullptr || program.execution_plan()->size() > kMost) {
    return Refuse("has no methods, or more than ", kMost);
  }
  std::vector<ProgramMethod> methods;
  std::set<std::string> names;
  for (const pte::ExecutionPlan* plan : *program.execution_plan()) {
    if (plan->name() == nullptr) return Refuse("has a method without a name");
    const std::string name = plan->name()->str();
    if (!names.insert(name).second) return Refuse("has two methods ", name);
    if (IsConstantMethod(name)) {
      GEMMA_RETURN_IF_ERROR(CheckConstantMethod(*plan));
      continue;
    }
    GEMMA_ASSIGN_OR_RETURN(ProgramMethod method,
                           MethodChecker(program, *plan, header, bytes).Check());
    methods.push_back(std::move(method));
  }
  return methods;
}

absl::Status CheckSignature(const ProgramMethod& method, const Plan& plan) {
  const auto tokens = static_cast<int32_t>(plan.max_tokens);
  const ProgramTensor ids = {false, {1, tokens}, tokens > 1};
  const ProgramTensor number = {false, {1}, false};
  std::vector<ProgramTensor> inputs = {
      ids, number, number, {true, {kSamplingTensorSize}, false}, number};
  std::vector<ProgramTensor> outputs = {{false, {1, 1}, false}};
  if (plan.method == PlanMethod::kScore) {
    const auto top = static_cast<int32_t>(plan.ScoreTop());
    const bool dynamic = tokens > 1;
    inputs = {ids, number, ids};
    outputs = {{true, {1, tokens}, dynamic},
               {false, {1, tokens, top}, dynamic},
               {true, {1, tokens, top}, dynamic}};
  }
  GEMMA_RETURN_IF_ERROR(CompareTensors(method, "input", method.inputs, inputs));
  return CompareTensors(method, "output", method.outputs, outputs);
}

}  // namespace gemma
