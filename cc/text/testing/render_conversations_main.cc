// Writes conversations down in the words of a chat template, for tests that compare them with
// Jinja's.
//
//   echo '{"messages": [{"role": "user", "content": "Hi"}], "tools": [], "thinking": false,
//          "add_generation_prompt": true}' | render_conversations gemma4
//
// prints a line of JSON each: {"text": "<bos>..."} or {"error": "..."}. Messages and tools are those
// of OpenAI's chat completions.

#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/text/chat_template.h"
#include "cc/text/fake_tokenizer.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using Json = nlohmann::ordered_json;

const std::vector<std::string> kSpecials = {"<bos>",        "<|turn>",          "<turn|>",
                                            "<|think|>",    "<|channel>",       "<channel|>",
                                            "<|tool>",      "<tool|>",          "<|tool_call>",
                                            "<tool_call|>", "<|tool_response>", "<tool_response|>",
                                            "<|\"|>",       "<start_of_turn>",  "<end_of_turn>"};

std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

absl::StatusOr<std::string> Content(const Json& message) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) return std::string();
  if (content->is_string()) return content->get<std::string>();
  std::string text;
  for (const Json& part : *content) {
    if (Text(part, "type") != "text")
      return absl::InvalidArgumentError(
          absl::StrCat("a part of the type ", Text(part, "type"), " cannot be read (text can)"));
    text += Text(part, "text");
  }
  return text;
}

absl::StatusOr<Message> ReadMessage(const Json& json) {
  Message message;
  GEMMA_ASSIGN_OR_RETURN(message.role, ParseRole(Text(json, "role")));
  GEMMA_ASSIGN_OR_RETURN(message.content, Content(json));
  message.reasoning = Text(json, "reasoning_content");
  message.tool_call_id = Text(json, "tool_call_id");
  message.tool_name = Text(json, "name");
  for (const Json& call : json.value("tool_calls", Json::array())) {
    message.tool_calls.push_back(
        {Text(call, "id"), Text(call["function"], "name"), call["function"]["arguments"].dump()});
  }
  return message;
}

absl::StatusOr<std::string> Render(const ChatTemplate& chat, const Json& line) {
  std::vector<Message> messages;
  for (const Json& item : line["messages"]) {
    GEMMA_ASSIGN_OR_RETURN(Message message, ReadMessage(item));
    messages.push_back(std::move(message));
  }
  ChatOptions options;
  options.thinking = line["thinking"].get<bool>();
  options.add_generation_prompt = line["add_generation_prompt"].get<bool>();
  for (const Json& tool : line["tools"]) {
    const Json& function = tool["function"];
    options.tools.push_back({Text(function, "name"), Text(function, "description"),
                             function.contains("parameters") ? function["parameters"].dump() : ""});
  }
  GEMMA_ASSIGN_OR_RETURN(const std::vector<PromptPiece> pieces, chat.Render(messages, options));
  std::string text;
  for (const PromptPiece& piece : pieces) text += piece.text;
  return text;
}

absl::Status Run(const std::string& name) {
  const FakeTokenizer tokenizer(kSpecials);
  GEMMA_ASSIGN_OR_RETURN(const ChatTemplate chat, ChatTemplate::Create(name, tokenizer));
  std::string text;
  while (std::getline(std::cin, text)) {
    const Json line = Json::parse(text, nullptr, false);
    if (!line.is_object()) return absl::InvalidArgumentError("a line is not a JSON object");
    const absl::StatusOr<std::string> rendered = Render(chat, line);
    std::cout << (rendered.ok() ? Json{{"text", *rendered}}
                                : Json{{"error", std::string(rendered.status().message())}})
                     .dump()
              << "\n";
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace gemma

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: render_conversations TEMPLATE\n", stderr);
    return 2;
  }
  const absl::Status status = gemma::Run(argv[1]);
  if (status.ok()) return 0;
  std::fputs(absl::StrCat(status.message(), "\n").c_str(), stderr);
  return 1;
}
