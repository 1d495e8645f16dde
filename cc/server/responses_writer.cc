#include "cc/server/responses_writer.h"

#include <optional>
#include <utility>
#include <vector>

#include "cc/server/openai_answer.h"

namespace gemma::server {
namespace {

using Kind = AnswerEvent::Kind;

Json OrNull(const std::optional<int64_t>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}

// What the SDKs need to be there, as this request has it.
Json Repeat(const TextRequest& request) {
  Json tools = Json::array();
  for (const ToolDefinition& tool : request.format.tools) {
    tools.push_back(
        {{"type", "function"},
         {"name", tool.name},
         {"description", tool.description},
         {"parameters", tool.parameters.empty() ? Json(nullptr) : Json::parse(tool.parameters)},
         {"strict", true}});
  }
  using Choice = OutputFormat::ToolChoice;
  const Choice choice = request.format.tool_choice;
  Json tool_choice = choice == Choice::kNone       ? "none"
                     : choice == Choice::kRequired ? "required"
                                                   : "auto";
  if (choice == Choice::kNamed)
    tool_choice = {{"type", "function"}, {"name", request.format.tool_name}};
  return {{"max_output_tokens", OrNull(request.max_new_tokens)},
          {"temperature", request.sampling.temperature},
          {"top_p", request.sampling.top_p},
          {"tools", std::move(tools)},
          {"tool_choice", std::move(tool_choice)},
          {"parallel_tool_calls", request.format.parallel_tool_calls},
          {"store", false},
          {"truncation", "disabled"},
          {"previous_response_id", nullptr},
          {"instructions", nullptr},
          {"metadata", Json::object()}};
}

const char* IdPrefix(Kind kind) {
  if (kind == Kind::kText) return "msg_";
  return kind == Kind::kThought ? "rs_" : "fc_";
}

}  // namespace

ResponsesWriter::ResponsesWriter(const Tokenizer& tokenizer, std::string model,
                                 const TextRequest& request)
    : tokenizer_(tokenizer),
      model_(std::move(model)),
      echo_(Repeat(request)),
      logprobs_(request.changes.top_logprobs.has_value()),
      id_(RandomId("resp_")),
      created_(UnixTime()) {}

Json ResponsesWriter::PartJson(const Item& item) const {
  if (item.kind == Kind::kThought) return {{"type", "reasoning_text"}, {"text", item.text}};
  return {{"type", "output_text"},
          {"text", item.text},
          {"annotations", Json::array()},
          {"logprobs", logprobs_ ? TokenLogprobs(tokenizer_, item.tokens) : Json::array()}};
}

Json ResponsesWriter::ItemJson(const Item& item, const char* status) const {
  const bool begun = status == std::string("in_progress");
  const Json content = begun ? Json::array() : Json::array({PartJson(item)});
  switch (item.kind) {
    case Kind::kThought:
      return {{"type", "reasoning"},
              {"id", item.id},
              {"summary", Json::array()},
              {"content", content},
              {"status", status}};
    case Kind::kText:
      return {{"type", "message"},
              {"id", item.id},
              {"role", "assistant"},
              {"status", status},
              {"content", content}};
    default:
      return {{"type", "function_call"}, {"id", item.id},          {"call_id", item.call_id},
              {"name", item.name},       {"arguments", item.text}, {"status", status}};
  }
}

Json ResponsesWriter::Response(const char* status, const Answer* answer) const {
  Json response = {
      {"id", id_},       {"object", "response"}, {"created_at", created_},       {"status", status},
      {"model", model_}, {"error", nullptr},     {"incomplete_details", nullptr}};
  response["output"] = Json::array();
  const bool whole = answer != nullptr;
  const bool cut = whole && answer->choices[0].is_cut();
  for (size_t i = 0; whole && i < items_.size(); ++i) {
    const bool unfinished = cut && i + 1 == items_.size();
    response["output"].push_back(ItemJson(items_[i], unfinished ? "incomplete" : "completed"));
  }
  if (cut) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  response.update(echo_);
  response["usage"] = nullptr;
  if (!whole) return response;
  const int64_t written = answer->completion_tokens();
  response["usage"] = {{"input_tokens", answer->prompt_tokens},
                       {"input_tokens_details", {{"cached_tokens", answer->cached_tokens}}},
                       {"output_tokens", written},
                       {"output_tokens_details", {{"reasoning_tokens", answer->reasoning_tokens}}},
                       {"total_tokens", answer->prompt_tokens + written}};
  return response;
}

std::string ResponsesWriter::Event(const char* type, Json fields) {
  Json event = {{"type", type}, {"sequence_number", sequence_++}};
  event.update(fields);
  return Sse(type, event);
}

// ---- items, with or without their events ----

void ResponsesWriter::Open(Kind kind, const Choice& choice, std::string* sse) {
  if (open_ && kind != Kind::kToolCall && items_.back().kind == kind) return;
  Close(sse);
  Item item = {.kind = kind, .id = RandomId(IdPrefix(kind)), .call_id = "", .name = "", .text = ""};
  if (kind == Kind::kToolCall) {
    const AnswerToolCall& call = choice.tool_calls[calls_++];
    item.call_id = call.id;
    item.name = call.name;
  }
  items_.push_back(std::move(item));
  open_ = true;
  if (sse == nullptr) return;
  const size_t index = items_.size() - 1;
  *sse += Event("response.output_item.added",
                {{"output_index", index}, {"item", ItemJson(items_.back(), "in_progress")}});
  if (kind == Kind::kToolCall) return;
  *sse += Event("response.content_part.added", {{"item_id", items_.back().id},
                                                {"output_index", index},
                                                {"content_index", 0},
                                                {"part", PartJson(items_.back())}});
}

void ResponsesWriter::Append(const std::string& text, std::string* sse) {
  Item& item = items_.back();
  item.text += text;
  if (sse == nullptr) return;
  Json fields = {{"item_id", item.id}, {"output_index", items_.size() - 1}};
  if (item.kind != Kind::kToolCall) fields["content_index"] = 0;
  fields["delta"] = text;
  if (item.kind == Kind::kText) fields["logprobs"] = Json::array();
  *sse += Event(item.kind == Kind::kText      ? "response.output_text.delta"
                : item.kind == Kind::kThought ? "response.reasoning_text.delta"
                                              : "response.function_call_arguments.delta",
                std::move(fields));
}

void ResponsesWriter::Close(std::string* sse) {
  if (!std::exchange(open_, false) || sse == nullptr) return;
  const Item& item = items_.back();
  const size_t index = items_.size() - 1;
  Json fields = {{"item_id", item.id}, {"output_index", index}};
  if (item.kind == Kind::kToolCall) {
    fields["name"] = item.name;
    fields["arguments"] = item.text;
    *sse += Event("response.function_call_arguments.done", std::move(fields));
  } else {
    fields["content_index"] = 0;
    Json part = fields;
    part["part"] = PartJson(item);
    fields["text"] = item.text;
    if (item.kind == Kind::kText) fields["logprobs"] = part["part"]["logprobs"];
    *sse += Event(
        item.kind == Kind::kText ? "response.output_text.done" : "response.reasoning_text.done",
        std::move(fields));
    *sse += Event("response.content_part.done", std::move(part));
  }
  *sse += Event("response.output_item.done",
                {{"output_index", index}, {"item", ItemJson(item, "completed")}});
}

void ResponsesWriter::TakePart(const Choice& choice, const AnswerEvent& part, std::string* sse) {
  switch (part.kind) {
    case Kind::kText:
    case Kind::kThought:
      Open(part.kind, choice, sse);
      return Append(part.text, sse);
    case Kind::kToolCall:
      return Open(Kind::kToolCall, choice, sse);
    case Kind::kToolArguments:
      return Append(part.text, sse);
    case Kind::kToolCallEnd:
      return Close(sse);
  }
}

void ResponsesWriter::Take(const Answer& answer, const JobEvent& event, std::string* sse) {
  const Choice& choice = answer.choices[0];
  for (const AnswerEvent& part : event.step.events) TakePart(choice, part, sse);
  const bool is_text = event.step.token.has_value() && event.step.token->is_text;
  if (is_text && open_ && items_.back().kind == Kind::kText)
    items_.back().tokens.push_back(event.step.token->drawn);
}

Json ResponsesWriter::Whole(const Answer& answer) {
  const Choice& choice = answer.choices[0];
  if (!choice.thought.empty()) {
    Open(Kind::kThought, choice, nullptr);
    Append(choice.thought, nullptr);
  }
  if (!choice.text.empty() || choice.tool_calls.empty()) {
    Open(Kind::kText, choice, nullptr);
    Append(choice.text, nullptr);
    items_.back().tokens = choice.tokens;
  }
  for (const AnswerToolCall& call : choice.tool_calls) {
    items_.push_back({Kind::kToolCall, RandomId("fc_"), call.id, call.name, call.arguments});
  }
  return Response(choice.is_cut() ? "incomplete" : "completed", &answer);
}

std::string ResponsesWriter::Begin(const Answer&) {
  const Json response = Response("in_progress", nullptr);
  std::string text = Event("response.created", {{"response", response}});
  return text + Event("response.in_progress", {{"response", response}});
}

std::string ResponsesWriter::Step(const Answer& answer, const JobEvent& event) {
  std::string text;
  Take(answer, event, &text);
  return text;
}

std::string ResponsesWriter::End(const Answer& answer) {
  std::string text;
  if (items_.empty()) Open(Kind::kText, answer.choices[0], &text);
  Close(&text);
  const bool cut = answer.choices[0].is_cut();
  return text + Event(cut ? "response.incomplete" : "response.completed",
                      {{"response", Response(cut ? "incomplete" : "completed", &answer)}});
}

std::string ResponsesWriter::Fail(const Answer&, const ApiError& error) {
  Json response = Response("failed", nullptr);
  response["error"] = {{"code", "server_error"}, {"message", error.message}};
  return Event("response.failed", {{"response", std::move(response)}});
}

}  // namespace gemma::server
