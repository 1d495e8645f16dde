// The engine on an artifact folder that the test writes:
// everything between the files and a session's results.
#include "cc/engine/load_engine.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "cc/base/sha256.h"
#include "cc/delegate/testing/program_writer.h"
#include "cc/plan/testing/tiny_model.h"
#include "cc/weights/testing/ptd_writer.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr SamplingParams kGreedy = {};

class LoadEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
    const TinyModel tiny(TinyModelConfig{});
    std::vector<TestMethod> methods;
    for (const PlanMethod method :
         {PlanMethod::kPrefill, PlanMethod::kDecode, PlanMethod::kScore}) {
      methods.push_back(MakeTestMethod(tiny.MakePlan(method)));
    }
    files_ = {{"model.pte", WriteProgram(methods)}, {"model.ptd", WritePtd(tiny.data)}};
    WriteFolder();
  }

  // Writes the files, and a manifest that tells the truth
  // about them except where `spoil` changes it.
  void WriteFolder(const std::function<void(json&)>& spoil = [](json&) {}) {
    json manifest = {{"format_version", 1},
                     {"model", {{"name", "tiny"}, {"config", json::object()}}},
                     {"recipe", "none"},
                     {"max_seq_len", 64},
                     {"max_prefill_chunk", 16},
                     {"methods", {"decode", "prefill", "score"}},
                     {"files", json::array()},
                     {"tokenizer", nullptr},
                     {"sampling", {{"temperature", 0.0}, {"top_k", 0}, {"top_p", 1.0}}},
                     {"versions", json::object()}};
    for (const auto& [name, contents] : files_) {
      WriteFile(name, contents);
      const std::string digest = *Sha256Hex(std::as_bytes(std::span<const char>(contents)));
      manifest["files"].push_back({{"name", name}, {"bytes", contents.size()}, {"sha256", digest}});
    }
    spoil(manifest);
    WriteFile("manifest.json", manifest.dump());
  }

  void WriteFile(const std::string& name, const std::string& contents) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << contents;
  }

  absl::StatusOr<std::unique_ptr<Engine>> Load() const {
    return LoadEngine(folder_, {.threads = 2});
  }

  static std::string Message(const absl::Status& status) {
    return status.ok() ? "loaded" : std::string(status.message());
  }

  // Who looks into the folder is told the same, unless the weights' bytes are wrong.
  std::string LoadMessage() const {
    const std::string message = Message(Load().status());
    if (!absl::StrContains(message, "model.ptd: its sha256")) {
      EXPECT_EQ(Message(DescribeArtifact(folder_, /*random_weights=*/false).status()), message);
    }
    return message;
  }

  std::string folder_;
  std::map<std::string, std::string> files_;
};

std::vector<int32_t> Tokens(int count) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((7 * i + 3) % 128);
  return tokens;
}

TEST_F(LoadEngineTest, LoadsAndDescribesItself) {
  const auto engine = Load();
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ((*engine)->limits().max_seq_len, 64);
  EXPECT_EQ((*engine)->limits().vocab_size, 128);
  EXPECT_TRUE((*engine)->limits().can_generate);
  EXPECT_EQ((*engine)->tokenizer(), nullptr);
  EXPECT_EQ((*engine)->load_info().phases().size(), 4u);
  EXPECT_GT((*engine)->memory().weights, 0u);
  EXPECT_GT((*engine)->memory().session, 0u);
}

TEST_F(LoadEngineTest, DescribesWhatItWouldLoad) {
  const auto artifact = DescribeArtifact(folder_, /*random_weights=*/false);
  ASSERT_TRUE(artifact.ok()) << artifact.status();
  ASSERT_EQ(artifact->methods.size(), 3u);
  for (const MethodDescription& method : artifact->methods) {
    EXPECT_EQ(method.max_tokens, method.name == "decode" ? 1 : 16);
    EXPECT_EQ(method.steps.back().operation, method.name == "score" ? "Score" : "Sample");
    EXPECT_GT(method.cache_bytes, 0u);
    ASSERT_EQ(method.layouts.size(), 1u);
    EXPECT_EQ(method.layouts[0].layout, "F32");
    EXPECT_EQ(method.layouts[0].weights, method.weights);
    EXPECT_EQ(method.layouts[0].bytes, 4 * method.layouts[0].parameters);
  }
}

TEST_F(LoadEngineTest, WeightsThatAreToBeRandomNeedNotBeThere) {
  std::map<std::string, std::vector<std::byte>> some = TinyModel({}).data;
  some.erase("norm.weight");
  files_["model.ptd"] = WritePtd(some);
  WriteFolder();
  EXPECT_FALSE(DescribeArtifact(folder_, /*random_weights=*/false).ok());
  EXPECT_TRUE(DescribeArtifact(folder_, /*random_weights=*/true).ok());
}

TEST_F(LoadEngineTest, ChunksDoNotChangeWhatIsGenerated) {
  const auto engine = *Load();
  const std::vector<int32_t> prompt = Tokens(37);
  std::vector<int32_t> expected;
  for (const int64_t chunk : {0, 1, 3, 7, 8, 9, 16}) {
    const auto session = *engine->NewSession({.prefill_chunk = chunk});
    std::vector<int32_t> text = {*session->Prefill(prompt, kGreedy)};
    while (text.size() < 10) text.push_back(*session->Decode(text.back(), kGreedy));
    EXPECT_EQ(session->position(), 46);
    if (expected.empty()) expected = text;
    EXPECT_EQ(text, expected) << chunk;
  }
}

TEST_F(LoadEngineTest, ScoresAgreeWithDecoding) {
  const auto engine = *Load();
  const std::vector<int32_t> tokens = Tokens(40);
  const auto scores = *(*engine->NewSession({}))->Score(tokens);
  ASSERT_EQ(scores.size(), 40u);
  EXPECT_TRUE(std::isnan(scores.back().next_logprob));
  const auto session = *engine->NewSession({});
  for (size_t i = 0; i < tokens.size(); ++i) {
    EXPECT_EQ(*session->Decode(tokens[i], kGreedy), scores[i].top_ids[0]) << i;
    EXPECT_EQ(scores[i].top_ids.size(), 5u);
    for (size_t k = 1; k < 5; ++k)
      EXPECT_LE(scores[i].top_logprobs[k], scores[i].top_logprobs[k - 1]);
  }
  const auto chunked = *(*engine->NewSession({.prefill_chunk = 9}))->Score(tokens);
  for (size_t i = 0; i + 1 < tokens.size(); ++i)
    EXPECT_NEAR(chunked[i].next_logprob, scores[i].next_logprob, 1e-4);
}

TEST_F(LoadEngineTest, AppendGivesTheLogitsThatOthersDrawFrom) {
  const auto engine = *Load();
  const std::vector<int32_t> prompt = Tokens(37);
  const auto drawing = *engine->NewSession({.prefill_chunk = 9});
  const auto appending = *engine->NewSession({.prefill_chunk = 9});
  std::vector<float> logits(128);
  const auto likeliest = [&] {
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  };
  int32_t token = *drawing->Prefill(prompt, kGreedy);
  ASSERT_TRUE(appending->Append(std::span(prompt).first(20), {}).ok());
  ASSERT_TRUE(appending->Append(std::span(prompt).subspan(20), logits).ok());
  EXPECT_EQ(appending->position(), 37);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(likeliest(), token) << i;
    ASSERT_TRUE(appending->Append({&token, 1}, logits).ok());
    token = *drawing->Decode(token, kGreedy);
  }
  std::vector<float> few(127);
  EXPECT_THAT(std::string(appending->Append({&token, 1}, few).message()),
              HasSubstr("there is room for 127 logits, but the model has 128 tokens"));
  EXPECT_FALSE(appending->Append(Tokens(30), logits).ok()) << "the context ends at 64";
}

TEST_F(LoadEngineTest, WhatDoesNotFitIsRefusedBeforeItRuns) {
  const auto engine = *Load();
  const auto session = *engine->NewSession({});
  EXPECT_THAT(std::string(session->Prefill(Tokens(65), kGreedy).status().message()),
              HasSubstr("the prompt has 65 tokens, but the context of this artifact ends at 64"));
  EXPECT_EQ(session->position(), 0);
  EXPECT_TRUE(session->Prefill(Tokens(64), kGreedy).ok());
  EXPECT_THAT(std::string(session->Decode(1, kGreedy).status().message()),
              HasSubstr("64 positions are in use and 1 tokens follow"));
  EXPECT_FALSE(session->Prefill({}, kGreedy).ok());
  EXPECT_THAT(std::string(engine->NewSession({.prefill_chunk = 17}).status().message()),
              HasSubstr("prefill_chunk is 17 (1 to 16"));
  EXPECT_THAT(std::string((*engine->NewSession({}))->Decode(128, kGreedy).status().message()),
              HasSubstr("token 0 has id 128, which is not in [0, 128)"));
}

TEST_F(LoadEngineTest, TheCallIsCheckedBeforeWeightsAreRead) {
  std::filesystem::remove(folder_ + "/model.ptd");
  EngineOptions options = {.threads = 2};
  options.check = [](const Engine& engine) {
    EXPECT_EQ(engine.limits().vocab_size, 128);
    return absl::InvalidArgumentError("no such token");
  };
  EXPECT_EQ(LoadEngine(folder_, options).status().message(), "no such token");
}

TEST_F(LoadEngineTest, SuppressedIdsAreNeverDrawn) {
  const int32_t first = *(*(*Load())->NewSession({}))->Prefill(Tokens(9), kGreedy);
  WriteFolder([&](json& m) { m["suppressed_ids"] = {first}; });
  const auto engine = *Load();
  const auto session = *engine->NewSession({});
  int32_t token = *session->Prefill(Tokens(9), kGreedy);
  for (int i = 0; i < 10; ++i) {
    EXPECT_NE(token, first);
    token = *session->Decode(token, kGreedy);
  }
  WriteFolder([](json& m) { m["suppressed_ids"] = {128}; });
  EXPECT_THAT(LoadMessage(), HasSubstr("suppressed id 128 is not among the model's 128 tokens"));
}

TEST(CheckFitsTest, NamesBothNumbersAndTheRemedy) {
  const ExecutorMemory memory = {
      .weights = 17'890'000'000, .activations = 13'150'000'000, .free = 23'770'000'000};
  EXPECT_EQ(CheckFits(memory).message(),
            "the model needs 31.0 GB (weights 17.9 GB, activations 13.2 GB, workspace 0 B), but "
            "23.8 GB are free (free some, or export with a smaller --recipe or "
            "--max_prefill_chunk)");
  EXPECT_TRUE(CheckFits({.weights = 10, .session = 90, .free = 10}).ok());
}

TEST_F(LoadEngineTest, SessionsAreIndependentAndCanBeRewound) {
  const auto engine = *Load();
  const std::vector<int32_t> prompt = Tokens(12);
  const auto first = *engine->NewSession({});
  const auto second = *engine->NewSession({});
  const int32_t expected = *first->Prefill(prompt, kGreedy);
  const std::vector<int32_t> reversed(prompt.rbegin(), prompt.rend());
  ASSERT_TRUE(second->Prefill(reversed, kGreedy).ok());
  const int32_t next = *first->Decode(expected, kGreedy);
  ASSERT_TRUE(first->Rewind(0).ok());
  EXPECT_EQ(*first->Prefill(prompt, kGreedy), expected);
  EXPECT_EQ(*first->Decode(expected, kGreedy), next);
  ASSERT_TRUE(first->Rewind(12).ok());
  EXPECT_EQ(*first->Decode(expected, kGreedy), next);
  EXPECT_FALSE(first->Rewind(14).ok());
}

TEST_F(LoadEngineTest, CancelledSessionsStop) {
  const auto engine = *Load();
  std::atomic<bool> cancelled = true;
  const auto session = *engine->NewSession({.cancelled = &cancelled});
  EXPECT_EQ(session->Prefill(Tokens(3), kGreedy).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(session->position(), 0);
  cancelled = false;
  EXPECT_TRUE(session->Prefill(Tokens(3), kGreedy).ok());
}

TEST_F(LoadEngineTest, DamagedFilesAreRefused) {
  for (const std::string name : {"model.pte", "model.ptd"}) {
    const std::string good = files_[name];
    std::string damaged = good;
    damaged[good.size() - 2] ^= 1;
    WriteFile(name, damaged);
    EXPECT_THAT(LoadMessage(), HasSubstr(name + ": its sha256 is "));
    WriteFile(name, good.substr(0, good.size() - 1));
    EXPECT_THAT(LoadMessage(), HasSubstr("(the file is truncated or from another export)"));
    std::filesystem::remove(folder_ + "/" + name);
    EXPECT_THAT(LoadMessage(), HasSubstr(name));
    WriteFile(name, good);
  }
  EXPECT_EQ(LoadMessage(), "loaded");
}

TEST_F(LoadEngineTest, TheManifestMustAgreeWithTheProgram) {
  WriteFolder([](json& m) { m["methods"] = {"decode"}; });
  EXPECT_THAT(
      LoadMessage(),
      HasSubstr("model.pte: has the methods decode, prefill, score, but the manifest says decode"));
  WriteFolder([](json& m) { m["max_seq_len"] = 65; });
  EXPECT_THAT(LoadMessage(), HasSubstr("holds 64 positions, but the manifest says max_seq_len 65"));
  WriteFolder([](json& m) { m["max_prefill_chunk"] = 15; });
  EXPECT_THAT(LoadMessage(),
              HasSubstr("takes 16 tokens, but the manifest says max_prefill_chunk 15"));
}

TEST_F(LoadEngineTest, WeightsMayLieInSeveralFiles) {
  const TinyModel tiny(TinyModelConfig{});
  auto data = tiny.data;
  const auto moved = data.extract("norm.weight");
  files_["model.ptd"] = WritePtd(data);
  WriteFolder();
  EXPECT_THAT(LoadMessage(), HasSubstr("weight norm.weight is in no .ptd file"));
  files_["more.ptd"] = WritePtd({{moved.key(), moved.mapped()}});
  WriteFolder();
  EXPECT_EQ(LoadMessage(), "loaded");
  files_["again.ptd"] = files_["more.ptd"];
  WriteFolder();
  EXPECT_THAT(LoadMessage(), HasSubstr("weight norm.weight is in two .ptd files"));
}

// As in gemma_delegate_test, with everything that a program links, the tokenizer included.
TEST_F(LoadEngineTest, ExecuTorchUsesItsOwnVerifier) {
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
