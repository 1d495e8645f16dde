// ExecuTorch's own runtime reads an exported artifact: every weight in the .ptd, every method of
// the .pte, with one token and with as many as a call can carry. A delegate that only looks at what
// it is given stands in for cc/delegate.
#include <executorch/extension/data_loader/file_data_loader.h>
#include <executorch/extension/flat_tensor/flat_tensor_data_map.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor_ptr.h>
#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/platform/runtime.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

using executorch::extension::FileDataLoader;
using executorch::extension::FlatTensorDataMap;
using executorch::extension::make_tensor_ptr;
using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::runtime::ArrayRef;
using executorch::runtime::BackendExecutionContext;
using executorch::runtime::BackendInitContext;
using executorch::runtime::BackendInterface;
using executorch::runtime::CompileSpec;
using executorch::runtime::DelegateHandle;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;
using executorch::runtime::Span;

constexpr int kTop = 5;
constexpr int kVocab = 512;     // of the tiny checkpoint
constexpr int kHidden = 256;    // of the tiny checkpoint
constexpr int kMaxTokens = 40;  // max_prefill_chunk of its artifact

std::string ArtifactFile(const std::string& name) {
  return std::string(std::getenv("ARTIFACT")) + "/" + name;
}

// Gives each output the number of tokens of the first input, and counts what it saw.
class LookingDelegate final : public BackendInterface {
 public:
  bool is_available() const override { return true; }

  Result<DelegateHandle*> init(BackendInitContext&, FreeableBuffer* payload,
                               ArrayRef<CompileSpec> specs) const override {
    EXPECT_EQ(specs.size(), 0u);
    EXPECT_GT(payload->size(), 8u);
    const std::string_view bytes(static_cast<const char*>(payload->data()), payload->size());
    EXPECT_EQ(bytes.substr(4, 4), "GPLN");
    return nullptr;
  }

  Error execute(BackendExecutionContext& context, DelegateHandle*,
                Span<EValue*> arguments) const override {
    const int tokens = static_cast<int>(arguments[0]->toTensor().size(1));
    const bool score = std::string_view(context.get_method_name()) == "score";
    EXPECT_EQ(arguments.size(), 6u);  // 3 inputs and 3 outputs, or 5 and 1
    std::map<const void*, size_t> places;
    for (EValue* argument : arguments) {
      places[argument->toTensor().const_data_ptr()] = argument->toTensor().nbytes();
    }
    EXPECT_EQ(places.size(), 6u) << "two tensors begin at one place";
    if (!score) {
      arguments[5]->toTensor().mutable_data_ptr<int64_t>()[0] = tokens;
      return Error::Ok;
    }
    const std::vector<std::vector<int>> shapes = {
        {1, tokens}, {1, tokens, kTop}, {1, tokens, kTop}};
    for (size_t i = 0; i < shapes.size(); ++i) {
      std::vector<executorch::aten::SizesType> sizes(shapes[i].begin(), shapes[i].end());
      auto output = arguments[3 + i]->toTensor();
      const Error error =
          executorch::ET_RUNTIME_NAMESPACE::resize_tensor(output, {sizes.data(), sizes.size()});
      if (error != Error::Ok) return error;
    }
    return Error::Ok;
  }
};

class RuntimeReadsArtifact : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    executorch::runtime::runtime_init();
    static LookingDelegate delegate;
    ASSERT_EQ(executorch::runtime::register_backend({"GemmaDelegate", &delegate}), Error::Ok);
  }

  Module module_{ArtifactFile("model.pte")};
};

std::vector<EValue> Values(const std::vector<TensorPtr>& tensors) {
  std::vector<EValue> values;
  for (const TensorPtr& tensor : tensors) values.emplace_back(*tensor);
  return values;
}

std::vector<EValue> GenerateInputs(std::vector<TensorPtr>& owned, int tokens) {
  owned = {make_tensor_ptr({1, tokens}, std::vector<int64_t>(tokens, 7)),
           make_tensor_ptr({1}, std::vector<int64_t>{0}),
           make_tensor_ptr({1}, std::vector<int64_t>{1}),
           make_tensor_ptr({4}, std::vector<float>{0, 0, 1, 0}),
           make_tensor_ptr({1}, std::vector<int64_t>{3})};
  return Values(owned);
}

TEST_F(RuntimeReadsArtifact, Methods) {
  const auto names = module_.method_names();
  ASSERT_TRUE(names.ok());
  // The delegate's, and ExecuTorch's constant ones.
  EXPECT_EQ(*names, (std::unordered_set<std::string>{
                        "decode", "prefill", "score", "get_max_seq_len", "get_max_prefill_chunk",
                        "get_vocab_size", "get_n_layers", "get_bos_id", "get_eos_ids",
                        "use_kv_cache", "enable_dynamic_shape"}));
}

TEST_F(RuntimeReadsArtifact, PrefillTakesAnyNumberOfTokens) {
  std::vector<TensorPtr> owned;
  for (const int tokens : {kMaxTokens, 1, 2, 17, 1}) {
    const auto result = module_.execute("prefill", GenerateInputs(owned, tokens));
    ASSERT_TRUE(result.ok()) << tokens << " tokens";
    const auto token = result->at(0).toTensor();
    EXPECT_EQ(token.numel(), 1);
    EXPECT_EQ(token.const_data_ptr<int64_t>()[0], tokens);
  }
  EXPECT_FALSE(module_.execute("prefill", GenerateInputs(owned, kMaxTokens + 1)).ok());
}

TEST_F(RuntimeReadsArtifact, DecodeTakesOneToken) {
  std::vector<TensorPtr> owned;
  EXPECT_TRUE(module_.execute("decode", GenerateInputs(owned, 1)).ok());
  EXPECT_FALSE(module_.execute("decode", GenerateInputs(owned, 2)).ok());
}

TEST_F(RuntimeReadsArtifact, ScoreGivesARowForEachToken) {
  for (const int tokens : {1, 9, kMaxTokens}) {
    const std::vector<TensorPtr> owned = {
        make_tensor_ptr({1, tokens}, std::vector<int64_t>(tokens, 7)),
        make_tensor_ptr({1}, std::vector<int64_t>{0}),
        make_tensor_ptr({1, tokens}, std::vector<int64_t>(tokens, -1))};
    const auto result = module_.execute("score", Values(owned));
    ASSERT_TRUE(result.ok()) << tokens << " tokens";
    ASSERT_EQ(result->size(), 3u);
    EXPECT_EQ(result->at(0).toTensor().numel(), tokens);
    EXPECT_EQ(result->at(1).toTensor().numel(), tokens * kTop);
    EXPECT_EQ(result->at(2).toTensor().numel(), tokens * kTop);
  }
}

TEST_F(RuntimeReadsArtifact, Weights) {
  auto loader = FileDataLoader::from(ArtifactFile("model.ptd").c_str());
  ASSERT_TRUE(loader.ok());
  const auto weights = FlatTensorDataMap::load(&*loader);
  ASSERT_TRUE(weights.ok());
  // Six layers: five sliding ones of 14 weights, a full one of 13; embedding, norm, two tables.
  EXPECT_EQ(weights->get_num_keys().get(), 5u * 14 + 13 + 4);
  for (uint32_t i = 0; i < weights->get_num_keys().get(); ++i) {
    const char* key = weights->get_key(i).get();
    const auto data = weights->get_data(key);
    ASSERT_TRUE(data.ok()) << key;
    EXPECT_GT(data->size(), 0u) << key;
  }
  const auto embedding = weights->get_data("embed_tokens.weight");
  ASSERT_TRUE(embedding.ok());
  EXPECT_EQ(embedding->size(), sizeof(float) * kVocab * kHidden);
  // The first rope frequency of every model is 1.
  const auto frequencies = weights->get_data("rope.sliding.frequencies");
  ASSERT_TRUE(frequencies.ok());
  float first = 0;
  std::memcpy(&first, frequencies->data(), sizeof(first));
  EXPECT_EQ(first, 1.0f);
}

}  // namespace
