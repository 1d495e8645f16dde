// The CUDA executor against the reference executor, on small random models whose sizes lie next to
// every border: on a GPU, or with the kernels emulated on the CPU.
#include "cc/executor/cuda/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <utility>

#include "cc/executor/model.h"
#include "cc/executor/testing/drawn_logits.h"
#include "cc/executor/testing/reference_executor.h"
#include "cc/kernels/cuda/testing/device_array.h"
#include "cc/plan/testing/tiny_model.h"
#include "cc/weights/testing/memory_weights.h"

namespace gemma {
namespace {

// Of a log-probability. Inputs of products, keys and values are rounded to float16 (relative error
// 2^-11 at most, 2e-4 in the mean): 3 layers of 8 such roundings make about 2e-4 * sqrt(24) = 1e-3
// of a logit, whose spread is about 1 here, and the largest of a thousand is some 4 times that.
constexpr double kTolerance = 1e-2;
// In pairs, and where the plan's caches are float32, only values, softmax weights and, with more
// rows than a matrix-vector product takes, weights are rounded to float16: at most 3 roundings of
// 8, or 1.
constexpr double kPairedTolerance = 6e-3;
constexpr double kPairedOneTokenTolerance = 4e-3;

// How a plan says that keys, values and activations are stored; the reference computes with float32
// in any case.
struct Stored {
  CacheType cache;
  ActivationPrecision activations;

  std::string Name() const {
    const bool pairs = activations == ActivationPrecision::kFloat16Pairs;
    return std::string(pairs ? "pairs" : "float16") + ", caches " + CacheTypeName(cache) + ", ";
  }
  double Tolerance(int64_t chunk) const {
    if (cache != CacheType::kF32 || activations != ActivationPrecision::kFloat16Pairs)
      return kTolerance;
    return chunk == 1 ? kPairedOneTokenTolerance : kPairedTolerance;
  }
  TinyModel Apply(TinyModelConfig config) const {
    config.cache = cache;
    config.activations = activations;
    return TinyModel(config);
  }
};

// What export writes unless it is told otherwise.
constexpr Stored kDefaults[] = {{CacheType::kF32, ActivationPrecision::kFloat16Pairs},
                                {CacheType::kF16, ActivationPrecision::kFloat16}};
// And the rest.
constexpr Stored kOthers[] = {{CacheType::kF32, ActivationPrecision::kFloat16},
                              {CacheType::kF16, ActivationPrecision::kFloat16Pairs},
                              {CacheType::kBF16, ActivationPrecision::kFloat16}};

struct Scores {
  std::vector<float> logprobs;
  std::vector<int64_t> top_ids;
  std::vector<float> top_logprobs;
};

std::unique_ptr<Model> MakeModel(const TinyModel& tiny, std::unique_ptr<Executor> executor) {
  auto model = std::make_unique<Model>(std::move(executor));
  for (const PlanMethod method : {PlanMethod::kPrefill, PlanMethod::kDecode, PlanMethod::kScore}) {
    EXPECT_TRUE(model->AddPlan(tiny.MakePlan(method)).ok());
  }
  MemoryWeights source(tiny.data);
  const absl::Status status = model->Load(source);
  EXPECT_TRUE(status.ok()) << status;
  return model;
}

std::unique_ptr<Model> CudaModel(const TinyModel& tiny,
                                 const std::vector<int32_t>& suppressed_ids = {}) {
  const cuda::TestContext context;
  return MakeModel(tiny, *CudaExecutor::Create(
                             {.device = context.get().device, .suppressed_ids = suppressed_ids}));
}

std::unique_ptr<Model> ReferenceModel(const TinyModel& tiny) {
  return MakeModel(tiny, std::make_unique<ReferenceExecutor>());
}

// Sizes with kernels of their own: tiles of matvec, heads of 64, a fused norm. Scores have a
// deviation of about 1, as in trained models: where attention is sharper, it amplifies every error.
TinyModelConfig Config() {
  return {.hidden = 128,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 64,
          .mlp = 192,
          .window = 8,
          .max_tokens = 17,
          .max_context = 64,
          .attention_scale = 0.125f,
          .layout = WeightLayout::kInt4};
}

std::vector<int64_t> RandomTokens(int64_t count, int64_t vocab, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int64_t> tokens(count);
  for (int64_t& token : tokens) token = random() % vocab;
  return tokens;
}

void ScoreChunk(const Model& model, SessionState& session, std::span<const int64_t> tokens,
                int64_t start, int64_t count, Scores& scores) {
  std::vector<int64_t> targets(count, -1);
  for (int64_t i = 0; i < count; ++i) {
    if (start + i + 1 < static_cast<int64_t>(tokens.size())) targets[i] = tokens[start + i + 1];
  }
  const Call call = {
      .tokens = tokens.subspan(start, count), .start = start, .sampling = {}, .targets = targets};
  const CallResults results = {
      .logprobs = std::span(scores.logprobs).subspan(start, count),
      .top_ids = std::span(scores.top_ids).subspan(start * 5, count * 5),
      .top_logprobs = std::span(scores.top_logprobs).subspan(start * 5, count * 5)};
  const absl::Status status = model.Run(PlanMethod::kScore, session, call, results);
  ASSERT_TRUE(status.ok()) << status;
}

Scores Room(size_t size) {
  return {std::vector<float>(size), std::vector<int64_t>(size * 5), std::vector<float>(size * 5)};
}

Scores ScoreAll(const Model& model, std::span<const int64_t> tokens, int64_t chunk) {
  const auto session = *model.NewSession();
  const auto size = static_cast<int64_t>(tokens.size());
  Scores scores = Room(tokens.size());
  for (int64_t start = 0; start < size; start += chunk) {
    ScoreChunk(model, *session, tokens, start, std::min(chunk, size - start), scores);
  }
  return scores;
}

// The largest difference between `a` and the scores of a text that begins with a's tokens.
double Difference(const Scores& a, const Scores& b) {
  double largest = 0;
  const auto compare = [&](float x, float y) {
    EXPECT_FALSE(std::isnan(x));
    largest = std::max<double>(largest, std::abs(x - y));
  };
  EXPECT_TRUE(std::isnan(a.logprobs.back()));
  for (size_t i = 0; i + 1 < a.logprobs.size(); ++i) compare(a.logprobs[i], b.logprobs[i]);
  for (size_t i = 0; i < a.top_logprobs.size(); ++i) compare(a.top_logprobs[i], b.top_logprobs[i]);
  return largest;
}

void ExpectClose(const Scores& scores, const Scores& expected, const std::string& what,
                 double tolerance) {
  const double difference = Difference(scores, expected);
  EXPECT_LT(difference, tolerance) << what;
  std::printf("%-40s error %.2e, %5.2f %% of the tolerance\n", what.c_str(), difference,
              100 * difference / tolerance);
}

absl::StatusOr<int64_t> Step(const Model& model, PlanMethod method, SessionState& session,
                             std::span<const int64_t> tokens, bool emit,
                             const SamplingParams& sampling) {
  int64_t token = -2;
  const Call call = {.tokens = tokens,
                     .start = session.length(),
                     .emit = emit,
                     .sampling = sampling,
                     .targets = {}};
  const absl::Status status = model.Run(method, session, call, {.token = &token});
  if (!status.ok()) return status;
  return token;
}

// A prefill in chunks, then decode.
std::vector<int64_t> Generate(const Model& model, std::span<const int64_t> prompt, int64_t chunk,
                              int64_t count, const SamplingParams& sampling = {}) {
  const auto session = *model.NewSession();
  int64_t token = -1;
  const auto size = static_cast<int64_t>(prompt.size());
  for (int64_t start = 0; start < size; start += chunk) {
    const int64_t tokens = std::min(chunk, size - start);
    const bool emit = start + tokens == size;
    token =
        *Step(model, PlanMethod::kPrefill, *session, prompt.subspan(start, tokens), emit, sampling);
    EXPECT_EQ(token >= 0, emit);
  }
  std::vector<int64_t> text = {token};
  while (static_cast<int64_t>(text.size()) < count) {
    const std::vector<int64_t> last = {token};
    token = *Step(model, PlanMethod::kDecode, *session, last, true, sampling);
    text.push_back(token);
  }
  return text;
}

// Window 8 and chunks of up to 17: chunks at, before and after one and two windows; one token
// (matvec with a fused norm), 2 to 8 (matvec), more (GEMM); rings that wrap, tails of any length.
TEST(CudaExecutorTest, ScoresLikeTheReferenceForEveryChunk) {
  TinyModelConfig flat_config = Config();
  flat_config.flat_caches = true;
  const TinyModel flat(flat_config);
  const std::vector<int64_t> tokens = RandomTokens(45, flat.config.vocab, 1);
  // The reference holds everything and takes one token at a time.
  const Scores expected = ScoreAll(*ReferenceModel(flat), tokens, 1);
  for (const Stored& stored : kDefaults) {
    const auto model = CudaModel(stored.Apply(Config()));
    for (const int64_t chunk : {1, 2, 4, 5, 8, 9, 17}) {
      // The ring of 24 wraps in any case.
      const auto first = std::span(tokens).first(chunk <= 2 ? 27 : 45);
      ExpectClose(ScoreAll(*model, first, chunk), expected,
                  stored.Name() + "chunks of " + std::to_string(chunk), stored.Tolerance(chunk));
    }
  }
}

// Caches and activations each in every type: head sizes with kernels of their own, and without.
TEST(CudaExecutorTest, EveryPrecisionWithEveryCacheType) {
  for (const TinyModelConfig& config : {Config(), TinyModelConfig{.max_tokens = 17}}) {
    const TinyModel tiny(config);
    const std::vector<int64_t> tokens = RandomTokens(20, tiny.config.vocab, 1);
    const Scores expected = ScoreAll(*ReferenceModel(tiny), tokens, 10);
    for (const Stored& stored : kOthers) {
      const auto model = CudaModel(stored.Apply(config));
      for (const int64_t chunk : {1, 3, 10}) {
        const auto first = std::span(tokens).first(std::min<int64_t>(20, 9 * chunk));
        ExpectClose(ScoreAll(*model, first, chunk), expected,
                    stored.Name() + std::to_string(chunk) + " at once", stored.Tolerance(chunk));
      }
    }
  }
}

// Where even one decoded token is another, so that the greedy text must agree where the best two
// ids are further apart than the error.
TEST(CudaExecutorTest, GeneratesTheSameTextWhateverTheChunk) {
  const TinyModel tiny(Config());
  const std::vector<int64_t> prompt = RandomTokens(20, tiny.config.vocab, 1);
  const std::vector<int64_t> expected = Generate(*ReferenceModel(tiny), prompt, 17, 12);
  const auto model = CudaModel(tiny);
  for (const int64_t chunk : {1, 5, 9, 17}) {
    EXPECT_EQ(Generate(*model, prompt, chunk, 12), expected) << "chunks of " << chunk;
  }
}

// A session's first call of so many tokens is captured, the later ones are the same graph at other
// positions, with other tokens.
TEST(CudaExecutorTest, CallsOfFewTokensAreOneGraph) {
  const TinyModel tiny(Config());
  const std::vector<int64_t> tokens = RandomTokens(23, tiny.config.vocab, 2);
  const auto model = CudaModel(tiny), reference = ReferenceModel(tiny);
  const auto session = *model->NewSession(), expected = *reference->NewSession();
  int64_t start = 0;
  for (const int64_t count : {3, 8, 3, 3, 1, 2, 3}) {
    const auto call = std::span(tokens).subspan(start, count);
    EXPECT_EQ(*Step(*model, PlanMethod::kPrefill, *session, call, true, {}),
              *Step(*reference, PlanMethod::kPrefill, *expected, call, true, {}))
        << count << " tokens from " << start;
    start += count;
  }
}

TEST(CudaExecutorTest, EveryLayout) {
  for (int layout = 0; layout < kWeightLayouts; ++layout) {
    TinyModelConfig config = Config();
    config.hidden = config.mlp = 256;
    config.layout = static_cast<WeightLayout>(layout);
    config.layers = 3;
    const TinyModel tiny(config);
    const std::vector<int64_t> tokens = RandomTokens(11, tiny.config.vocab, layout);
    const Scores expected = ScoreAll(*ReferenceModel(tiny), tokens, 11);
    for (const Stored& stored : kDefaults) {
      const auto model = CudaModel(stored.Apply(config));
      const std::string name = stored.Name() + std::string(WeightLayoutName(config.layout));
      const auto first = std::span(tokens).first(3);
      ExpectClose(ScoreAll(*model, first, 1), expected, name + ", 1 at once", stored.Tolerance(1));
      ExpectClose(ScoreAll(*model, tokens, 11), expected, name + ", 11 at once",
                  stored.Tolerance(11));
    }
  }
}

// Shapes without kernels of their own: heads of 16, no softcap.
TEST(CudaExecutorTest, AnyShape) {
  TinyModelConfig config = {.max_tokens = 9, .softcap = 0};
  const std::vector<int64_t> tokens = RandomTokens(18, config.vocab, 1);
  const Scores expected = ScoreAll(*ReferenceModel(TinyModel(config)), tokens, 9);
  for (const Stored& stored : kDefaults) {
    const auto model = CudaModel(stored.Apply(config));
    for (const int64_t chunk : {1, 9}) {
      ExpectClose(ScoreAll(*model, tokens, chunk), expected,
                  stored.Name() + "any shape, " + std::to_string(chunk), stored.Tolerance(chunk));
    }
  }
}

TEST(CudaExecutorTest, KeysMustFitFloat16) {
  TinyModel tiny(Config());
  std::vector<std::byte>& k_norm = tiny.data.at("layers.1.k_norm");
  const float large = 1e5;
  std::memcpy(k_norm.data() + sizeof(float), &large, sizeof(large));
  const cuda::TestContext context;
  Model model(*CudaExecutor::Create({.device = context.get().device}));
  ASSERT_TRUE(model.AddPlan(tiny.MakePlan(PlanMethod::kDecode)).ok());
  MemoryWeights source(tiny.data);
  EXPECT_THAT(std::string(model.Load(source).message()),
              ::testing::HasSubstr("layers.1.kv_cache: its k_norm has 100000, so that keys may be "
                                   "beyond the 65504"));
}

// Before any weight is loaded.
TEST(CudaExecutorTest, RefusesWhatItsKernelsCannotCount) {
  const TinyModel tiny(Config());
  const cuda::TestContext context;
  const auto executor = *CudaExecutor::Create({.device = context.get().device});
  const auto refusal = [&](const Plan& plan) {
    const Plan* plans[] = {&plan};
    return std::string(executor->EstimateMemory(plans, plan.caches).status().message());
  };
  Plan plan = tiny.MakePlan(PlanMethod::kDecode);
  EXPECT_EQ(refusal(plan), "");
  plan.vocab_size = (1 << 19) + 1;
  EXPECT_EQ(refusal(plan),
            "the CUDA kernels cannot run step sample: it draws from 524289 ids, more than 524288 "
            "(use --device cpu)");
  plan = tiny.MakePlan(PlanMethod::kScore);
  plan.caches[0].kv_heads = 257;
  EXPECT_EQ(refusal(plan),
            "the CUDA kernels cannot run step layers.0.prepare: its cache has 257 "
            "key/value heads, more than 256 (use --device cpu)");
}

TEST(CudaExecutorTest, SamplesLikeTheReference) {
  const TinyModel tiny(Config());
  const std::vector<int64_t> prompt = RandomTokens(10, tiny.config.vocab, 1);
  const auto model = CudaModel(tiny);
  const auto reference = ReferenceModel(tiny);
  const SamplingParams sampling = {
      .temperature = 1, .top_k = 20, .top_p = 0.9f, .min_p = 0.01f, .seed = ~0ull};
  const std::vector<int64_t> text = Generate(*model, prompt, 16, 12, sampling);
  EXPECT_EQ(text, Generate(*reference, prompt, 16, 12, sampling));
  EXPECT_EQ(text, Generate(*model, prompt, 16, 12, sampling)) << "same seed, same text";
}

TEST(CudaExecutorTest, SuppressedIdsAreNeverDrawn) {
  const TinyModel tiny(Config());
  const std::vector<int64_t> prompt = RandomTokens(10, tiny.config.vocab, 1);
  std::vector<int32_t> suppressed;
  for (int i = 0; i < 3; ++i) {
    const std::vector<int64_t> text = Generate(*CudaModel(tiny, suppressed), prompt, 16, 5);
    for (const int64_t token : text)
      EXPECT_EQ(std::count(suppressed.begin(), suppressed.end(), token), 0) << token;
    suppressed.push_back(static_cast<int32_t>(text[1]));  // drawn by a graph of one token
  }
}

TEST(CudaExecutorTest, GivesTheLogitsThatItDrewFrom) {
  const TinyModel tiny(Config());
  const std::vector<int64_t> prompt = RandomTokens(10, tiny.config.vocab, 1);
  ExpectDrawsFromItsLogits(*CudaModel(tiny, {5}), *ReferenceModel(tiny), prompt, /*suppressed=*/5,
                           0.05f);
}

// Steps take position, token and sampling from the GPU's own memory where the last step left them:
// a call that continues otherwise must not.
TEST(CudaExecutorTest, ACallThatDoesNotContinueTheLastOneIsTakenAsItIs) {
  const TinyModel tiny(Config());
  const auto model = CudaModel(tiny);
  const std::vector<int64_t> prompt = RandomTokens(9, tiny.config.vocab, 3);
  const std::vector<int64_t> text = Generate(*model, prompt, 17, 6);
  const auto session = *model->NewSession();
  ASSERT_EQ(*Step(*model, PlanMethod::kPrefill, *session, prompt, true, {}), text[0]);
  const std::vector<int64_t> other = {(text[0] + 1) % tiny.config.vocab};
  const std::vector<int64_t> first = {text[0]}, second = {text[1]};
  ASSERT_TRUE(Step(*model, PlanMethod::kDecode, *session, other, true, {}).ok());
  ASSERT_TRUE(session->Rewind(9).ok());
  EXPECT_EQ(*Step(*model, PlanMethod::kDecode, *session, first, true, {}), text[1]);
  EXPECT_EQ(*Step(*model, PlanMethod::kPrefill, *session, second, true, {}), text[2]);
  // A call that draws nothing leaves the GPU's state as it was.
  ASSERT_TRUE(session->Rewind(9).ok());
  EXPECT_EQ(*Step(*model, PlanMethod::kDecode, *session, first, false, {}), -1);
  EXPECT_EQ(*Step(*model, PlanMethod::kDecode, *session, second, true, {}), text[2]);
}

TEST(CudaExecutorTest, InterleavedSessionsEqualEachAlone) {
  const TinyModel tiny(Config());
  const auto model = CudaModel(tiny);
  std::vector<std::vector<int64_t>> alone, together(2);
  std::vector<std::unique_ptr<SessionState>> sessions;
  for (uint32_t i = 0; i < 2; ++i) {
    const std::vector<int64_t> prompt = RandomTokens(9 + i, tiny.config.vocab, i);
    alone.push_back(Generate(*model, prompt, 17, 8));
    sessions.push_back(*model->NewSession());
    together[i] = {*Step(*model, PlanMethod::kPrefill, *sessions[i], prompt, true, {})};
  }
  for (int step = 1; step < 8; ++step) {
    for (int i = 0; i < 2; ++i) {
      const std::vector<int64_t> last = {together[i].back()};
      together[i].push_back(*Step(*model, PlanMethod::kDecode, *sessions[i], last, true, {}));
    }
  }
  EXPECT_EQ(together, alone);
}

TEST(CudaExecutorTest, CancelledCallsStopAndLeaveTheSessionUsable) {
  const TinyModel tiny(Config());
  const auto model = CudaModel(tiny);
  const auto session = *model->NewSession();
  const std::vector<int64_t> tokens = RandomTokens(9, tiny.config.vocab, 1);
  std::atomic<bool> cancelled = true;
  int64_t token = 0;
  const Call call = {.tokens = tokens, .sampling = {}, .targets = {}, .cancelled = &cancelled};
  EXPECT_EQ(model->Run(PlanMethod::kPrefill, *session, call, {.token = &token}).code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(session->length(), 0);
  cancelled = false;
  EXPECT_TRUE(model->Run(PlanMethod::kPrefill, *session, call, {.token = &token}).ok());
  EXPECT_EQ(token, Generate(*model, tokens, 17, 1)[0]);
}

// A NaN somewhere in the weights: a sentence instead of a token, and the next call still works.
TEST(CudaExecutorTest, BrokenLogitsAreAnError) {
  TinyModel tiny(Config());
  std::vector<std::byte>& norm = tiny.data.at("norm.weight");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(norm.data(), &nan, sizeof(nan));
  const auto model = CudaModel(tiny);
  const auto session = *model->NewSession();
  const std::vector<int64_t> tokens = RandomTokens(9, tiny.config.vocab, 1);
  for (int repetition = 0; repetition < 2; ++repetition) {
    for (const size_t count : {1u, 9u}) {
      ASSERT_TRUE(session->Rewind(0).ok());
      const auto token =
          Step(*model, PlanMethod::kPrefill, *session, std::span(tokens).first(count), true, {});
      EXPECT_THAT(std::string(token.status().message()),
                  ::testing::HasSubstr("logits at position"));
    }
  }
  // Nothing is drawn here, so nothing is wrong.
  ASSERT_TRUE(session->Rewind(0).ok());
  EXPECT_TRUE(Step(*model, PlanMethod::kPrefill, *session, tokens, false, {}).ok());
}

TEST(CudaExecutorTest, PlansTheMemoryThatItTakes) {
  const TinyModel tiny(Config());
  const Plan prefill = tiny.MakePlan(PlanMethod::kPrefill);
  const Plan decode = tiny.MakePlan(PlanMethod::kDecode);
  const cuda::TestContext context;
  auto executor = *CudaExecutor::Create({.device = context.get().device});
  const Plan* plans[] = {&prefill, &decode};
  const ExecutorMemory planned = *executor->EstimateMemory(plans, prefill.caches);
  Model model(std::move(executor));
  ASSERT_TRUE(model.AddPlan(prefill).ok());
  ASSERT_TRUE(model.AddPlan(decode).ok());
  MemoryWeights source(tiny.data);
  ASSERT_TRUE(model.Load(source).ok());
  EXPECT_EQ(planned.weights, model.executor().WeightBytes());
  EXPECT_EQ(planned.activations + planned.workspace, model.executor().ActivationBytes());
  const auto session = *model.NewSession();
  EXPECT_EQ(planned.session, session->bytes());
  EXPECT_GT(planned.free, planned.model());
}

TEST(CudaExecutorTest, ProfilesEveryStep) {
  const TinyModel tiny(Config());
  const Plan decode = tiny.MakePlan(PlanMethod::kDecode);
  const cuda::TestContext context;
  auto executor = *CudaExecutor::Create({.device = context.get().device});
  MemoryWeights source(tiny.data);
  ASSERT_TRUE(executor->LoadWeights(decode.weights, source).ok());
  auto prepared = *executor->Prepare(decode, {0, 1, 2});
  auto session = *executor->NewSession(decode.caches, decode.max_context);
  const std::vector<StepTime> times = *prepared->Profile(*session, 20, 1);
  int64_t steps = 0;
  uint64_t bytes = 0;
  for (const StepTime& time : times) {
    EXPECT_GT(time.microseconds, 0) << time.kind;
    steps += time.steps;
    bytes += time.bytes_read;
  }
  // Embedding, 5 a layer, head, sample; the norms are within the products.
  EXPECT_EQ(steps, 3 + 5 * 3);
  EXPECT_GT(bytes, 0u);
  EXPECT_FALSE(prepared->Profile(*session, 64, 1).ok());
  EXPECT_FALSE(prepared->Profile(*session, 20, 2).ok());
}

}  // namespace
}  // namespace gemma
