// An engine for tests of what stands above engines: its sessions draw the tokens that the test has
// chosen and remember what they were given.
//
//   FakeEngine engine({.tokens = {'H', 'i', 1}});
#ifndef CC_ENGINE_FAKE_ENGINE_H_
#define CC_ENGINE_FAKE_ENGINE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cc/engine/engine.h"
#include "cc/text/fake_tokenizer.h"

namespace gemma {

struct FakeEngineOptions {
  // Drawn one after another by all sessions together; after the last one, the first stop id.
  std::vector<int32_t> tokens = {};
  std::vector<std::string> special = {"<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"};
  int32_t bos_id = 0;
  bool add_bos = true;
  std::vector<int32_t> stop_ids = {1};
  std::optional<std::string> chat_template = "gemma3";
  bool has_tokenizer = true;
  bool can_score = true;
  int64_t max_seq_len = 1000;
  int64_t max_prefill_chunk = 64;
  // Called before each call of a session; an error becomes the call's.
  std::function<absl::Status()> before_call = [] { return absl::OkStatus(); };
};

class FakeEngine final : public Engine {
 public:
  struct RecordedCall {
    std::vector<int32_t> tokens;
    int64_t start = 0;
    SamplingParams sampling;
  };

  explicit FakeEngine(FakeEngineOptions options)
      : options_(std::move(options)), tokenizer_(options_.special) {
    manifest_.model_name = "fake";
    manifest_.max_seq_len = options_.max_seq_len;
    manifest_.max_prefill_chunk = options_.max_prefill_chunk;
    if (options_.has_tokenizer) {
      manifest_.tokenizer = {"tokenizer.bin", options_.bos_id, options_.add_bos, options_.stop_ids,
                             options_.chat_template};
    }
    limits_ = {options_.max_seq_len, options_.max_prefill_chunk, tokenizer_.vocabulary_size(), true,
               options_.can_score};
    load_info_.Add("fake", 0.5);
  }

  std::vector<RecordedCall> calls;  // Prefill and Decode, in order

  const Manifest& manifest() const override { return manifest_; }
  const EngineLimits& limits() const override { return limits_; }
  EngineMemory memory() const override { return {}; }
  std::string device() const override { return "fake"; }
  const Tokenizer* tokenizer() const override {
    return options_.has_tokenizer ? &tokenizer_ : nullptr;
  }
  const BenchmarkInfo& load_info() const override { return load_info_; }

  absl::StatusOr<std::unique_ptr<Session>> NewSession(const SessionOptions&) override {
    return std::make_unique<FakeSession>(*this);
  }

 private:
  class FakeSession final : public Session {
   public:
    explicit FakeSession(FakeEngine& engine) : engine_(engine) {}

    int64_t position() const override { return position_; }

    absl::StatusOr<int32_t> Prefill(std::span<const int32_t> tokens,
                                    const SamplingParams& sampling) override {
      if (absl::Status status = engine_.options_.before_call(); !status.ok()) return status;
      const auto count = static_cast<int64_t>(tokens.size());
      if (position_ + count > engine_.limits_.max_seq_len)
        return absl::OutOfRangeError("the prompt does not fit");
      engine_.calls.push_back({{tokens.begin(), tokens.end()}, position_, sampling});
      position_ += count;
      return engine_.Draw();
    }

    // The token that Prefill would draw has the logit 10, all others 0.
    absl::Status Append(std::span<const int32_t> tokens, std::span<float> logits) override {
      if (absl::Status status = engine_.options_.before_call(); !status.ok()) return status;
      const auto count = static_cast<int64_t>(tokens.size());
      if (position_ + count > engine_.limits_.max_seq_len)
        return absl::OutOfRangeError("the prompt does not fit");
      engine_.calls.push_back({{tokens.begin(), tokens.end()}, position_, {}});
      position_ += count;
      if (logits.empty()) return absl::OkStatus();
      std::fill(logits.begin(), logits.end(), 0.0f);
      logits[static_cast<size_t>(engine_.Draw())] = 10;
      return absl::OkStatus();
    }

    absl::StatusOr<int32_t> Decode(int32_t token, const SamplingParams& sampling) override {
      return Prefill({&token, 1}, sampling);
    }

    // As if every token were followed by itself with probability 1/2.
    absl::StatusOr<std::vector<TokenScore>> Score(std::span<const int32_t> tokens) override {
      if (absl::Status status = engine_.options_.before_call(); !status.ok()) return status;
      std::vector<TokenScore> scores;
      for (size_t i = 0; i < tokens.size(); ++i) {
        const bool last = i + 1 == tokens.size();
        scores.push_back({last ? std::nanf("") : std::log(0.5f),
                          {tokens[i], 0, 0, 0, 0},
                          std::vector<float>(5, std::log(0.5f))});
      }
      position_ += static_cast<int64_t>(tokens.size());
      return scores;
    }

    absl::Status Rewind(int64_t position) override {
      if (position < 0 || position > position_)
        return absl::OutOfRangeError(absl::StrCat("position ", position));
      position_ = position;
      return absl::OkStatus();
    }

   private:
    FakeEngine& engine_;
    int64_t position_ = 0;
  };

  int32_t Draw() {
    if (drawn_ < options_.tokens.size()) return options_.tokens[drawn_++];
    return options_.stop_ids.empty() ? 0 : options_.stop_ids[0];
  }

  const FakeEngineOptions options_;
  FakeTokenizer tokenizer_;
  Manifest manifest_;
  EngineLimits limits_;
  BenchmarkInfo load_info_;
  size_t drawn_ = 0;
};

}  // namespace gemma

#endif  // CC_ENGINE_FAKE_ENGINE_H_
