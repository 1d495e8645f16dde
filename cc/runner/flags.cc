#include "cc/runner/flags.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/runner/token_count.h"

namespace gemma {

CLI::Option* AddChoice(CLI::App& parser, const std::string& name, std::string& value,
                       const std::vector<std::string>& choices, const std::string& help) {
  const std::string all = absl::StrJoin(choices, "|");
  const auto check = [choices, all](const std::string& given) -> std::string {
    for (const std::string& choice : choices) {
      if (given == choice) return "";
    }
    return absl::StrCat(given, " is not one of ", all);
  };
  return parser.add_option(name, value, help)
      ->check(CLI::Validator(check, ""))
      ->option_text(absl::StrCat(all, value.empty() ? "" : absl::StrCat(" [", value, "]")));
}

CLI::Option* AddTokenCount(CLI::App& parser, const std::string& name, int64_t& value, int64_t least,
                           const std::string& help) {
  return parser.add_option(name, value, help)
      ->transform(TokenCount(least))
      ->option_text(absl::StrCat("N [", value, "]"));
}

CLI::Option* AddTokenCounts(CLI::App& parser, const std::string& name, std::vector<int64_t>& values,
                            int64_t least, const std::string& help) {
  return parser.add_option(name, values, help)
      ->delimiter(',')
      ->transform(TokenCount(least))
      ->option_text(absl::StrCat("N,... [", absl::StrJoin(values, ","), "]"));
}

void AddExamples(CLI::App& parser, const std::vector<std::string>& lines) {
  parser.footer(absl::StrCat("Examples:\n  ", absl::StrJoin(lines, "\n  ")));
}

}  // namespace gemma
