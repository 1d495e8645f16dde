#include "cc/runner/chat/settings.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/base/status_macros.h"
#include "cc/runner/token_count.h"

namespace gemma::chat {
namespace {

constexpr absl::string_view kMaxNewTokens = "max_new_tokens";
constexpr absl::string_view kSeed = "seed";
constexpr absl::string_view kThinking = "thinking";
constexpr absl::string_view kThoughts = "thoughts";

// One of two words. InvalidArgument, naming both, for any other.
absl::StatusOr<bool> Choose(absl::string_view name, absl::string_view value, absl::string_view yes,
                            absl::string_view no) {
  if (value == yes || value == no) return value == yes;
  return absl::InvalidArgumentError(
      absl::StrCat("/set ", name, " takes ", yes, " or ", no, ", but not ", value));
}

absl::Status SetSampling(const SamplingField& field, absl::string_view value,
                         SamplingParams& sampling) {
  double number = 0;
  if (absl::SimpleAtod(value, &number) && field.Allows(number)) {
    field.Set(sampling, number);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("/set ", field.name, " ", value, " is not allowed (", field.allowed, " are)"));
}

absl::Status SetOther(absl::string_view name, absl::string_view value, Settings& settings) {
  if (name == kMaxNewTokens) {
    GEMMA_ASSIGN_OR_RETURN(settings.max_new_tokens, ParseTokenCount(value, 1));
  } else if (name == kSeed) {
    if (!absl::SimpleAtoi(value, &settings.sampling.seed)) {
      return absl::InvalidArgumentError(
          absl::StrCat("/set seed takes a number from 0 to 2^64 - 1, but not ", value));
    }
  } else if (name == kThinking) {
    GEMMA_ASSIGN_OR_RETURN(settings.thinking, Choose(name, value, "on", "off"));
  } else if (name == kThoughts) {
    GEMMA_ASSIGN_OR_RETURN(settings.shows_thoughts, Choose(name, value, "show", "hide"));
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no setting ", name, " (/set alone lists them)"));
  }
  return absl::OkStatus();
}

// In the order in which they are shown.
std::vector<std::pair<absl::string_view, std::string>> Values(const Settings& settings) {
  std::vector<std::pair<absl::string_view, std::string>> values;
  for (const SamplingField& field : kSamplingFields)
    values.emplace_back(field.name, absl::StrCat(field.Get(settings.sampling)));
  values.emplace_back(kSeed, absl::StrCat(settings.sampling.seed));
  values.emplace_back(kMaxNewTokens, absl::StrCat(settings.max_new_tokens));
  values.emplace_back(kThinking, settings.thinking ? "on" : "off");
  values.emplace_back(kThoughts, settings.shows_thoughts ? "show" : "hide");
  return values;
}

}  // namespace

absl::Status ChangeSetting(absl::string_view name_and_value, Settings& settings) {
  const size_t end = name_and_value.find_first_of(" \t=");
  const absl::string_view name = name_and_value.substr(0, end);
  const absl::string_view value = end == absl::string_view::npos
                                      ? ""
                                      : absl::StripAsciiWhitespace(name_and_value.substr(end + 1));
  if (value.empty()) return absl::InvalidArgumentError(absl::StrCat("write /set ", name, " VALUE"));
  for (const SamplingField& field : kSamplingFields) {
    if (name == field.name) return SetSampling(field, value, settings.sampling);
  }
  return SetOther(name, value, settings);
}

std::string DescribeSettings(const Settings& settings) {
  return absl::StrJoin(Values(settings), "\n", [](std::string* out, const auto& entry) {
    absl::StrAppend(out, "  ", entry.first, " ", entry.second);
  });
}

}  // namespace gemma::chat
