// The settings dialog: sampling is kept for this browser, system prompt and tools belong to the conversation.

const KEY = "gemma.settings";
const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "max_tokens"];

const byId = (id) => document.getElementById(id);

// What is set, in the words of the request: numbers, and `thinking`.
export function readSettings() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

function writeSettings() {
  const settings = {};
  for (const name of NUMBERS) {
    if (byId(name).value !== "") settings[name] = byId(name).valueAsNumber;
  }
  if (byId("thinking").checked) settings.thinking = true;
  localStorage.setItem(KEY, JSON.stringify(settings));
}

// The sentence that says what is wrong with the tools; empty where nothing is.
function wrongTools(text) {
  if (text.trim() === "") return "";
  try {
    return Array.isArray(JSON.parse(text)) ? "" : "The tools are not a JSON array.";
  } catch (error) {
    return `The tools are not JSON: ${error.message}.`;
  }
}

// `current()` is the conversation, `changed()` is called once its part was changed.
export function setUpSettings(current, changed) {
  const dialog = byId("settings");
  const open = () => {
    if (dialog.open) return;
    const settings = readSettings();
    for (const name of NUMBERS) byId(name).value = settings[name] ?? "";
    byId("thinking").checked = settings.thinking ?? false;
    byId("system").value = current().system;
    byId("tools").value = current().tools;
    byId("tools-error").textContent = "";
    dialog.showModal();
  };
  dialog.querySelector("form").addEventListener("submit", (event) => {
    byId("tools-error").textContent = wrongTools(byId("tools").value);
    if (byId("tools-error").textContent !== "") event.preventDefault();
  });
  // At once, so that Esc loses nothing; what is no JSON or no number does not count.
  dialog.addEventListener("input", () => {
    if (dialog.querySelector("form").checkValidity()) writeSettings();
    current().system = byId("system").value;
    if (wrongTools(byId("tools").value) === "") current().tools = byId("tools").value;
  });
  dialog.addEventListener("close", changed);
  return open;
}
