#include "cc/engine/executorch_program.h"

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/base/status_macros.h"
#include "cc/delegate/gemma_delegate.h"

namespace gemma {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;
using executorch::extension::BufferDataLoader;
using executorch::extension::MallocMemoryAllocator;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::HierarchicalAllocator;
using executorch::runtime::MemoryManager;
using executorch::runtime::Method;
using executorch::runtime::PalImpl;
using executorch::runtime::Program;
using executorch::runtime::Result;
using executorch::runtime::Span;

// The last error that ExecuTorch logged on this thread.
thread_local std::string last_log;

void KeepLog(et_timestamp_t, et_pal_log_level_t level, const char*, const char*, size_t,
             const char* message, size_t length) {
  if (level == et_pal_log_level_t::kError || level == et_pal_log_level_t::kFatal)
    last_log.assign(message, length);
}

// The delegate's own sentence where there is one, else what ExecuTorch has to say.
absl::Status ToStatus(Error error, absl::string_view what) {
  if (error == Error::Ok) return absl::OkStatus();
  const std::string log = std::exchange(last_log, {});
  if (absl::Status status = TakeDelegateError(); !status.ok()) return status;
  return absl::InternalError(absl::StrCat("ExecuTorch cannot ", what, ": error ",
                                          static_cast<uint32_t>(error), log.empty() ? "" : ", ",
                                          log));
}

// A contiguous tensor over the caller's numbers, for as long as the statement that makes it.
template <typename T, int kDims>
class InputTensor {
 public:
  InputTensor(const T* data, int32_t size)
      : impl_(std::is_same_v<T, float> ? ScalarType::Float : ScalarType::Long, kDims, Sizes(size),
              const_cast<T*>(data), order_.data(), strides_.data()) {}

  EValue value() { return EValue(Tensor(&impl_)); }

 private:
  // All dimensions but the last are 1.
  int32_t* Sizes(int32_t size) {
    sizes_.fill(1);
    strides_.fill(size);
    sizes_[kDims - 1] = size;
    strides_[kDims - 1] = 1;
    for (int i = 0; i < kDims; ++i) order_[i] = static_cast<uint8_t>(i);
    return sizes_.data();
  }

  std::array<int32_t, kDims> sizes_;
  std::array<int32_t, kDims> strides_;
  std::array<uint8_t, kDims> order_;
  TensorImpl impl_;  // after what it points to
};

using RowTensor = InputTensor<int64_t, 2>;     // int64 [1, T]
using NumberTensor = InputTensor<int64_t, 1>;  // int64 [1]
using FloatsTensor = InputTensor<float, 1>;    // float32 [N]

}  // namespace

absl::Status StartExecuTorch() {
  static const bool started = [] {
    executorch::runtime::register_pal(PalImpl::create(KeepLog, __FILE__));
    executorch::runtime::runtime_init();
    return true;
  }();
  static_cast<void>(started);
  return RegisterGemmaDelegate();
}

struct ExecuTorchProgram::Runtime {
  explicit Runtime(std::span<const std::byte> bytes) : loader(bytes.data(), bytes.size()) {}

  BufferDataLoader loader;
  std::optional<Result<Program>> program;
};

// A method and the memory that it needs.
struct ExecuTorchProgram::LoadedMethod {
  MallocMemoryAllocator allocator;
  MallocMemoryAllocator temporary;
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<Span<uint8_t>> spans;
  std::optional<HierarchicalAllocator> planned;
  std::optional<MemoryManager> memory;
  std::optional<Result<Method>> method;

  Error Plan(const Program& program, const char* name) {
    const auto meta = program.method_meta(name);
    if (!meta.ok()) return meta.error();
    for (size_t i = 0; i < meta->num_memory_planned_buffers(); ++i) {
      const auto size = meta->memory_planned_buffer_size(i);
      if (!size.ok()) return size.error();
      buffers.emplace_back(static_cast<size_t>(*size));
    }
    for (auto& buffer : buffers) spans.emplace_back(buffer.data(), buffer.size());
    planned.emplace(Span<Span<uint8_t>>(spans.data(), spans.size()));
    memory.emplace(&allocator, &*planned, &temporary);
    return Error::Ok;
  }

  template <typename... Inputs>
  absl::Status Execute(Inputs&... inputs) {
    Method& loaded = method->get();
    size_t index = 0;
    Error error = Error::Ok;
    ((error = error == Error::Ok ? loaded.set_input(inputs.value(), index++) : error), ...);
    if (error == Error::Ok) error = loaded.execute();
    return ToStatus(error, "run a method");
  }

  template <typename T>
  std::span<const T> Output(size_t index) {
    const Tensor& tensor = method->get().get_output(index).toTensor();
    return {tensor.const_data_ptr<T>(), static_cast<size_t>(tensor.numel())};
  }
};

ExecuTorchProgram::ExecuTorchProgram(std::unique_ptr<Runtime> runtime)
    : runtime_(std::move(runtime)) {}
ExecuTorchProgram::~ExecuTorchProgram() = default;

absl::StatusOr<std::unique_ptr<ExecuTorchProgram>> ExecuTorchProgram::Load(
    std::span<const std::byte> bytes) {
  GEMMA_RETURN_IF_ERROR(StartExecuTorch());
  auto runtime = std::make_unique<Runtime>(bytes);
  runtime->program.emplace(
      Program::load(&runtime->loader, Program::Verification::InternalConsistency));
  GEMMA_RETURN_IF_ERROR(ToStatus(runtime->program->error(), "load the program"));
  return std::unique_ptr<ExecuTorchProgram>(new ExecuTorchProgram(std::move(runtime)));
}

absl::Status ExecuTorchProgram::LoadMethod(PlanMethod method) {
  const std::string name(PlanMethodName(method));
  const Program& program = runtime_->program->get();
  auto loaded = std::make_unique<LoadedMethod>();
  GEMMA_RETURN_IF_ERROR(ToStatus(loaded->Plan(program, name.c_str()), "find method " + name));
  loaded->method.emplace(program.load_method(name.c_str(), &*loaded->memory));
  GEMMA_RETURN_IF_ERROR(ToStatus(loaded->method->error(), "load method " + name));
  methods_[static_cast<size_t>(method)] = std::move(loaded);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ExecuTorchProgram::Generate(PlanMethod method,
                                                    std::span<const int64_t> tokens, int64_t start,
                                                    bool emit, const SamplingParams& sampling) {
  LoadedMethod* loaded = methods_[static_cast<size_t>(method)].get();
  if (loaded == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the artifact has no method ", PlanMethodName(method)));
  }
  const int64_t emit_number = emit ? 1 : 0;
  const auto seed_number = static_cast<int64_t>(sampling.seed);
  RowTensor tokens_tensor(tokens.data(), static_cast<int32_t>(tokens.size()));
  NumberTensor start_tensor(&start, 1);
  NumberTensor emit_tensor(&emit_number, 1);
  const SamplingTensor sampling_numbers = ToTensor(sampling);
  FloatsTensor sampling_tensor(sampling_numbers.data(), kSamplingTensorSize);
  NumberTensor seed_tensor(&seed_number, 1);
  GEMMA_RETURN_IF_ERROR(
      loaded->Execute(tokens_tensor, start_tensor, emit_tensor, sampling_tensor, seed_tensor));
  return loaded->Output<int64_t>(0).front();
}

absl::StatusOr<ScoreOutputs> ExecuTorchProgram::Score(std::span<const int64_t> tokens,
                                                      int64_t start,
                                                      std::span<const int64_t> targets) {
  LoadedMethod* loaded = methods_[static_cast<size_t>(PlanMethod::kScore)].get();
  if (loaded == nullptr) return absl::FailedPreconditionError("the artifact has no method score");
  RowTensor tokens_tensor(tokens.data(), static_cast<int32_t>(tokens.size()));
  NumberTensor start_tensor(&start, 1);
  RowTensor targets_tensor(targets.data(), static_cast<int32_t>(targets.size()));
  GEMMA_RETURN_IF_ERROR(loaded->Execute(tokens_tensor, start_tensor, targets_tensor));
  return ScoreOutputs{loaded->Output<float>(0), loaded->Output<int64_t>(1),
                      loaded->Output<float>(2)};
}

}  // namespace gemma
