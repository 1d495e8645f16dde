// The backend inside ExecuTorch's own runtime: programs are loaded, methods executed, errors come
// back as sentences.
#include "cc/delegate/gemma_delegate.h"

#include <dlfcn.h>
#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/flat_tensor/flat_tensor_data_map.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "cc/delegate/testing/program_writer.h"
#include "cc/executor/cpu/executor.h"
#include "cc/executor/fake_executor.h"
#include "cc/plan/testing/tiny_model.h"
#include "cc/weights/testing/memory_weights.h"
#include "cc/weights/testing/ptd_writer.h"

namespace gemma {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;
using executorch::extension::BufferDataLoader;
using executorch::extension::FlatTensorDataMap;
using executorch::extension::MallocMemoryAllocator;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::HierarchicalAllocator;
using executorch::runtime::MemoryManager;
using executorch::runtime::Method;
using executorch::runtime::NamedDataMap;
using executorch::runtime::Program;
using executorch::runtime::Result;
using executorch::runtime::Span;
using ::testing::HasSubstr;

// A method with the memory that it needs.
class LoadedMethod {
 public:
  LoadedMethod(const Program& program, const char* name, const NamedDataMap* data = nullptr) {
    const auto meta = program.method_meta(name);
    if (!meta.ok()) return;
    for (size_t i = 0; i < meta->num_memory_planned_buffers(); ++i) {
      buffers_.emplace_back(meta->memory_planned_buffer_size(i).get());
    }
    for (auto& buffer : buffers_) spans_.emplace_back(buffer.data(), buffer.size());
    planned_.emplace(Span<Span<uint8_t>>(spans_.data(), spans_.size()));
    memory_.emplace(&allocator_, &*planned_, &temporary_);
    method_.emplace(program.load_method(name, &*memory_, nullptr, data));
  }

  Error error() const { return method_.has_value() ? method_->error() : Error::NotFound; }
  Method& operator*() { return method_->get(); }
  Method* operator->() { return &method_->get(); }

 private:
  MallocMemoryAllocator allocator_;
  MallocMemoryAllocator temporary_;
  std::vector<std::vector<uint8_t>> buffers_;
  std::vector<Span<uint8_t>> spans_;
  std::optional<HierarchicalAllocator> planned_;
  std::optional<MemoryManager> memory_;
  std::optional<Result<Method>> method_;
};

// A tensor over the caller's numbers.
template <typename T>
class TestTensor {
 public:
  TestTensor(std::vector<int32_t> sizes, std::vector<T> numbers)
      : sizes_(std::move(sizes)), numbers_(std::move(numbers)) {
    int32_t stride = 1;
    for (size_t i = sizes_.size(); i-- > 0;) {
      strides_.insert(strides_.begin(), stride);
      stride *= sizes_[i];
      order_.insert(order_.begin(), static_cast<uint8_t>(i));
    }
    impl_.emplace(std::is_same_v<T, float> ? ScalarType::Float : ScalarType::Long, sizes_.size(),
                  sizes_.data(), numbers_.data(), order_.data(), strides_.data());
  }
  operator EValue() { return EValue(Tensor(&*impl_)); }

 private:
  std::vector<int32_t> sizes_;
  std::vector<int32_t> strides_;
  std::vector<uint8_t> order_;
  std::vector<T> numbers_;
  std::optional<TensorImpl> impl_;
};

using Ids = TestTensor<int64_t>;
using Floats = TestTensor<float>;

Error Execute(Method& method, std::vector<int64_t> tokens, int64_t start, int64_t emit = 1,
              std::vector<float> sampling = {0, 0, 1, 0}) {
  Ids ids({1, static_cast<int32_t>(tokens.size())}, tokens);
  Ids start_tensor({1}, {start});
  Ids emit_tensor({1}, {emit});
  Floats sampling_tensor({4}, sampling);
  Ids seed({1}, {7});
  const EValue inputs[] = {ids, start_tensor, emit_tensor, sampling_tensor, seed};
  for (size_t i = 0; i < std::size(inputs); ++i) {
    if (const Error error = method.set_input(inputs[i], i); error != Error::Ok) return error;
  }
  return method.execute();
}

int64_t Token(Method& method) {
  return method.get_output(0).toTensor().const_data_ptr<int64_t>()[0];
}

class GemmaDelegateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    executorch::runtime::runtime_init();
    ASSERT_TRUE(RegisterGemmaDelegate().ok());
    TakeDelegateError().IgnoreError();
  }

  void Open(const std::vector<TestMethod>& methods) {
    pte_ = WriteProgram(methods);
    loader_.emplace(pte_.data(), pte_.size());
    program_.emplace(Program::load(&*loader_, Program::Verification::InternalConsistency));
    ASSERT_EQ(program_->error(), Error::Ok);
  }
  void Open() {
    Open(
        {Method_(PlanMethod::kPrefill), Method_(PlanMethod::kDecode), Method_(PlanMethod::kScore)});
  }
  TestMethod Method_(PlanMethod method) const { return MakeTestMethod(tiny_.MakePlan(method)); }

  const Program& program() { return program_->get(); }
  std::string TakeMessage() { return std::string(TakeDelegateError().message()); }

  TinyModel tiny_{TinyModelConfig{}};
  std::string pte_;
  std::optional<BufferDataLoader> loader_;
  std::optional<Result<Program>> program_;
};

TEST_F(GemmaDelegateTest, RegistersOnce) { EXPECT_TRUE(RegisterGemmaDelegate().ok()); }

TEST_F(GemmaDelegateTest, MethodsShareAModelAndASession) {
  Open();
  auto model = std::make_shared<Model>(*CpuExecutor::Create({.threads = 2}));
  std::optional<LoadedMethod> prefill;
  std::optional<LoadedMethod> decode;
  {
    ScopedLoad load(model);
    prefill.emplace(program(), "prefill");
    decode.emplace(program(), "decode");
  }
  ASSERT_EQ(prefill->error(), Error::Ok) << TakeMessage();
  ASSERT_EQ(decode->error(), Error::Ok) << TakeMessage();
  MemoryWeights weights(tiny_.data);
  ASSERT_TRUE(model->Load(weights).ok());
  EXPECT_EQ(weights.delivered, static_cast<int>(tiny_.data.size()));

  const auto session = *model->NewSession();
  ScopedSession bound(*session);
  ASSERT_EQ(Execute(**prefill, {1, 2, 3}, 0), Error::Ok) << TakeMessage();
  const int64_t first = Token(**prefill);
  EXPECT_GE(first, 0);
  ASSERT_EQ(Execute(**decode, {first}, 3), Error::Ok) << TakeMessage();
  EXPECT_EQ(session->length(), 4);
  // The same by one call.
  const int64_t second = Token(**decode);
  ASSERT_EQ(Execute(**prefill, {1, 2, 3, first}, 0), Error::Ok) << TakeMessage();
  EXPECT_EQ(Token(**prefill), second);
  ASSERT_EQ(Execute(**prefill, {1, 2}, 0, /*emit=*/0), Error::Ok) << TakeMessage();
  EXPECT_EQ(Token(**prefill), -1);
}

TEST_F(GemmaDelegateTest, SamplingArrivesAsItWasGiven) {
  Open();
  auto* executor = new FakeExecutor;
  auto model = std::make_shared<Model>(std::unique_ptr<Executor>(executor));
  std::optional<LoadedMethod> prefill;
  {
    ScopedLoad load(model);
    prefill.emplace(program(), "prefill");
  }
  MemoryWeights weights(tiny_.data);
  ASSERT_TRUE(model->Load(weights).ok());
  const auto session = *model->NewSession();
  ScopedSession bound(*session);
  ASSERT_EQ(Execute(**prefill, {1, 2}, 0, 1, {0.5f, 40, 0.9f, 0.1f}), Error::Ok) << TakeMessage();
  EXPECT_EQ(
      executor->calls[0].sampling,
      (SamplingParams{.temperature = 0.5f, .top_k = 40, .top_p = 0.9f, .min_p = 0.1f, .seed = 7}));
  EXPECT_EQ(executor->calls[0].drawn_position, 2u);

  EXPECT_EQ(Execute(**prefill, {1}, 2, 1, {0, 1.5f, 1, 0}), Error::InvalidArgument);
  EXPECT_EQ(TakeMessage(), "top_k is 1.5 (0 to 16777216 are allowed)");
  EXPECT_EQ(Execute(**prefill, {1}, 2, 1, {0, NAN, 1, 0}), Error::InvalidArgument);
  EXPECT_EQ(Execute(**prefill, {1}, 9), Error::InvalidArgument);
  EXPECT_THAT(TakeMessage(), HasSubstr("position 9 is not within"));
  EXPECT_EQ(TakeMessage(), "") << "an error is taken once";
}

TEST_F(GemmaDelegateTest, ScoreResizesItsOutputs) {
  Open();
  auto model = std::make_shared<Model>(*CpuExecutor::Create({.threads = 2}));
  std::optional<LoadedMethod> score;
  {
    ScopedLoad load(model);
    score.emplace(program(), "score");
  }
  MemoryWeights weights(tiny_.data);
  ASSERT_TRUE(model->Load(weights).ok());
  const auto session = *model->NewSession();
  ScopedSession bound(*session);
  int64_t start = 0;
  for (const int32_t tokens : {5, 16, 1}) {
    Ids ids({1, tokens}, std::vector<int64_t>(tokens, 3));
    Ids start_tensor({1}, {start});
    Ids targets({1, tokens}, std::vector<int64_t>(tokens, 4));
    ASSERT_EQ((*score)->set_input(ids, 0), Error::Ok);
    ASSERT_EQ((*score)->set_input(start_tensor, 1), Error::Ok);
    ASSERT_EQ((*score)->set_input(targets, 2), Error::Ok);
    ASSERT_EQ((*score)->execute(), Error::Ok) << TakeMessage();
    const Tensor logprobs = (*score)->get_output(0).toTensor();
    EXPECT_EQ(logprobs.numel(), tokens);
    EXPECT_EQ((*score)->get_output(1).toTensor().numel(), tokens * 5);
    EXPECT_LT(logprobs.const_data_ptr<float>()[tokens - 1], 0);
    start += tokens;
  }
  // Targets must be as many as tokens.
  Ids targets({1, 2}, {1, 1});
  ASSERT_EQ((*score)->set_input(targets, 2), Error::Ok);
  EXPECT_EQ((*score)->execute(), Error::InvalidArgument);
  EXPECT_EQ(TakeMessage(), "2 targets for 1 tokens");
}

TEST_F(GemmaDelegateTest, APlainHostGetsAModelAMethod) {
  // A wrong size or a missing weight, too, would come through here,
  // so take the map of ExecuTorch itself.
  Open();
  const std::string ptd = WritePtd(tiny_.data);
  BufferDataLoader data(ptd.data(), ptd.size());
  const Result<FlatTensorDataMap> map = FlatTensorDataMap::load(&data);
  ASSERT_EQ(map.error(), Error::Ok);
  LoadedMethod prefill(program(), "prefill", &map.get());
  ASSERT_EQ(prefill.error(), Error::Ok) << TakeMessage();
  ASSERT_EQ(Execute(*prefill, {1, 2, 3}, 0), Error::Ok) << TakeMessage();
  const int64_t first = Token(*prefill);
  ASSERT_EQ(Execute(*prefill, {first}, 3), Error::Ok) << TakeMessage();
  const int64_t second = Token(*prefill);
  ASSERT_EQ(Execute(*prefill, {1, 2, 3, first}, 0), Error::Ok) << TakeMessage();
  EXPECT_EQ(Token(*prefill), second);
}

TEST_F(GemmaDelegateTest, APlainHostIsToldWhatIsMissing) {
  Open();
  EXPECT_EQ(LoadedMethod(program(), "prefill").error(), Error::NotFound);
  EXPECT_EQ(TakeMessage(), "the program was loaded without its .ptd file");
  auto data = tiny_.data;
  data.erase("norm.weight");
  const std::string ptd = WritePtd(data);
  BufferDataLoader loader(ptd.data(), ptd.size());
  const Result<FlatTensorDataMap> map = FlatTensorDataMap::load(&loader);
  EXPECT_EQ(LoadedMethod(program(), "prefill", &map.get()).error(), Error::NotFound);
  EXPECT_THAT(TakeMessage(), HasSubstr("weight norm.weight is not in the data"));
}

TEST_F(GemmaDelegateTest, BadPlansAreRefusedAtLoad) {
  TestMethod damaged = Method_(PlanMethod::kPrefill);
  damaged.payload.resize(damaged.payload.size() / 2);
  TestMethod renamed = Method_(PlanMethod::kPrefill);
  renamed.name = "decode";
  Open({damaged, renamed});
  EXPECT_EQ(LoadedMethod(program(), "prefill").error(), Error::InvalidArgument);
  EXPECT_THAT(TakeMessage(), HasSubstr("bytes is truncated or corrupt"));
  EXPECT_EQ(LoadedMethod(program(), "decode").error(), Error::InvalidArgument);
  EXPECT_EQ(TakeMessage(), "plan: the program's method decode carries the plan of prefill");
}

// The program's tensors need not be those of the plan's method.
TEST_F(GemmaDelegateTest, OtherTensorsAreRefusedAtExecution) {
  TestMethod fewer = Method_(PlanMethod::kPrefill);
  fewer.inputs.pop_back();
  TestMethod other_type = Method_(PlanMethod::kDecode);
  other_type.outputs[0].floating = true;
  Open({fewer, other_type});
  auto model = std::make_shared<Model>(std::make_unique<FakeExecutor>());
  std::optional<LoadedMethod> prefill;
  std::optional<LoadedMethod> decode;
  {
    ScopedLoad load(model);
    prefill.emplace(program(), "prefill");
    decode.emplace(program(), "decode");
  }
  MemoryWeights weights(tiny_.data);
  ASSERT_TRUE(model->Load(weights).ok());
  const auto session = *model->NewSession();
  ScopedSession bound(*session);
  Ids ids({1, 1}, {1});
  Ids number({1}, {0});
  Floats sampling({4}, {0, 0, 1, 0});
  for (size_t i = 0; i < 4; ++i) {
    ASSERT_EQ((*prefill)->set_input(i == 0   ? EValue(ids)
                                    : i == 3 ? EValue(sampling)
                                             : EValue(number),
                                    i),
              Error::Ok);
  }
  EXPECT_NE((*prefill)->execute(), Error::Ok);
  EXPECT_EQ(TakeMessage(), "prefill has 5 inputs and outputs, not 6");
  EXPECT_EQ(Execute(**decode, {1}, 0), Error::InvalidArgument);
  EXPECT_EQ(TakeMessage(), "decode: token has scalar type 6, not 4");
}

TEST_F(GemmaDelegateTest, ASharedModelNeedsASession) {
  Open();
  auto model = std::make_shared<Model>(std::make_unique<FakeExecutor>());
  std::optional<LoadedMethod> prefill;
  {
    ScopedLoad load(model);
    prefill.emplace(program(), "prefill");
  }
  EXPECT_EQ(Execute(**prefill, {1}, 0), Error::InvalidState);
  EXPECT_EQ(TakeMessage(), "a method was executed without a session");
}

// Our generated FlatBuffers code and ExecuTorch's are of different versions, with the same symbol
// names. If ours were visible to the dynamic linker, ExecuTorch's verifier would call ours; see
// BUILD.bazel, "-fvisibility=hidden".
TEST_F(GemmaDelegateTest, ExecuTorchUsesItsOwnVerifier) {
  for (const char* symbol : {"_ZNK11flatbuffers8Verifier12VerifyStringEPKNS_6StringE",
                             "_ZNK11flatbuffers5Table11VerifyFieldIjEEbRKNS_8VerifierEtm",
                             "_ZNK11flatbuffers8Verifier20VerifyVectorOrStringIjEEbPKhmPm",
                             "_ZNK11flatbuffers5Table12VerifyOffsetIjEEbRKNS_8VerifierEt"}) {
    void* found = dlsym(RTLD_DEFAULT, symbol);
    if (found == nullptr) continue;
    Dl_info info = {};
    ASSERT_NE(dladdr(found, &info), 0);
    EXPECT_THAT(info.dli_fname, HasSubstr("libexecutorch")) << symbol;
  }
}

}  // namespace
}  // namespace gemma
