#include "cc/server/make_job_spec.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/shown.h"
#include "cc/base/status_macros.h"
#include "cc/engine/prompt.h"
#include "cc/server/api_error.h"
#include "cc/text/chat_template.h"
#include "cc/text/make_answer_parser.h"

namespace gemma::server {
namespace {

using Kind = OutputFormat::Kind;
using ToolChoice = OutputFormat::ToolChoice;

absl::StatusOr<ChatTemplate> FindTemplate(const Engine& engine) {
  if (engine.tokenizer() == nullptr)
    return absl::FailedPreconditionError("the model has no tokenizer, so it cannot read text");
  const std::optional<std::string>& name = engine.manifest().tokenizer->chat_template;
  if (name.has_value()) return ChatTemplate::Create(*name, *engine.tokenizer());
  if (engine.manifest().tokenizer->chat_template_file.has_value()) {
    return WithField(absl::FailedPreconditionError(
                         "the model's own chat template is not one that this server renders "
                         "(/v1/completions goes on with a text)"),
                     "messages");
  }
  return WithField(
      absl::FailedPreconditionError(
          "the model has no chat template, as a base model has none (/v1/completions goes on with "
          "a text)"),
      "messages");
}

absl::StatusOr<std::vector<int32_t>> EncodeConversation(const Engine& engine,
                                                        const std::vector<Message>& messages,
                                                        const TextRequest& request) {
  GEMMA_ASSIGN_OR_RETURN(const ChatTemplate chat, FindTemplate(engine));
  const OutputFormat& format = request.format;
  if (format.thinking && !chat.can_think())
    return BadField(request.thinking_field, "this model's template has no thinking");
  if (!format.tools.empty() && !chat.renders_tools())
    return BadField("tools", "this model's template has no words for tools");
  ChatOptions options = {.thinking = format.thinking};
  if (format.tool_choice != ToolChoice::kNone) options.tools = format.tools;
  absl::StatusOr<std::vector<int32_t>> ids = chat.Encode(messages, options);
  if (!ids.ok()) return WithField(ids.status(), "messages");
  return ids;
}

absl::Status CheckIds(const Engine& engine, const std::vector<int32_t>& ids) {
  const int64_t vocab = engine.limits().vocab_size;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab) continue;
    return BadField("prompt", absl::StrCat("token ", i, " is ", ids[i], ", but the model has ",
                                           vocab, " tokens"));
  }
  return absl::OkStatus();
}

absl::Status CheckTools(const OutputFormat& format) {
  std::set<std::string> names;
  for (const ToolDefinition& tool : format.tools) {
    if (!names.insert(tool.name).second)
      return BadField("tools", absl::StrCat("two of them are called ", tool.name));
  }
  if (format.tool_choice == ToolChoice::kNamed && !names.contains(format.tool_name))
    return BadField("tool_choice",
                    absl::StrCat("there is no tool called ", gemma::Shown(format.tool_name)));
  if (format.tool_choice == ToolChoice::kRequired && names.empty())
    return BadField("tool_choice", "there are no tools");
  return absl::OkStatus();
}

// What of the format cannot be left to chance.
std::string ConstrainedField(const TextRequest& request) {
  if (request.format.kind != Kind::kText) return request.format_field;
  if (request.format.tool_choice != ToolChoice::kAuto) return "tool_choice";
  return request.format.parallel_tool_calls ? "tools" : "parallel_tool_calls";
}

// Whether the template leaves the model within a thought, as it may after a tool's result.
absl::StatusOr<bool> AnswersInThought(const Engine& engine, const TextRequest& request,
                                      const JobSpec& spec) {
  if (!std::holds_alternative<std::vector<Message>>(request.prompt)) return false;
  GEMMA_ASSIGN_OR_RETURN(const ChatTemplate chat, FindTemplate(engine));
  return EndsInThought(spec.prompt, chat.answer_markers());
}

absl::Status AddConstraints(const Engine& engine, const ConstraintCompiler* compiler,
                            const TextRequest& request, JobSpec& spec) {
  if (request.format.IsFree()) return absl::OkStatus();
  const std::string field = ConstrainedField(request);
  if (compiler == nullptr) return BadField(field, "is not supported (answers are not constrained)");
  OutputFormat format = request.format;
  GEMMA_ASSIGN_OR_RETURN(format.in_thought, AnswersInThought(engine, request, spec));
  for (int64_t i = 0; i < request.choices; ++i) {
    absl::StatusOr<std::unique_ptr<TokenConstraint>> constraint = compiler->Compile(format);
    if (!constraint.ok()) {
      return WithField(absl::Status(constraint.status().code(),
                                    absl::StrCat(field, ": ", constraint.status().message())),
                       field);
    }
    spec.constraints.push_back(*std::move(constraint));
  }
  return absl::OkStatus();
}

// The last token of an answer needs no position.
absl::StatusOr<int64_t> CheckLength(const Engine& engine, const TextRequest& request,
                                    size_t prompt) {
  const int64_t context = engine.limits().max_seq_len;
  const int64_t room = context - static_cast<int64_t>(prompt) + 1;
  const bool chat = std::holds_alternative<std::vector<Message>>(request.prompt);
  const char* field = chat ? "messages" : "prompt";
  if (room < 2) {
    return WithCode(
        WithField(absl::InvalidArgumentError(absl::StrCat(
                      "the prompt has ", prompt, " tokens, but this model's context length is ",
                      context, " (shorten it)")),
                  field),
        "context_length_exceeded");
  }
  const int64_t wanted = request.max_new_tokens.value_or(room);
  if (wanted <= room) return wanted;
  return WithCode(WithField(absl::InvalidArgumentError(absl::StrCat(
                                "the prompt has ", prompt, " tokens and ", wanted,
                                " were asked for, but this model's context length is ", context,
                                " (ask for ", room, " at most, or shorten the prompt)")),
                            field),
                  "context_length_exceeded");
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> EncodePrompt(const Engine& engine,
                                                  const TextRequest& request) {
  const Prompt& prompt = request.prompt;
  if (const auto* messages = std::get_if<std::vector<Message>>(&prompt))
    return EncodeConversation(engine, *messages, request);
  if (const auto* text = std::get_if<std::string>(&prompt)) return MakeRawPrompt(engine, *text);
  const auto& ids = std::get<std::vector<int32_t>>(prompt);
  GEMMA_RETURN_IF_ERROR(CheckIds(engine, ids));
  return ids;
}

absl::StatusOr<JobSpec> MakeJobSpec(const Engine& engine, const ConstraintCompiler* compiler,
                                    const TextRequest& request, std::string key) {
  JobSpec spec = {.key = std::move(key), .prompt = {}, .choices = request.choices};
  GEMMA_RETURN_IF_ERROR(CheckTools(request.format));
  const absl::Status changes = CheckLogitsChanges(request.changes, engine.limits().vocab_size);
  if (!changes.ok()) return WithField(changes, "logit_bias");
  GEMMA_ASSIGN_OR_RETURN(spec.prompt, EncodePrompt(engine, request));
  GEMMA_ASSIGN_OR_RETURN(spec.options.max_new_tokens,
                         CheckLength(engine, request, spec.prompt.size()));
  GEMMA_RETURN_IF_ERROR(AddConstraints(engine, compiler, request, spec));
  spec.options.sampling = request.sampling;
  spec.options.changes = request.changes;
  spec.options.stop_strings = request.stop;
  if (std::holds_alternative<std::vector<Message>>(request.prompt))
    spec.options.chat_template = engine.manifest().tokenizer->chat_template;
  return spec;
}

}  // namespace gemma::server
