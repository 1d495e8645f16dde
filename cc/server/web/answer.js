// One answer: what is asked, and the message that grows out of the chunks that come.
import { streamChat } from "./server_api.js";

// The body of a request: the conversation, and of the settings what is set.
export function requestOf(conversation, settings, model) {
  const system = conversation.system.trim() ? [{ role: "system", content: conversation.system }] : [];
  const { thinking, ...sampling } = settings;
  return {
    model,
    messages: [...system, ...conversation.messages.map(messageOf)],
    ...sampling,
    ...(thinking ? { chat_template_kwargs: { enable_thinking: true } } : {}),
    ...(conversation.tools.trim() ? { tools: JSON.parse(conversation.tools) } : {}),
  };
}

// Thoughts go back with calls of tools alone, as the model's template has it.
function messageOf(message) {
  if (message.role === "user") return { role: "user", content: message.content };
  if (message.role === "tool") {
    return { role: "tool", tool_call_id: message.toolCallId, name: message.name, content: message.content };
  }
  const sent = { role: "assistant", content: message.content };
  if (message.toolCalls.length > 0) {
    sent.tool_calls = message.toolCalls.map((call) => ({
      id: call.id,
      type: "function",
      function: { name: call.name, arguments: call.arguments },
    }));
    if (message.reasoning) sent.reasoning_content = message.reasoning;
  }
  return sent;
}

export function newAnswer() {
  return { role: "assistant", content: "", reasoning: "", toolCalls: [], state: "running", note: "", stats: "" };
}

// Fills `answer` until it has ended, in whatever way: its state says which. `changed` is called after each chunk.
export async function runAnswer(body, answer, context, signal, changed) {
  const times = { first: 0 };
  try {
    for await (const chunk of streamChat(body, signal)) {
      addChunk(answer, chunk, times, context);
      changed();
    }
    if (answer.state === "running") answer.state = "done";
  } catch (error) {
    if (error.name === "AbortError") Object.assign(answer, { state: "stopped", note: "Stopped." });
    else Object.assign(answer, { state: "failed", note: error.message });
  }
  changed();
}

function addChunk(answer, chunk, times, context) {
  for (const { delta, finish_reason } of chunk.choices) {
    if (delta.content || delta.reasoning_content || delta.tool_calls) times.first ||= performance.now();
    answer.content += delta.content ?? "";
    answer.reasoning += delta.reasoning_content ?? "";
    for (const call of delta.tool_calls ?? []) addCall(answer.toolCalls, call);
    if (finish_reason === "length") {
      const note = "The answer is cut: it reached the most tokens that are allowed, or the context's end.";
      Object.assign(answer, { state: "cut", note });
    }
  }
  if (chunk.usage) answer.stats = statsOf(chunk.usage, times, context);
}

function addCall(calls, { index, id, function: called }) {
  calls[index] ??= { id, name: "", arguments: "" };
  calls[index].name += called.name ?? "";
  calls[index].arguments += called.arguments ?? "";
}

// For instance "120 tokens, 35.2 a second, 410 of 8,192 in the context".
function statsOf(usage, times, context) {
  const seconds = (performance.now() - times.first) / 1000;
  const count = usage.completion_tokens;
  const rate = times.first && count > 1 && seconds > 0 ? `, ${((count - 1) / seconds).toFixed(1)} a second` : "";
  const used = `${usage.total_tokens.toLocaleString("en")} of ${context.toLocaleString("en")} in the context`;
  return `${count.toLocaleString("en")} ${count === 1 ? "token" : "tokens"}${rate}, ${used}`;
}
