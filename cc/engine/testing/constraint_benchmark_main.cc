// Prints what an answer of a promised form costs the host for each token, beside a free answer that
// is drawn on the host, too:
//
//   bazelw run //cc/engine:constraint_benchmark -- --tokenizer DIR/tokenizer.bin
//
// The logits are random, but for the answer's next token, which is far above all others: so every
// draw follows an answer as a model would give it. Times are of one thread.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/engine/logits_sampler.h"
#include "cc/text/bpe_tokenizer.h"
#include "cc/text/make_constraint_compiler.h"

namespace gemma {
namespace {

using Clock = std::chrono::steady_clock;

constexpr SamplingParams kSampling = {.temperature = 1, .top_k = 64, .top_p = 0.95, .seed = 1};
constexpr float kFarAbove = 100;

struct Case {
  const char* name;
  const char* schema;  // none: JSON mode
  const char* answer;
};

constexpr Case kCases[] = {
    {"two fields",
     R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
         "required": ["name", "age"]})",
     R"({"name": "Ada Lovelace", "age": 36})"},
    {"a booking",
     R"({"type": "object", "required": ["guest", "kind", "nights", "extras", "notes"], "properties": {
         "guest": {"type": "object", "required": ["name", "email"], "properties": {
           "name": {"type": "string", "maxLength": 80},
           "email": {"type": "string", "format": "email"}}},
         "kind": {"enum": ["single", "double", "suite"]},
         "nights": {"type": "array", "minItems": 1, "maxItems": 14, "items": {"type": "object",
           "required": ["date", "price"], "properties": {
             "date": {"type": "string", "format": "date"},
             "price": {"type": "number", "minimum": 0}}}},
         "extras": {"type": "array", "items": {"enum": ["breakfast", "parking", "late check-out"]}},
         "notes": {"anyOf": [{"type": "string"}, {"type": "null"}]}}})",
     R"({"guest": {"name": "Grace Hopper", "email": "grace@example.org"}, "kind": "double", )"
     R"("nights": [{"date": "2026-11-30", "price": 120.5}, {"date": "2026-12-01", "price": 99}], )"
     R"("extras": ["breakfast", "late check-out"], "notes": "A quiet room that looks at the )"
     R"(garden, please; we arrive by the last train, at half past eleven."})"},
    {"JSON mode", nullptr,
     R"({"title": "A walk", "steps": [{"at": 1, "do": "Leave the house by the back door."}, )"
     R"({"at": 2.5, "do": "Follow the \"old\" river, past the mill and the two bridges."}], )"
     R"("done": false, "next": null})"},
};

double MicrosecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// Microseconds of many runs of the same thing.
class Times {
 public:
  void Add(double microseconds) { all_.push_back(microseconds); }
  // The value that `share` of all do not exceed.
  double At(double share) {
    std::ranges::sort(all_);
    return all_[std::min(all_.size() - 1, static_cast<size_t>(share * all_.size()))];
  }

 private:
  std::vector<double> all_;
};

void Print(const char* what, Times& times) {
  std::printf("  %-28s median %8.1f us, 99 %% %8.1f us, most %8.1f us\n", what, times.At(0.5),
              times.At(0.99), times.At(1));
}

OutputFormat FormatOf(const Case& of) {
  if (of.schema == nullptr) return {.kind = OutputFormat::Kind::kJsonObject};
  return {.kind = OutputFormat::Kind::kJsonSchema, .schema = of.schema};
}

class Benchmark {
 public:
  Benchmark(const Tokenizer& tokenizer, const ConstraintCompiler& compiler, int repetitions)
      : tokenizer_(tokenizer),
        compiler_(compiler),
        repetitions_(repetitions),
        random_logits_(static_cast<size_t>(tokenizer.vocabulary_size())) {
    std::mt19937 random(1);
    std::normal_distribution<float> logits(0, 3);
    for (float& logit : random_logits_) logit = logits(random);
  }

  absl::Status Run(const Case& of) {
    GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer_.Encode(of.answer, {}));
    std::printf("%s: an answer of %zu tokens\n", of.name, ids.size());
    GEMMA_RETURN_IF_ERROR(Compile(of));
    Times mask, free, constrained;
    for (int i = 0; i < repetitions_; ++i) {
      GEMMA_RETURN_IF_ERROR(TimeMasks(of, ids, mask));
      GEMMA_RETURN_IF_ERROR(TimeDraws(ids, nullptr, free));
      GEMMA_ASSIGN_OR_RETURN(const auto constraint, compiler_.Compile(FormatOf(of)));
      GEMMA_RETURN_IF_ERROR(TimeDraws(ids, constraint.get(), constrained));
    }
    Print("a mask, and its token", mask);
    Print("a draw, free", free);
    Print("a draw within the form", constrained);
    return absl::OkStatus();
  }

 private:
  absl::Status Compile(const Case& of) {
    for (const char* time : {"first", "again"}) {
      const Clock::time_point start = Clock::now();
      GEMMA_RETURN_IF_ERROR(compiler_.Compile(FormatOf(of)).status());
      std::printf("  compiled, %-18s %8.2f ms\n", time, MicrosecondsSince(start) / 1e3);
    }
    return absl::OkStatus();
  }

  absl::Status TimeMasks(const Case& of, const std::vector<int32_t>& ids, Times& times) {
    GEMMA_ASSIGN_OR_RETURN(const auto constraint, compiler_.Compile(FormatOf(of)));
    std::vector<uint32_t> mask(MaskWords(tokenizer_.vocabulary_size()));
    for (const int32_t id : ids) {
      const Clock::time_point start = Clock::now();
      constraint->FillMask(mask);
      GEMMA_RETURN_IF_ERROR(constraint->Accept(id));
      times.Add(MicrosecondsSince(start));
    }
    return absl::OkStatus();
  }

  absl::Status TimeDraws(const std::vector<int32_t>& ids, TokenConstraint* constraint,
                         Times& times) {
    GEMMA_ASSIGN_OR_RETURN(const auto sampler,
                           LogitsSampler::Create(kSampling, {}, tokenizer_.vocabulary_size(), {}));
    for (size_t i = 0; i < ids.size(); ++i) {
      std::vector<float> logits = random_logits_;
      logits[static_cast<size_t>(ids[i])] = kFarAbove;
      const Clock::time_point start = Clock::now();
      GEMMA_ASSIGN_OR_RETURN(const DrawnToken drawn,
                             sampler->Draw(logits, static_cast<int64_t>(i), constraint));
      times.Add(MicrosecondsSince(start));
      if (drawn.id != ids[i]) return absl::InternalError("a draw left the answer");
    }
    return absl::OkStatus();
  }

  const Tokenizer& tokenizer_;
  const ConstraintCompiler& compiler_;
  const int repetitions_;
  std::vector<float> random_logits_;  // [vocabulary]
};

absl::Status Run(const std::string& path, int repetitions) {
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, BpeTokenizer::Load(path));
  const int32_t stop = tokenizer->ControlId("<eos>");
  if (stop < 0) return absl::InvalidArgumentError(absl::StrCat(path, ": has no <eos>"));
  const Clock::time_point start = Clock::now();
  const auto compiler = MakeConstraintCompiler(*tokenizer, {}, {stop});
  std::printf("%d tokens; the vocabulary is prepared in %.1f ms\n", tokenizer->vocabulary_size(),
              MicrosecondsSince(start) / 1e3);
  Benchmark benchmark(*tokenizer, *compiler, repetitions);
  for (const Case& of : kCases) GEMMA_RETURN_IF_ERROR(benchmark.Run(of));
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  std::string tokenizer;
  int repetitions = 20;
  CLI::App app("Times draws of tokens whose answers have a promised form.");
  app.add_option("--tokenizer", tokenizer, "the tokenizer.bin of an artifact")->required();
  app.add_option("--repetitions", repetitions, "of every answer")->check(CLI::Range(1, 10000));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = Run(tokenizer, repetitions);
  if (status.ok()) return 0;
  std::fprintf(stderr, "constraint_benchmark: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace gemma

int main(int argc, char** argv) { return gemma::Main(argc, argv); }
