#include "cc/delegate/gemma_delegate.h"

#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/core/exec_aten/util/tensor_util.h>

#include <algorithm>
#include <exception>
#include <initializer_list>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/base/status_macros.h"
#include "cc/delegate/named_data_source.h"
#include "cc/executor/cpu/executor.h"
#include "cc/plan/plan_check.h"

namespace gemma {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::runtime::ArrayRef;
using executorch::runtime::BackendExecutionContext;
using executorch::runtime::BackendInitContext;
using executorch::runtime::CompileSpec;
using executorch::runtime::DelegateHandle;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;
using executorch::runtime::Span;

thread_local ScopedLoad* current_load = nullptr;
thread_local ScopedSession* current_session = nullptr;
thread_local absl::Status last_error;

Error ToError(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return Error::Ok;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return Error::InvalidArgument;
    case absl::StatusCode::kNotFound:
      return Error::NotFound;
    case absl::StatusCode::kResourceExhausted:
      return Error::MemoryAllocationFailed;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kCancelled:
      return Error::InvalidState;
    default:
      return Error::Internal;
  }
}

// Runs `body`, remembers its error, and turns what the standard library throws into one.
template <typename Body>
Error Guard(Body body) {
  absl::Status status;
  try {
    status = body();
  } catch (const std::bad_alloc&) {
    status = absl::ResourceExhaustedError("out of memory");
  } catch (const std::exception& error) {
    status = absl::InternalError(error.what());
  }
  const Error error = ToError(status);
  if (!status.ok()) last_error = std::move(status);
  return error;
}

// One loaded method.
struct MethodHandle {
  std::shared_ptr<Model> model;
  PlanMethod method = PlanMethod::kPrefill;
  std::unique_ptr<SessionState> own_session;  // null where the host shares a model
};

// Gives the arguments of one call by position, checked against docs/formats.md.
class Arguments {
 public:
  Arguments(absl::string_view method, Span<EValue*> args) : method_(method), args_(args) {}

  absl::Status CheckCount(size_t count) const {
    if (args_.size() == count) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(method_, " has ", args_.size(), " inputs and outputs, not ", count));
  }

  // The contents of a tensor of `dims` dimensions, all but the last of size 1. A size < 0 is any.
  template <typename T>
  absl::StatusOr<std::span<T>> Row(size_t index, absl::string_view name, ScalarType type, int dims,
                                   int64_t size = -1) const {
    GEMMA_ASSIGN_OR_RETURN(Tensor tensor, FindTensor(index, name, type));
    bool fits = tensor.dim() == dims && (size < 0 || tensor.numel() == size);
    for (int i = 0; i + 1 < tensor.dim(); ++i) fits = fits && tensor.size(i) == 1;
    if (!fits) return WrongShape(name, dims == 2 ? "1, " : "", size);
    auto* data = static_cast<T*>(tensor.mutable_data_ptr());
    if (data == nullptr && tensor.numel() > 0) {
      return absl::InvalidArgumentError(absl::StrCat(method_, ": ", name, " has no memory"));
    }
    return std::span<T>(data, tensor.numel());
  }

  template <typename T>
  absl::StatusOr<T> Scalar(size_t index, absl::string_view name, ScalarType type) const {
    GEMMA_ASSIGN_OR_RETURN(const std::span<T> row, Row<T>(index, name, type, 1, 1));
    return row.front();
  }

  // Makes an output as large as this call's result, which must fit the memory that the program
  // planned for it.
  absl::Status Resize(size_t index, absl::string_view name, ScalarType type,
                      std::initializer_list<SizesType> sizes) const {
    GEMMA_ASSIGN_OR_RETURN(Tensor tensor, FindTensor(index, name, type));
    const Error error = executorch::runtime::resize_tensor(
        tensor, ArrayRef<SizesType>(sizes.begin(), sizes.size()));
    if (error == Error::Ok) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(method_, ": ", name, " cannot be resized to this call's tokens"));
  }

  // All of an output's contents, whatever its shape.
  template <typename T>
  absl::StatusOr<std::span<T>> Contents(size_t index, absl::string_view name,
                                        ScalarType type) const {
    GEMMA_ASSIGN_OR_RETURN(Tensor tensor, FindTensor(index, name, type));
    auto* data = static_cast<T*>(tensor.mutable_data_ptr());
    if (data == nullptr)
      return absl::InvalidArgumentError(absl::StrCat(method_, ": ", name, " has no memory"));
    return std::span<T>(data, tensor.numel());
  }

 private:
  absl::StatusOr<Tensor> FindTensor(size_t index, absl::string_view name, ScalarType type) const {
    if (!args_[index]->isTensor()) {
      return absl::InvalidArgumentError(absl::StrCat(method_, ": ", name, " is not a tensor"));
    }
    Tensor tensor = args_[index]->toTensor();
    if (tensor.scalar_type() != type) {
      return absl::InvalidArgumentError(absl::StrCat(method_, ": ", name, " has scalar type ",
                                                     static_cast<int>(tensor.scalar_type()),
                                                     ", not ", static_cast<int>(type)));
    }
    return tensor;
  }

  absl::Status WrongShape(absl::string_view name, absl::string_view prefix, int64_t size) const {
    const std::string last = size < 0 ? "T" : absl::StrCat(size);
    return absl::InvalidArgumentError(
        absl::StrCat(method_, ": ", name, " is not of shape [", prefix, last, "]"));
  }

  const absl::string_view method_;
  const Span<EValue*> args_;
};

absl::StatusOr<SamplingParams> ReadSampling(std::span<const float> numbers, int64_t seed) {
  SamplingTensor tensor;
  std::copy_n(numbers.begin(), tensor.size(), tensor.begin());
  SamplingParams params = {.seed = static_cast<uint64_t>(seed)};
  const std::string problem = FromTensor(tensor, params);
  if (!problem.empty()) return absl::InvalidArgumentError(problem);
  return params;
}

absl::Status RunGeneration(const MethodHandle& handle, SessionState& session, Call call,
                           std::span<float> logits, const Arguments& args) {
  GEMMA_RETURN_IF_ERROR(args.CheckCount(6));
  GEMMA_ASSIGN_OR_RETURN(call.tokens, args.Row<int64_t>(0, "tokens", ScalarType::Long, 2));
  GEMMA_ASSIGN_OR_RETURN(call.start, args.Scalar<int64_t>(1, "start", ScalarType::Long));
  GEMMA_ASSIGN_OR_RETURN(const int64_t emit, args.Scalar<int64_t>(2, "emit", ScalarType::Long));
  GEMMA_ASSIGN_OR_RETURN(const std::span<float> sampling,
                         args.Row<float>(3, "sampling", ScalarType::Float, 1, kSamplingTensorSize));
  GEMMA_ASSIGN_OR_RETURN(const int64_t seed, args.Scalar<int64_t>(4, "seed", ScalarType::Long));
  GEMMA_ASSIGN_OR_RETURN(const std::span<int64_t> token,
                         args.Row<int64_t>(5, "token", ScalarType::Long, 2, 1));
  call.emit = emit != 0;
  GEMMA_ASSIGN_OR_RETURN(call.sampling, ReadSampling(sampling, seed));
  return handle.model->Run(handle.method, session, call, {.token = token.data(), .logits = logits});
}

absl::Status RunScore(const MethodHandle& handle, SessionState& session, Call call,
                      const Arguments& args) {
  GEMMA_RETURN_IF_ERROR(args.CheckCount(6));
  GEMMA_ASSIGN_OR_RETURN(call.tokens, args.Row<int64_t>(0, "tokens", ScalarType::Long, 2));
  GEMMA_ASSIGN_OR_RETURN(call.start, args.Scalar<int64_t>(1, "start", ScalarType::Long));
  GEMMA_ASSIGN_OR_RETURN(call.targets, args.Row<int64_t>(2, "targets", ScalarType::Long, 2));
  const Plan& plan = *handle.model->FindPlan(handle.method);
  const auto tokens = static_cast<SizesType>(call.tokens.size());
  const auto top = static_cast<SizesType>(plan.ScoreTop());
  GEMMA_RETURN_IF_ERROR(args.Resize(3, "logprob", ScalarType::Float, {1, tokens}));
  GEMMA_RETURN_IF_ERROR(args.Resize(4, "top_ids", ScalarType::Long, {1, tokens, top}));
  GEMMA_RETURN_IF_ERROR(args.Resize(5, "top_logprobs", ScalarType::Float, {1, tokens, top}));
  CallResults results;
  GEMMA_ASSIGN_OR_RETURN(results.logprobs, args.Contents<float>(3, "logprob", ScalarType::Float));
  GEMMA_ASSIGN_OR_RETURN(results.top_ids, args.Contents<int64_t>(4, "top_ids", ScalarType::Long));
  GEMMA_ASSIGN_OR_RETURN(results.top_logprobs,
                         args.Contents<float>(5, "top_logprobs", ScalarType::Float));
  return handle.model->Run(handle.method, session, call, results);
}

// A model for this method alone.
absl::Status LoadAlone(Plan plan, const executorch::runtime::NamedDataMap* data,
                       MethodHandle& handle) {
  if (data == nullptr) return absl::NotFoundError("the program was loaded without its .ptd file");
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Executor> executor, CpuExecutor::Create({}));
  handle.model = std::make_shared<Model>(std::move(executor));
  GEMMA_RETURN_IF_ERROR(handle.model->AddPlan(std::move(plan)));
  NamedDataSource source(*data);
  GEMMA_RETURN_IF_ERROR(handle.model->Load(source));
  GEMMA_ASSIGN_OR_RETURN(handle.own_session, handle.model->NewSession());
  return absl::OkStatus();
}

}  // namespace

class GemmaDelegate final : public executorch::runtime::BackendInterface {
 public:
  bool is_available() const override { return true; }

  Result<DelegateHandle*> init(BackendInitContext& context, FreeableBuffer* processed,
                               ArrayRef<CompileSpec>) const override {
    std::unique_ptr<MethodHandle> handle;
    const Error error = Guard([&] { return Init(context, *processed, handle); });
    if (error != Error::Ok) return error;
    processed->Free();
    return static_cast<DelegateHandle*>(handle.release());
  }

  Error execute(BackendExecutionContext&, DelegateHandle* handle,
                Span<EValue*> args) const override {
    return Guard([&] { return Execute(*static_cast<MethodHandle*>(handle), args); });
  }

  void destroy(DelegateHandle* handle) const override { delete static_cast<MethodHandle*>(handle); }

 private:
  static absl::Status Init(BackendInitContext& context, const FreeableBuffer& processed,
                           std::unique_ptr<MethodHandle>& handle) {
    const char* name = context.get_method_name();
    if (name == nullptr)
      return absl::InvalidArgumentError("ExecuTorch does not say which method it loads");
    GEMMA_ASSIGN_OR_RETURN(
        Plan plan,
        ReadCheckedPlan({static_cast<const std::byte*>(processed.data()), processed.size()}, name));
    handle = std::make_unique<MethodHandle>();
    handle->method = plan.method;
    if (current_load == nullptr)
      return LoadAlone(std::move(plan), context.get_named_data_map(), *handle);
    handle->model = current_load->model_;
    return handle->model->AddPlan(std::move(plan));
  }

  static absl::Status Execute(const MethodHandle& handle, Span<EValue*> args) {
    SessionState* session = handle.own_session.get();
    Call call;
    std::span<float> logits;
    if (current_session != nullptr) {
      session = &current_session->session_;
      logits = current_session->logits_;
      call.cancelled = current_session->cancelled_;
    }
    if (session == nullptr)
      return absl::FailedPreconditionError("a method was executed without a session");
    const Arguments arguments(PlanMethodName(handle.method), args);
    if (handle.method == PlanMethod::kScore) return RunScore(handle, *session, call, arguments);
    return RunGeneration(handle, *session, call, logits, arguments);
  }
};

absl::Status RegisterGemmaDelegate() {
  static GemmaDelegate delegate;
  static const Error error = executorch::runtime::register_backend({kDelegateId, &delegate});
  if (error == Error::Ok) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("ExecuTorch does not take the backend ", kDelegateId,
                                          " (error ", static_cast<uint32_t>(error), ")"));
}

ScopedLoad::ScopedLoad(std::shared_ptr<Model> model)
    : model_(std::move(model)), outer_(std::exchange(current_load, this)) {}
ScopedLoad::~ScopedLoad() { current_load = outer_; }

ScopedSession::ScopedSession(SessionState& session, const std::atomic<bool>* cancelled,
                             std::span<float> logits)
    : session_(session),
      cancelled_(cancelled),
      logits_(logits),
      outer_(std::exchange(current_session, this)) {}
ScopedSession::~ScopedSession() { current_session = outer_; }

absl::Status TakeDelegateError() { return std::exchange(last_error, absl::OkStatus()); }

}  // namespace gemma
