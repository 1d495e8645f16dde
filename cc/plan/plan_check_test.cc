#include "cc/plan/plan_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cc/plan/testing/plan_writer.h"
#include "cc/plan/testing/tiny_model.h"

namespace gemma {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The n-th step of a type.
template <typename Step>
Step& Find(Plan& plan, int n = 0) {
  for (PlanStep& step : plan.steps) {
    if (auto* found = std::get_if<Step>(&step.operation); found != nullptr && n-- == 0)
      return *found;
  }
  throw std::runtime_error("the plan has no such step");
}

size_t Position(const Plan& plan, const std::string& name) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    if (plan.steps[i].name == name) return i;
  }
  throw std::runtime_error("the plan has no step " + name);
}

Index AddValue(Plan& plan, int64_t columns, bool one_row) {
  plan.values.push_back({"extra", columns, one_row});
  return static_cast<Index>(plan.values.size() - 1);
}

void MoveSelectBeforeTheLastCache(Plan& plan) {
  const PlanStep select = plan.steps[Position(plan, "select")];
  plan.steps.insert(plan.steps.begin() + static_cast<ptrdiff_t>(Position(plan, "layers.2.prepare")),
                    select);
}

std::string Message(const Plan& plan) {
  const std::string payload = WritePlan(plan);
  const absl::StatusOr<Plan> checked =
      ReadCheckedPlan(std::as_bytes(std::span<const char>(payload)), PlanMethodName(plan.method));
  return checked.ok() ? "accepted" : std::string(checked.status().message());
}

TEST(CheckPlanTest, AcceptsTinyPlans) {
  for (const PlanMethod method : {PlanMethod::kPrefill, PlanMethod::kDecode, PlanMethod::kScore}) {
    EXPECT_EQ(Message(TinyModel({}).MakePlan(method)), "accepted");
    EXPECT_EQ(Message(TinyModel({.flat_caches = true}).MakePlan(method)), "accepted");
    EXPECT_EQ(
        Message(
            TinyModel({.layers = 1, .softcap = 0, .layout = WeightLayout::kInt8}).MakePlan(method)),
        "accepted");
  }
}

TEST(CheckPlanTest, FillsInTheCachesBytes) {
  Plan plan = TinyModel({}).MakePlan(PlanMethod::kPrefill);
  const uint64_t bytes = plan.caches[0].bytes;
  plan.caches[0].bytes = 0;
  ASSERT_TRUE(CheckPlan(plan).ok());
  EXPECT_EQ(plan.caches[0].bytes, bytes);
}

TEST(CheckPlanTest, RefusesAnotherMethodsPlan) {
  const std::string payload = WritePlan(TinyModel({}).MakePlan(PlanMethod::kPrefill));
  const auto plan = ReadCheckedPlan(std::as_bytes(std::span<const char>(payload)), "decode");
  EXPECT_THAT(std::string(plan.status().message()),
              HasSubstr("the program's method decode carries the plan of prefill"));
}

TEST(CheckPlanTest, RefusesQueriesOverKeysThatAreStillRead) {
  Plan plan = TinyModel({.heads = 2}).MakePlan(PlanMethod::kPrefill);
  Find<PrepareAttentionStep>(plan).out = Find<PrepareAttentionStep>(plan).k;
  EXPECT_THAT(Message(plan),
              HasSubstr("writes its output layers.0.k over an input that it still reads"));
}

struct BadPlan {
  std::string name;
  PlanMethod method = PlanMethod::kPrefill;
  std::function<void(Plan&)> spoil;
  std::string message;
};

void PrintTo(const BadPlan& bad, std::ostream* out) { *out << bad.name; }

class BadPlanTest : public ::testing::TestWithParam<BadPlan> {};

TEST_P(BadPlanTest, IsRefused) {
  Plan plan = TinyModel({}).MakePlan(GetParam().method);
  GetParam().spoil(plan);
  EXPECT_THAT(Message(plan), HasSubstr(GetParam().message));
}

const PlanMethod kPrefill = PlanMethod::kPrefill;
const PlanMethod kScore = PlanMethod::kScore;

const std::vector<BadPlan> kBadLimits = {
    {"NoVocabulary", kPrefill, [](Plan& p) { p.vocab_size = 0; },
     "vocab_size is 0 (1 to 4194304 are allowed)"},
    {"HugeVocabulary", kPrefill, [](Plan& p) { p.vocab_size = 0xffffffff; },
     "vocab_size is 4294967295"},
    {"NoContext", kPrefill, [](Plan& p) { p.max_context = 0; }, "max_context is 0"},
    {"HugeContext", kPrefill, [](Plan& p) { p.max_context = 1 << 25; }, "max_context is 33554432"},
    {"NoTokens", kPrefill, [](Plan& p) { p.max_tokens = 0; },
     "max_tokens is 0 (1 to 64 are allowed)"},
    {"MoreTokensThanContext", kPrefill, [](Plan& p) { p.max_tokens = 65; },
     "max_tokens is 65 (1 to 64 are allowed)"},
    {"DecodeOfTwo", PlanMethod::kDecode, [](Plan& p) { p.max_tokens = 2; },
     "max_tokens is 2 (1 to 1 are allowed)"},
};

const std::vector<BadPlan> kBadTables = {
    {"WeightsOfOneName", kPrefill, [](Plan& p) { p.weights[1].name = p.weights[0].name; },
     "two weights are named embed_tokens.weight"},
    {"ValuesOfOneName", kPrefill, [](Plan& p) { p.values[1].name = p.values[0].name; },
     "two values are named x"},
    {"CachesOfOneName", kPrefill, [](Plan& p) { p.caches[1].name = p.caches[0].name; },
     "two caches are named layers.0.kv_cache"},
    {"WeightBytes", kPrefill, [](Plan& p) { ++p.weights[0].bytes; },
     "weight embed_tokens.weight (F32, 128 x 64) says 32769 bytes, but its layout takes 32768"},
    {"WeightWithoutRows", kPrefill, [](Plan& p) { p.weights[0].shape.rows = 0; },
     "weight embed_tokens.weight: shape 0 x 64 is empty"},
    {"WeightWithGroup", kPrefill, [](Plan& p) { p.weights[0].shape.group = 32; },
     "weight embed_tokens.weight: group 32"},
    {"WeightOfAllSizes", kPrefill,
     [](Plan& p) { p.weights[0].shape.rows = p.weights[0].shape.columns = 0xffffffff; },
     "weight embed_tokens.weight: "},
    {"SharedDataOfTwoShapes", kPrefill,
     [](Plan& p) { p.weights[1].data_key = p.weights[0].data_key; },
     "share the data embed_tokens.weight but differ"},
    {"CacheWithoutHeads", kPrefill, [](Plan& p) { p.caches[0].kv_heads = 0; },
     "cache layers.0.kv_cache: kv_heads is 0"},
    {"OddHeadDim", kPrefill, [](Plan& p) { p.caches[0].head_dim = 15; },
     "cache layers.0.kv_cache: head_dim 15 is odd"},
    {"HugeHeadDim", kPrefill, [](Plan& p) { p.caches[0].head_dim = 514; },
     "head_dim is 514 (2 to 512 are allowed)"},
    {"RingTooSmall", kPrefill, [](Plan& p) { p.caches[0].capacity = 22; },
     "capacity 22 is less than the 23 that window 8, max_tokens 16 and max_context 64 need"},
    {"FlatTooSmall", kPrefill, [](Plan& p) { p.caches[2].capacity = 63; },
     "capacity 63 is less than the 64"},
    {"CacheTooLarge", kPrefill, [](Plan& p) { p.caches[0].capacity = 1 << 25; },
     "capacity is 33554432"},
    {"ValueWithoutColumns", kPrefill, [](Plan& p) { p.values[0].columns = 0; },
     "value x: columns is 0"},
    {"HugeValue", kPrefill, [](Plan& p) { p.values[0].columns = 0xffffffff; },
     "value x: columns is 4294967295"},
};

const std::vector<BadPlan> kBadSteps = {
    {"EmbedOfNoWeight", kPrefill, [](Plan& p) { Find<EmbedStep>(p).weight = -1; },
     "step embed (Embed) has weight -1, but the plan has"},
    {"EmbedOfOtherVocabulary", kPrefill, [](Plan& p) { p.vocab_size = 127; },
     "needs weight [127, 64], but embed_tokens.weight is [128, 64]"},
    {"EmbedToNowhere", kPrefill, [](Plan& p) { Find<EmbedStep>(p).out = 1 << 30; },
     "has out 1073741824, but the plan has"},
    {"EmbedToOtherColumns", kPrefill, [](Plan& p) { p.values[0].columns = 65; },
     "needs 64 columns in out, but x has 65"},
    {"EmbedToOneRow", kPrefill, [](Plan& p) { p.values[0].one_row = true; },
     "writes a row for every token to out x, which has one row"},
    {"EmbedScale", kPrefill, [](Plan& p) { Find<EmbedStep>(p).scale = kInfinity; },
     "has scale inf, which is not finite"},
    {"NormOfUnwritten", kPrefill, [](Plan& p) { Find<RmsNormStep>(p).in = 1; },
     "reads in layers.0.attention_in before a step has written it"},
    {"NormWidth", kPrefill, [](Plan& p) { Find<RmsNormStep>(p).width = 48; },
     "has width 48, which does not divide the 64 columns of x"},
    {"NormWidthZero", kPrefill, [](Plan& p) { Find<RmsNormStep>(p).width = 0; }, "has width 0"},
    {"NormEpsilon", kPrefill, [](Plan& p) { Find<RmsNormStep>(p).epsilon = 0; }, "has epsilon 0"},
    {"NormEpsilonNan", kPrefill, [](Plan& p) { Find<RmsNormStep>(p).epsilon = kNan; },
     "has epsilon nan"},
    {"NormWeightShape", kPrefill, [](Plan& p) { Find<RmsNormStep>(p).weight = 0; },
     "needs weight [1, 64], but embed_tokens.weight is [128, 64]"},
    {"NormScalarShape", kPrefill,
     [](Plan& p) { Find<RmsNormStep>(p).scalar = Find<RmsNormStep>(p).weight; },
     "needs scalar [1, 1]"},
    {"NormAddColumns", kPrefill,
     [](Plan& p) { Find<RmsNormStep>(p, 1).add = Find<LinearStep>(p).outs[1]; },
     "needs 64 columns in add, but layers.0.k has 32"},
    {"LinearColumns", kPrefill,
     [](Plan& p) { Find<LinearStep>(p, 1).in = Find<LinearStep>(p).outs[1]; },
     "needs weight [64, 32], but layers.0.o_proj is [64, 64]"},
    {"LinearOutputTwice", kPrefill,
     [](Plan& p) { Find<LinearStep>(p).outs[2] = Find<LinearStep>(p).outs[1]; },
     "writes its output layers.0.k over an input"},
    {"LinearInPlace", kPrefill,
     [](Plan& p) { Find<LinearStep>(p).outs[0] = Find<LinearStep>(p).in; },
     "writes its output layers.0.attention_in over an input"},
    {"LinearWeightIndex", kPrefill, [](Plan& p) { Find<LinearStep>(p).weights[0] = -2; },
     "has weight -2, but the plan has"},
    {"HeadsNotDivisible", kPrefill, [](Plan& p) { Find<PrepareAttentionStep>(p).heads = 3; },
     "has 3 heads, which is not a multiple of the 2 of layers.0.kv_cache"},
    {"NoHeads", kPrefill, [](Plan& p) { Find<AttentionStep>(p).heads = 0; }, "has 0 heads"},
    {"MoreHeadsThanColumns", kPrefill, [](Plan& p) { Find<AttentionStep>(p).heads = 8; },
     "needs 128 columns in q, but layers.0.q has 64"},
    {"PrepareWithoutCache", kPrefill, [](Plan& p) { Find<PrepareAttentionStep>(p).cache = 3; },
     "has cache 3, but the plan has 3 caches"},
    {"PrepareTwice", kPrefill, [](Plan& p) { p.steps.insert(p.steps.begin() + 4, p.steps[3]); },
     "writes layers.0.kv_cache a second time"},
    {"PrepareWithoutNorm", kPrefill, [](Plan& p) { Find<PrepareAttentionStep>(p).q_norm = -1; },
     "has q_norm -1"},
    {"PrepareFrequencies", kPrefill,
     [](Plan& p) {
       Find<PrepareAttentionStep>(p).frequencies = Find<PrepareAttentionStep>(p).q_norm;
     },
     "needs frequencies [1, 8], but layers.0.q_norm is [1, 16]"},
    {"PrepareValueColumns", kPrefill,
     [](Plan& p) { Find<PrepareAttentionStep>(p).v = Find<PrepareAttentionStep>(p).q; },
     "needs 32 columns in v, but layers.0.q has 64"},
    {"AttentionBeforeItsKeys", kPrefill, [](Plan& p) { Find<AttentionStep>(p).cache = 1; },
     "reads layers.1.kv_cache before a step has written it"},
    {"AttentionScale", kPrefill, [](Plan& p) { Find<AttentionStep>(p).scale = kNan; },
     "has scale nan"},
    {"GeluColumns", kPrefill, [](Plan& p) { Find<GatedGeluStep>(p).up = 0; },
     "needs 96 columns in up, but x has 64"},
    {"SelectTwice", kPrefill,
     [](Plan& p) {
       const size_t i = Position(p, "select");
       p.steps.insert(p.steps.begin() + i, p.steps[i]);
     },
     "step select (SelectLast) is the second of its kind"},
    {"SelectToManyRows", kPrefill,
     [](Plan& p) { Find<SelectLastStep>(p).out = AddValue(p, 64, false); },
     "writes one row to out extra, which has a row for every token"},
    {"CacheWrittenAfterSelect", kPrefill, MoveSelectBeforeTheLastCache,
     "step layers.2.prepare (PrepareAttention) writes a cache after SelectLast"},
    {"SoftcapZero", kPrefill, [](Plan& p) { Find<SoftcapStep>(p).cap = 0; }, "has cap 0"},
    {"SampleOfAllRows", kPrefill, [](Plan& p) { Find<SampleStep>(p).logits = 0; },
     "needs 128 columns in logits, but x has 64"},
    {"NothingAfterSample", kPrefill, [](Plan& p) { p.steps.push_back(p.steps[0]); },
     "step embed (Embed) comes after the method's last step"},
    {"NoSample", kPrefill, [](Plan& p) { p.steps.pop_back(); },
     "the method prefill does not end with a Sample step"},
    {"NoSteps", kPrefill, [](Plan& p) { p.steps.clear(); },
     "the method prefill does not end with a Sample step"},
    {"ScoreInPrefill", kPrefill, [](Plan& p) { p.steps.back().operation = ScoreStep{0, 0, 0, 5}; },
     "has no place in the method prefill"},
    {"SampleInScore", kScore, [](Plan& p) { p.steps.back().operation = SampleStep{0}; },
     "has no place in the method score"},
    {"SelectInScore", kScore, [](Plan& p) { p.steps.back().operation = SelectLastStep{0, 0}; },
     "has no place in the method score"},
    {"ScoreTop", kScore, [](Plan& p) { Find<ScoreStep>(p).top = 17; },
     "has top 17 (1 to 16 are allowed)"},
    {"ScoreTopZero", kScore, [](Plan& p) { Find<ScoreStep>(p).top = 0; }, "has top 0"},
    {"ScoreSoftcap", kScore, [](Plan& p) { Find<ScoreStep>(p).softcap = -1; }, "has softcap -1"},
    {"ScoreWeight", kScore, [](Plan& p) { Find<ScoreStep>(p).weight = 1; },
     "needs weight [128, 64], but layers.0.q_proj is [64, 64]"},
};

std::string NameOf(const ::testing::TestParamInfo<BadPlan>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Limits, BadPlanTest, ::testing::ValuesIn(kBadLimits), NameOf);
INSTANTIATE_TEST_SUITE_P(Tables, BadPlanTest, ::testing::ValuesIn(kBadTables), NameOf);
INSTANTIATE_TEST_SUITE_P(Steps, BadPlanTest, ::testing::ValuesIn(kBadSteps), NameOf);

// Spoils one number at random. Most such plans must be refused, and none may crash.
TEST(CheckPlanTest, SurvivesRandomNumbers) {
  const Plan good = TinyModel({}).MakePlan(PlanMethod::kPrefill);
  std::mt19937 random(2);
  const auto number = [&] {
    const int64_t numbers[] = {-2, -1, 0, 1, 2, 7, 63, 64, 65, 1 << 20, 0x7fffffff};
    return numbers[random() % std::size(numbers)];
  };
  int refused = 0;
  constexpr int kTrials = 5000;
  for (int i = 0; i < kTrials; ++i) {
    Plan plan = good;
    PlanStep& step = plan.steps[random() % plan.steps.size()];
    const auto index = static_cast<Index>(number());
    if (auto* linear = std::get_if<LinearStep>(&step.operation)) {
      linear->weights[random() % linear->weights.size()] = index;
    } else if (auto* norm = std::get_if<RmsNormStep>(&step.operation)) {
      (random() % 2 == 0 ? norm->in : norm->out) = index;
    } else if (auto* prepare = std::get_if<PrepareAttentionStep>(&step.operation)) {
      (random() % 2 == 0 ? prepare->k : prepare->cache) = index;
    } else {
      plan.values[random() % plan.values.size()].columns = number();
    }
    refused += CheckPlan(plan).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, kTrials / 2);
}

}  // namespace
}  // namespace gemma
