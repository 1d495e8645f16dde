// The list of conversations at the side; on a narrow screen it lies over the page and a button opens it.
import { element } from "./element.js";

const byId = (id) => document.getElementById(id);

// `actions`: open(id), remove(id), begin(). Returns show(), step(), isOpen() and close().
export function setUpConversationList(actions) {
  let shown = [];
  let current = "";
  const setOpen = (open) => {
    document.body.classList.toggle("sidebar-open", open);
    byId("menu").setAttribute("aria-expanded", open);
    if (open) byId("new").focus();
  };
  const isOpen = () => document.body.classList.contains("sidebar-open");
  const close = () => {
    setOpen(false);
    byId("menu").focus();
  };
  const choose = (action, ...values) => {
    setOpen(false);
    action(...values);
  };
  byId("menu").addEventListener("click", () => (isOpen() ? close() : setOpen(true)));
  byId("scrim").addEventListener("click", close);
  byId("new").addEventListener("click", () => choose(actions.begin));
  return {
    isOpen,
    close,
    show(conversations, id) {
      shown = conversations;
      current = id;
      const items = shown.map((conversation) =>
        itemNode(conversation, conversation.id === id, () => choose(actions.open, conversation.id), actions.remove),
      );
      byId("conversations").replaceChildren(...items);
    },
    step(by) {
      const at = shown.findIndex((conversation) => conversation.id === current);
      const next = shown[at < 0 ? 0 : at + by];
      if (next) actions.open(next.id);
    },
  };
}

// Deleting takes two presses of the same button.
function itemNode({ id, title }, isCurrent, open, remove) {
  const name = title || "Empty";
  const first = () => {
    button.textContent = "Sure?";
    button.setAttribute("aria-label", `Really delete ${name}`);
    button.onclick = () => remove(id);
    button.onblur = reset;
  };
  const reset = () => {
    button.textContent = "×";
    button.setAttribute("aria-label", `Delete ${name}`);
    button.onclick = first;
  };
  const button = element("button", { type: "button", class: "delete" });
  reset();
  const link = element("button", { type: "button", class: "open", "aria-current": isCurrent ? "page" : null, onclick: open }, name);
  return element("li", {}, link, button);
}
