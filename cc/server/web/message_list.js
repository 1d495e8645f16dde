// The messages of the open conversation. It follows the answer that grows, unless the reader has scrolled up.
import { element } from "./element.js";
import { messageView } from "./message_view.js";

const NEAR_END = 40; // pixels

export class MessageList {
  constructor(root, actions) {
    this.root = root;
    this.actions = actions;
    this.messages = [];
    this.views = [];
    this.frame = 0;
  }

  // All of them anew.
  show(messages) {
    this.messages = messages;
    this.views = messages.map((message) => messageView(message, this.actions));
    this.root.replaceChildren(...this.views.map((view) => view.root));
    if (messages.length === 0) this.root.append(greeting());
    this.update();
    this.scrollToEnd();
  }

  // Shown at most once a frame, however fast it grows.
  changed() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      const follows = this.root.scrollHeight - this.root.scrollTop - this.root.clientHeight < NEAR_END;
      this.update();
      if (follows) this.scrollToEnd();
    });
  }

  // Only the last message grows; the ones before lose their buttons once.
  update() {
    const lastUser = this.messages.findLastIndex((message) => message.role === "user");
    this.views.forEach((view, i) => {
      const isLast = this.messages[i].role === "user" ? i === lastUser : i === this.messages.length - 1;
      if (view.shownAsLast !== isLast || i === this.messages.length - 1) view.update(this.messages[i], isLast);
      view.shownAsLast = isLast;
    });
  }

  setRunning(running) {
    this.root.setAttribute("aria-busy", running);
  }

  scrollToEnd() {
    this.root.scrollTop = this.root.scrollHeight;
  }

  // Whether there is a message to edit.
  editLast() {
    const last = this.messages.findLastIndex((message) => message.role === "user");
    this.views[last]?.edit();
    return last >= 0;
  }
}

function greeting() {
  const title = element("h2", {}, "What would you like to know?");
  return element("div", { class: "greeting" }, title, element("p", { class: "quiet" }, "The model runs on this server alone."));
}
