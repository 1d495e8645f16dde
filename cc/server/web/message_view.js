// A message on the page. The views of answers grow: update() shows what the message holds now.
import { copyButton, element } from "./element.js";
import { MarkdownView } from "./markdown_view.js";

// A view has `root` and update(message, isLast). `actions`: { regenerate, edit, sendResults }.
export function messageView(message, actions) {
  if (message.role === "user") return new UserView(message, actions);
  if (message.role === "tool") return new ToolResultView(message);
  return new AnswerView(actions);
}

class UserView {
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.editButton = element("button", { type: "button", class: "small", onclick: () => this.edit() }, "Edit");
    this.foot = element("div", { class: "actions" }, this.editButton, copyButton(() => message.content));
    this.text = element("p", { class: "bubble" }, message.content);
    this.root = element("article", { class: "user", "aria-label": "You" }, this.text, this.foot);
  }

  update(_, isLast) {
    this.editButton.hidden = !isLast;
  }

  // Enter sends, Esc leaves everything as it was.
  edit() {
    const area = element("textarea", { "aria-label": "Edit your message", rows: "3" });
    area.value = this.message.content;
    const done = () => this.root.replaceChildren(this.text, this.foot);
    const send = () => area.value.trim() && this.actions.edit(area.value);
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") done();
      else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send();
      else return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key === "Escape") this.editButton.focus();
    });
    const form = element(
      "form",
      { class: "edit", onsubmit: (event) => (event.preventDefault(), send()) },
      area,
      element("button", { type: "button", onclick: done }, "Cancel"),
      element("button", { type: "submit", class: "primary" }, "Send"),
    );
    this.root.replaceChildren(form);
    area.focus();
  }
}

class ToolResultView {
  constructor(message) {
    const title = element("summary", {}, "Result of ", element("code", {}, message.name));
    this.root = element("details", { class: "tool" }, title, element("pre", { tabindex: "0" }, message.content));
  }

  update() {}
}

class AnswerView {
  constructor(actions) {
    this.actions = actions;
    this.summary = element("summary", {}, "Thoughts");
    const thoughts = element("div");
    this.thoughts = new MarkdownView(thoughts);
    this.thoughtsRoot = element("details", { class: "thoughts", hidden: true }, this.summary, thoughts);
    this.text = new MarkdownView(element("div", { class: "text" }));
    this.calls = element("div");
    this.note = element("p", { class: "note", hidden: true });
    this.again = element("button", { type: "button", class: "small", onclick: actions.regenerate }, "Answer again");
    this.stats = element("span", { class: "quiet" });
    this.copy = copyButton(() => this.message.content);
    this.foot = element("div", { class: "actions" }, this.copy, this.again, this.stats);
    const parts = [this.thoughtsRoot, this.text.root, this.calls, this.note, this.foot];
    this.root = element("article", { class: "answer", "aria-label": "Answer" }, ...parts);
  }

  update(message, isLast) {
    this.message = message;
    const running = message.state === "running";
    const empty = message.content === "" && message.toolCalls.length === 0;
    this.root.classList.toggle("running", running);
    this.root.classList.toggle("waiting", running && empty && message.reasoning === "");
    this.root.setAttribute("aria-busy", running);
    this.thoughtsRoot.hidden = message.reasoning === "";
    this.summary.textContent = running && empty ? "Thinking …" : "Thoughts";
    this.thoughts.update(message.reasoning);
    this.text.update(message.content);
    this.calls.replaceChildren(...message.toolCalls.map(callNode));
    if (isLast && message.state === "done" && message.toolCalls.length > 0) this.calls.append(this.resultForm());
    this.note.hidden = message.note === "";
    this.note.textContent = message.note;
    this.note.classList.toggle("error", message.state === "failed");
    this.foot.hidden = running;
    this.copy.hidden = message.content === "";
    this.again.hidden = !isLast;
    this.stats.textContent = message.stats;
  }

  // What the tools answered is the user's to say: this page runs none.
  resultForm() {
    const areas = this.message.toolCalls.map((call) =>
      element("textarea", { rows: "2", class: "code", "aria-label": `Result of ${call.name}`, required: true }),
    );
    const labelled = areas.map((area, i) => element("label", {}, `Result of ${this.message.toolCalls[i].name}`, area));
    const submit = (event) => {
      event.preventDefault();
      this.actions.sendResults(areas.map((area) => area.value));
    };
    const button = element("button", { type: "submit" }, areas.length > 1 ? "Send the results" : "Send the result");
    return element("form", { class: "results", onsubmit: submit }, ...labelled, button);
  }
}

function callNode(call) {
  const head = element("figcaption", {}, element("span", {}, "Calls ", element("strong", {}, call.name)));
  return element("figure", { class: "code tool" }, head, element("pre", { tabindex: "0" }, prettyJson(call.arguments)));
}

// Half an object, while it comes, is shown as it is.
function prettyJson(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
