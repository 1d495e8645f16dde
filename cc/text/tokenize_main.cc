// tokenize: runs a tokenizer.bin over lines of JSON,
// for tests and for a look at what a tokenizer does.
//
//   echo '"Hello"' | tokenize --tokenizer model/tokenizer.bin encode   # [9259]
//   echo '[9259]' | tokenize --tokenizer model/tokenizer.bin decode     # "Hello"
//   echo '[{"role": "user", "content": "Hi"}]' |
//     tokenize --tokenizer model/tokenizer.bin chat --template gemma4
//
// One line of output a line of input; timings, as JSON, on stderr at the end.
#include <chrono>
#include <ctime>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/text/bpe_tokenizer.h"
#include "cc/text/chat_template.h"
#include "cc/text/decoder.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;
using Convert = std::function<absl::StatusOr<Json>(const Json&)>;

struct Flags {
  std::string tokenizer;
  std::string chat_template = "gemma4";
  bool parse_special = false;
  bool keep_special = false;
  bool thinking = false;
};

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct LoadTime {
  double wall_ms = 0;
  double cpu_ms = 0;  // does not grow when the machine is busy with other things
};

absl::StatusOr<Json> EncodeLine(const Tokenizer& tokenizer, const Flags& flags, const Json& line) {
  if (!line.is_string()) return absl::InvalidArgumentError("a line must be a JSON string");
  GEMMA_ASSIGN_OR_RETURN(
      const std::vector<int32_t> ids,
      tokenizer.Encode(line.get_ref<const std::string&>(), {.parse_special = flags.parse_special}));
  return Json(ids);
}

absl::StatusOr<Json> DecodeLine(const Tokenizer& tokenizer, const Flags& flags, const Json& line) {
  if (!line.is_array())
    return absl::InvalidArgumentError("a line must be a JSON array of token ids");
  std::vector<int32_t> ids;
  for (const Json& id : line) {
    if (!id.is_number_integer() || id != Json(id.get<int32_t>())) {
      return absl::InvalidArgumentError("a line must be a JSON array of token ids");
    }
    ids.push_back(id.get<int32_t>());
  }
  GEMMA_ASSIGN_OR_RETURN(const std::string text,
                         Decode(tokenizer, ids, {.skip_control = !flags.keep_special}));
  return Json(text);
}

absl::StatusOr<Json> ChatLine(const ChatTemplate& chat, const Flags& flags, const Json& line) {
  std::vector<Message> messages;
  for (const Json& item : line) {
    if (!item.is_object() || !item.contains("role") || !item["role"].is_string() ||
        !item.contains("content") || !item["content"].is_string()) {
      return absl::InvalidArgumentError(
          "a line must be a JSON array of {\"role\": ..., \"content\": ...}");
    }
    GEMMA_ASSIGN_OR_RETURN(const Role role, ParseRole(item["role"].get_ref<const std::string&>()));
    messages.push_back({role, item["content"].get<std::string>()});
  }
  GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                         chat.Encode(messages, {.thinking = flags.thinking}));
  return Json(ids);
}

// Applies `convert` to every line of stdin.
absl::Status ConvertLines(const Convert& convert, const LoadTime& load) {
  double convert_seconds = 0;
  size_t bytes = 0;
  std::string text;
  for (size_t line = 1; std::getline(std::cin, text); ++line) {
    const Json input = Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
    if (input.is_discarded())
      return absl::InvalidArgumentError(absl::StrCat("line ", line, " is not JSON"));
    const Clock::time_point start = Clock::now();
    const absl::StatusOr<Json> output = convert(input);
    convert_seconds += SecondsSince(start);
    if (!output.ok())
      return absl::Status(output.status().code(),
                          absl::StrCat("line ", line, ": ", output.status().message()));
    bytes += input.is_string() ? input.get_ref<const std::string&>().size() : 0;
    std::cout << *output << '\n';
  }
  const Json timings = {{"load_ms", load.wall_ms},
                        {"load_cpu_ms", load.cpu_ms},
                        {"convert_seconds", convert_seconds},
                        {"text_bytes", bytes}};
  std::cerr << timings << '\n';
  return absl::OkStatus();
}

absl::Status Run(const Flags& flags, const std::string& command) {
  const Clock::time_point start = Clock::now();
  const std::clock_t cpu_start = std::clock();
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                         BpeTokenizer::Load(flags.tokenizer));
  const LoadTime load = {SecondsSince(start) * 1e3,
                         1e3 * static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC};
  if (command == "encode") {
    return ConvertLines([&](const Json& line) { return EncodeLine(*tokenizer, flags, line); },
                        load);
  }
  if (command == "decode") {
    return ConvertLines([&](const Json& line) { return DecodeLine(*tokenizer, flags, line); },
                        load);
  }
  GEMMA_ASSIGN_OR_RETURN(const ChatTemplate chat,
                         ChatTemplate::Create(flags.chat_template, *tokenizer));
  return ConvertLines([&](const Json& line) { return ChatLine(chat, flags, line); }, load);
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Runs a tokenizer.bin over lines of JSON.");
  app.require_subcommand(1);
  app.add_option("--tokenizer", flags.tokenizer, "the tokenizer.bin")->required();
  CLI::App* encode = app.add_subcommand("encode", "JSON strings to arrays of token ids");
  encode->add_flag("--parse_special", flags.parse_special,
                   "special tokens in the text become their ids");
  CLI::App* decode = app.add_subcommand("decode", "arrays of token ids to JSON strings");
  decode->add_flag("--keep_special", flags.keep_special, "print special tokens too");
  CLI::App* chat = app.add_subcommand("chat", "conversations to the token ids of a prompt");
  chat->add_option("--template", flags.chat_template, "gemma3 or gemma4");
  chat->add_flag("--thinking", flags.thinking, "let the model think before it answers");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::ios::sync_with_stdio(false);
  const absl::Status status = Run(flags, app.get_subcommands().front()->get_name());
  if (status.ok()) return 0;
  std::cerr << "tokenize: " << status.message() << '\n';
  return 1;
}

}  // namespace
}  // namespace gemma

int main(int argc, char** argv) { return gemma::Main(argc, argv); }
