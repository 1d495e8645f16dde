#include "cc/runner/flag_sources.h"

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cc/base/file.h"
#include "cc/base/shown.h"
#include "cc/base/status_macros.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/user_path.h"

namespace gemma {
namespace {

constexpr absl::string_view kPrefix = "GEMMA_RUNNER_";
constexpr absl::string_view kConfig = "config";
constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr size_t kShownReason = 200;  // bytes of what the TOML reader says

// What one source says of a flag.
struct Value {
  std::string flag;
  std::vector<std::string> inputs;
  std::string source;
};

std::vector<const CLI::App*> Subcommands(const CLI::App& root) {
  return root.get_subcommands([](const CLI::App*) { return true; });
}

// The flag that sets a value: --help and --version do something instead.
const CLI::Option* FindFlag(const CLI::App& root, const CLI::App& command,
                            const std::string& flag) {
  const std::string name = absl::StrCat("--", flag);
  const CLI::Option* option = command.get_option_no_throw(name);
  if (option == nullptr) option = root.get_option_no_throw(name);
  return option != nullptr && option->get_configurable() ? option : nullptr;
}

// Whether some subcommand has it.
bool IsFlag(const CLI::App& root, const std::string& flag) {
  const std::vector<const CLI::App*> commands = Subcommands(root);
  return std::any_of(commands.begin(), commands.end(), [&](const CLI::App* command) {
    return FindFlag(root, *command, flag) != nullptr;
  });
}

const CLI::App* ChosenCommand(const CLI::App& root, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    for (const CLI::App* command : Subcommands(root)) {
      if (word == command->get_name()) return command;
    }
  }
  return nullptr;
}

bool IsGiven(const std::vector<std::string>& words, const std::string& flag) {
  const std::string name = absl::StrCat("--", flag);
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return word == name || absl::StartsWith(word, name + "=");
  });
}

std::optional<std::string> GivenConfig(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    absl::string_view word = words[i];
    if (absl::ConsumePrefix(&word, "--config=")) return std::string(word);
    if (word == "--config" && i + 1 < words.size()) return words[i + 1];
  }
  return std::nullopt;
}

// The variables with our prefix that are set to something.
absl::StatusOr<std::vector<Value>> ReadEnvironment(const CLI::App& root,
                                                   const std::vector<std::string>& environment) {
  std::vector<Value> values;
  for (const std::string& entry : environment) {
    const size_t end = entry.find('=');
    if (!absl::StartsWith(entry, kPrefix) || end == std::string::npos) continue;
    const std::string name = entry.substr(0, end);
    const std::string flag = absl::AsciiStrToLower(name.substr(kPrefix.size()));
    if (!IsFlag(root, flag)) {
      return UsageError(absl::StrCat("the environment variable ", name,
                                     " is no flag's: there is no --", flag, " (unset it)"));
    }
    if (end + 1 < entry.size()) values.push_back({flag, {entry.substr(end + 1)}, name});
  }
  return values;
}

absl::StatusOr<std::vector<CLI::ConfigItem>> ParseConfig(const std::string& file) {
  GEMMA_ASSIGN_OR_RETURN(const std::string text, ReadFile(UserPath(file), kMaxConfigBytes));
  std::istringstream stream(text);
  try {
    return CLI::ConfigTOML().from_config(stream);
  } catch (const CLI::Error& error) {
    return UsageError(absl::StrCat(file, ": ", Shown(error.what(), kShownReason)));
  }
}

absl::Status CheckItem(const CLI::App& root, const CLI::ConfigItem& item, const std::string& file) {
  if (item.parents.empty()) {
    if (IsFlag(root, item.name) && item.name != kConfig) return absl::OkStatus();
    return UsageError(absl::StrCat(file, ": ", Shown(item.name),
                                   " is a flag of no subcommand (runner SUBCOMMAND --help lists "
                                   "them, without the dashes)"));
  }
  const CLI::App* command = root.get_subcommand_no_throw(item.parents.front());
  if (command == nullptr || item.parents.size() > 1) {
    return UsageError(absl::StrCat(file, ": [", Shown(CLI::detail::join(item.parents, ".")),
                                   "] is no subcommand (runner --help lists them)"));
  }
  if (item.name == "++" || item.name == "--") return absl::OkStatus();  // a section's ends
  if (FindFlag(root, *command, item.name) != nullptr && item.name != kConfig)
    return absl::OkStatus();
  return UsageError(absl::StrCat(file, ": ", Shown(item.name), " in [", command->get_name(),
                                 "] is no flag of it (runner ", command->get_name(),
                                 " --help lists them, without the dashes)"));
}

// What the file says for `command`, a section's values first.
absl::StatusOr<std::vector<Value>> ReadConfig(const CLI::App& root, const CLI::App& command,
                                              const std::string& file) {
  GEMMA_ASSIGN_OR_RETURN(const std::vector<CLI::ConfigItem> items, ParseConfig(file));
  std::vector<Value> values, common;
  for (const CLI::ConfigItem& item : items) {
    GEMMA_RETURN_IF_ERROR(CheckItem(root, item, file));
    if (item.name == "++" || item.name == "--") continue;
    const bool of_all = item.parents.empty();
    if (of_all ? FindFlag(root, command, item.name) == nullptr
               : item.parents.front() != command.get_name()) {
      continue;
    }
    (of_all ? common : values).push_back({item.name, item.inputs, file});
  }
  values.insert(values.end(), common.begin(), common.end());
  return values;
}

bool IsTrue(const std::string& text) {
  return text == "true" || text == "1" || text == "on" || text == "yes";
}

// As words of the command line. UsageError for a switch that is neither on nor off.
absl::StatusOr<std::vector<std::string>> ToWords(const CLI::Option& option, const Value& value) {
  std::vector<std::string> words;
  const std::string name = absl::StrCat("--", value.flag);
  if (option.get_expected_min() > 0) {
    for (const std::string& input : value.inputs) words.push_back(absl::StrCat(name, "=", input));
    return words;
  }
  const std::string text =
      value.inputs.empty() ? "true" : absl::AsciiStrToLower(value.inputs.front());
  if (IsTrue(text)) return std::vector<std::string>{name};
  if (text == "false" || text == "0" || text == "off" || text == "no") return words;
  return UsageError(absl::StrCat(value.source, ": ", value.flag, " is true or false, but not ",
                                 Shown(value.inputs.front())));
}

}  // namespace

std::string EnvironmentName(absl::string_view flag) {
  return absl::StrCat(kPrefix, absl::AsciiStrToUpper(flag));
}

absl::StatusOr<CommandLine> AddFlagSources(const CLI::App& root,
                                           const std::vector<std::string>& words,
                                           const std::vector<std::string>& environment) {
  CommandLine line = {words, {}};
  const CLI::App* command = ChosenCommand(root, words);
  if (command == nullptr || IsGiven(words, "help")) return line;
  GEMMA_ASSIGN_OR_RETURN(std::vector<Value> values, ReadEnvironment(root, environment));
  std::optional<std::string> config = GivenConfig(words);
  for (const Value& value : values) {
    if (value.flag == kConfig && !config.has_value()) config = value.inputs.front();
  }
  if (config.has_value()) {
    GEMMA_ASSIGN_OR_RETURN(const std::vector<Value> of_file, ReadConfig(root, *command, *config));
    values.insert(values.end(), of_file.begin(), of_file.end());
  }
  std::set<std::string> done;
  for (const Value& value : values) {
    const CLI::Option* option = FindFlag(root, *command, value.flag);
    if (option == nullptr || value.flag == kConfig || IsGiven(words, value.flag)) continue;
    if (!done.insert(value.flag).second) continue;
    GEMMA_ASSIGN_OR_RETURN(const std::vector<std::string> added, ToWords(*option, value));
    line.words.insert(line.words.end(), added.begin(), added.end());
    line.sources[value.flag] = value.source;
  }
  return line;
}

}  // namespace gemma
