// The conversations of this browser: one key of localStorage each, so that two tabs spoil nothing of each other's.
//
// A conversation: { id, title, updated, system, tools, messages }. `tools` is JSON as the user wrote it. A message:
//   { role: "user", content }
//   { role: "assistant", content, reasoning, toolCalls: [{ id, name, arguments }], state, note, stats }
//   { role: "tool", toolCallId, name, content }
// `state` is "running", "done", "stopped", "cut" or "failed"; `note` is what there is to say about it.

const PREFIX = "gemma.conversation.";
const TITLE_LENGTH = 60;

export function newConversation() {
  const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
  return { id, title: "", updated: Date.now(), system: "", tools: "", messages: [] };
}

// Those that were kept, the newest first.
export function listConversations() {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  const found = keys.map((key) => parse(localStorage.getItem(key))).filter((conversation) => conversation !== null);
  return found.sort((a, b) => b.updated - a.updated);
}

export function loadConversation(id) {
  return parse(localStorage.getItem(PREFIX + id));
}

// Raises an Error whose message says what to do when the browser has no room.
export function saveConversation(conversation) {
  const first = conversation.messages.find((message) => message.role === "user");
  conversation.title = (first?.content ?? "").trim().replace(/\s+/g, " ").slice(0, TITLE_LENGTH);
  conversation.updated = Date.now();
  try {
    localStorage.setItem(PREFIX + conversation.id, JSON.stringify(conversation));
  } catch {
    throw new Error("This conversation is not kept: the browser's storage is full (delete another one)");
  }
}

export function deleteConversation(id) {
  localStorage.removeItem(PREFIX + id);
}

export function isConversationKey(key) {
  return key === null || key.startsWith(PREFIX);
}

// What a closed tab left half done was stopped.
function parse(text) {
  try {
    const conversation = JSON.parse(text);
    if (!Array.isArray(conversation?.messages)) return null;
    for (const message of conversation.messages) {
      if (message.state === "running") Object.assign(message, { state: "stopped", note: "Stopped." });
    }
    return conversation;
  } catch {
    return null;
  }
}
