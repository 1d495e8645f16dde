#include "cc/runner/completion.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace gemma {
namespace {

struct FlagWords {
  std::string name;  // with its dashes
  std::string help;
  std::string values;  // separated by spaces: what it may be; empty: anything, or nothing
  bool takes_value = false;
  bool is_file = false;
  bool is_folder = false;
};

// "a|b [a]" is the text of a choice, "FILE" and "DIR [x]" of paths (flags.h).
FlagWords Describe(const CLI::Option& option) {
  FlagWords words;
  words.name = absl::StrCat("--", option.get_lnames().front());
  words.help = option.get_description();
  words.takes_value = option.get_expected_min() > 0;
  const std::string text = option.get_option_text();
  const std::string kind = text.substr(0, text.find(' '));
  words.is_file = kind == "FILE";
  words.is_folder = kind == "DIR";
  if (kind.find('|') != std::string::npos) words.values = absl::StrReplaceAll(kind, {{"|", " "}});
  return words;
}

std::vector<FlagWords> Flags(const CLI::App& root, const CLI::App& command) {
  std::vector<FlagWords> flags;
  for (const CLI::App* app : {&command, &root}) {
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_lnames().empty()) continue;
      FlagWords words = Describe(*option);
      if (app == &root && (words.name == "--help" || words.name == "--version")) continue;
      flags.push_back(std::move(words));
    }
  }
  return flags;
}

std::vector<const CLI::App*> Subcommands(const CLI::App& root) {
  return root.get_subcommands([](const CLI::App*) { return true; });
}

std::string Names(const std::vector<FlagWords>& flags) {
  return absl::StrJoin(
      flags, " ", [](std::string* out, const FlagWords& flag) { absl::StrAppend(out, flag.name); });
}

// The case of one subcommand: sets `flags`, and what may follow the flag before the cursor.
std::string BashCase(const CLI::App& root, const CLI::App& command) {
  const std::vector<FlagWords> flags = Flags(root, command);
  std::string text = absl::StrCat("    ", command.get_name(), ")\n      flags='", Names(flags),
                                  "'\n      case $before in\n");
  for (const FlagWords& flag : flags) {
    if (!flag.takes_value) continue;
    const std::string reply =
        flag.is_file ? "COMPREPLY=($(compgen -f -- \"$word\")); compopt -o filenames 2> /dev/null"
        : flag.is_folder
            ? "COMPREPLY=($(compgen -d -- \"$word\")); compopt -o filenames 2> /dev/null"
        : flag.values.empty()
            ? "COMPREPLY=()"
            : absl::StrCat("COMPREPLY=($(compgen -W '", flag.values, "' -- \"$word\"))");
    absl::StrAppend(&text, "        ", flag.name, ") ", reply, "; return ;;\n");
  }
  return absl::StrCat(text, "      esac ;;\n");
}

// Quoted for _arguments: 'name[help]:value:action'.
std::string ZshQuote(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"'", "'\\''"}, {"[", "\\["}, {"]", "\\]"}, {":", "\\:"}});
}

std::string ZshArgument(const FlagWords& flag) {
  const std::string action = flag.is_file          ? "_files"
                             : flag.is_folder      ? "_files -/"
                             : flag.values.empty() ? " "
                                                   : absl::StrCat("(", flag.values, ")");
  return absl::StrCat("'*", flag.name, flag.takes_value ? "=" : "", "[", ZshQuote(flag.help), "]",
                      flag.takes_value ? absl::StrCat(":value:", action) : "", "'");
}

}  // namespace

std::string BashCompletion(const CLI::App& root) {
  std::vector<std::string> names;
  std::string cases;
  for (const CLI::App* command : Subcommands(root)) {
    names.push_back(command->get_name());
    absl::StrAppend(&cases, BashCase(root, *command));
  }
  // Bash takes "=" for a word of its own: --device=c is three words.
  return absl::StrCat(
      "# Completion for bash: source <(runner completion bash)\n_runner() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}"
      " command='' flags='' i\n"
      "  [[ $word != = ]] || word=''\n"
      "  [[ $before != = ]] || before=${COMP_WORDS[COMP_CWORD-2]}\n"
      "  [[ ${COMP_WORDS[COMP_CWORD]} != = ]] || before=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${COMP_WORDS[i]} in ",
      absl::StrJoin(names, "|"),
      ") command=${COMP_WORDS[i]}; break ;; esac\n  done\n  case $command in\n", cases,
      "    *) COMPREPLY=($(compgen -W '", absl::StrJoin(names, " "),
      " --help --version' -- \"$word\")); return ;;\n  esac\n"
      "  COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n}\ncomplete -F _runner runner\n");
}

std::string ZshCompletion(const CLI::App& root) {
  std::string names, cases;
  for (const CLI::App* command : Subcommands(root)) {
    absl::StrAppend(&names, "    '", command->get_name(), ":", ZshQuote(command->get_description()),
                    "'\n");
    absl::StrAppend(&cases, "    ", command->get_name(), ") _arguments -S");
    for (const FlagWords& flag : Flags(root, *command))
      absl::StrAppend(&cases, " \\\n      ", ZshArgument(flag));
    absl::StrAppend(&cases, " '*:value:( )' ;;\n");
  }
  return absl::StrCat(
      "#compdef runner\n# Completion for zsh: source <(runner completion zsh)\n_runner() {\n"
      "  local -a commands=(\n",
      names,
      "  )\n  if ((CURRENT == 2)); then _describe subcommand commands; return; fi\n"
      "  local command=$words[2]\n  shift words\n  ((CURRENT--))\n  case $command in\n",
      cases, "  esac\n}\ncompdef _runner runner\n");
}

}  // namespace gemma
