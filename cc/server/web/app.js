// The page: which conversation is open, what the buttons and keys do, and when an answer runs. One at a time.
import { newAnswer, requestOf, runAnswer } from "./answer.js";
import {
  deleteConversation,
  isConversationKey,
  listConversations,
  loadConversation,
  newConversation,
  saveConversation,
} from "./conversations.js";
import { setUpKeyForm } from "./key_form.js";
import { MessageList } from "./message_list.js";
import { setUpConversationList } from "./conversation_list.js";
import { fetchModel } from "./server_api.js";
import { readSettings, setUpSettings } from "./settings.js";
import { setUpThemeSwitch } from "./theme_switch.js";

const RETRY_MS = 1000;

const byId = (id) => document.getElementById(id);
const prompt = byId("prompt");
const state = { conversation: newConversation(), model: null, running: null };

const messages = new MessageList(byId("messages"), {
  regenerate,
  edit: editLast,
  sendResults,
});
const list = setUpConversationList({ open, remove, begin });
const openSettings = setUpSettings(() => state.conversation, () => state.conversation.messages.length > 0 && keep());
const askForKey = setUpKeyForm(connect);

// ---- the server ----

async function connect() {
  try {
    state.model = await fetchModel();
  } catch (error) {
    byId("context").textContent = error.message;
    if (error.status === 401) return askForKey(error.message);
    setTimeout(connect, RETRY_MS);
    return;
  }
  byId("model").textContent = state.model.id;
  byId("context").textContent = `${state.model.context_length.toLocaleString("en")} tokens of context`;
  askForKey(null);
  tell("");
}

// ---- conversations ----

function open(id) {
  stop();
  state.conversation = loadConversation(id) ?? newConversation();
  show();
  prompt.focus();
}

function begin() {
  open(null);
}

function remove(id) {
  deleteConversation(id);
  if (id === state.conversation.id) begin();
  else list.show(listConversations(), state.conversation.id);
}

function show() {
  messages.show(state.conversation.messages);
  list.show(listConversations(), state.conversation.id);
  document.title = state.conversation.title || "Gemma";
}

function keep() {
  try {
    saveConversation(state.conversation);
  } catch (error) {
    tell(error.message, true);
  }
  list.show(listConversations(), state.conversation.id);
  document.title = state.conversation.title || "Gemma";
}

// ---- answers ----

function send() {
  if (prompt.value.trim() === "" || state.running) return;
  if (!state.model) return tell("Not sent: the server is not ready yet.", true);
  state.conversation.messages.push({ role: "user", content: prompt.value });
  prompt.value = "";
  fitPrompt();
  answer();
}

// Drops the last answer, with what is behind it.
function regenerate() {
  const { messages: said } = state.conversation;
  if (state.running || !state.model || said.length === 0) return;
  if (said.at(-1).role === "assistant") said.pop();
  answer();
}

function editLast(content) {
  if (!state.model) return;
  stop();
  const { messages: said } = state.conversation;
  said.length = said.findLastIndex((message) => message.role === "user");
  said.push({ role: "user", content });
  answer();
}

function sendResults(results) {
  if (!state.model) return;
  const { messages: said } = state.conversation;
  const calls = said.at(-1).toolCalls;
  said.push(
    ...calls.map((call, i) => ({ role: "tool", toolCallId: call.id, name: call.name, content: results[i] })),
  );
  answer();
}

async function answer() {
  const { conversation } = state;
  const body = requestOf(conversation, readSettings(), state.model.id);
  const message = newAnswer();
  const running = new AbortController();
  conversation.messages.push(message);
  state.running = running;
  keep();
  messages.show(conversation.messages);
  messages.scrollToEnd();
  showRunning();
  prompt.focus();
  await runAnswer(body, message, state.model.context_length, running.signal, () => {
    if (state.conversation === conversation) messages.changed();
  });
  if (state.running === running) state.running = null;
  showRunning();
  tell(message.note || "The answer is complete.");
  if (loadConversation(conversation.id)) keepEnded(conversation);
}

// An answer may end after another conversation was opened.
function keepEnded(conversation) {
  if (state.conversation === conversation) return keep();
  try {
    saveConversation(conversation);
  } catch (error) {
    tell(error.message, true);
  }
}

function stop() {
  state.running?.abort();
  state.running = null;
}

function showRunning() {
  byId("send").hidden = state.running !== null;
  byId("stop").hidden = state.running === null;
  messages.setRunning(state.running !== null);
}

// Read out by screen readers; `shown` where the page says it nowhere else.
function tell(text, shown = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("hidden", !shown);
}

// ---- keys ----

function fitPrompt() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
}

function onPromptKey(event) {
  if (event.isComposing) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    send();
  } else if (event.key === "ArrowUp" && prompt.value === "" && !state.running) {
    if (messages.editLast()) event.preventDefault();
  }
}

const SHORTCUTS = {
  KeyN: begin,
  KeyR: regenerate,
  KeyT: () => byId("theme").click(),
  Comma: () => openSettings(),
  ArrowUp: () => list.step(-1),
  ArrowDown: () => list.step(1),
};

function onKey(event) {
  if (event.key === "Escape" && !byId("settings").open) {
    if (list.isOpen()) list.close();
    else stop();
  }
  const { [event.code]: shortcut } = SHORTCUTS;
  if (!shortcut || !event.altKey || event.ctrlKey || event.metaKey || byId("settings").open) return;
  event.preventDefault();
  shortcut();
}

prompt.addEventListener("input", fitPrompt);
prompt.addEventListener("keydown", onPromptKey);
document.addEventListener("keydown", onKey);
byId("composer").addEventListener("submit", (event) => (event.preventDefault(), send()));
byId("stop").addEventListener("click", stop);
byId("open-settings").addEventListener("click", openSettings);
addEventListener("storage", (event) => {
  if (isConversationKey(event.key)) list.show(listConversations(), state.conversation.id);
});
setUpThemeSwitch(byId("theme"));
show();
connect();
