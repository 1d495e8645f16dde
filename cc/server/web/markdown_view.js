// Markdown in an element, kept up to date while the text grows: blocks whose source did not change keep their nodes,
// so that a selection or a focused button stays.
import { copyButton, element } from "./element.js";
import { parseBlocks } from "./markdown_blocks.js";
import { inlineNodes } from "./markdown_inline.js";

export class MarkdownView {
  constructor(root) {
    this.root = root;
    this.sources = [];
  }

  update(text) {
    const blocks = parseBlocks(text);
    let same = 0;
    while (same < blocks.length && blocks[same].source === this.sources[same]) ++same;
    while (this.root.childNodes.length > same) this.root.lastChild.remove();
    this.root.append(...blocks.slice(same).map(blockNode));
    this.sources = blocks.map((block) => block.source);
  }
}

const MAKERS = {
  heading: ({ level, text }) => element(`h${Math.min(level + 1, 6)}`, {}, ...inlineNodes(text)),
  paragraph: ({ text }) => element("p", {}, ...inlineNodes(text)),
  rule: () => element("hr"),
  quote: ({ blocks }) => element("blockquote", {}, ...blocks.map(blockNode)),
  code: codeNode,
  list: listNode,
  table: tableNode,
};

function blockNode(block) {
  return MAKERS[block.kind](block);
}

function codeNode({ language, text }) {
  const head = element("figcaption", {}, element("span", {}, language), copyButton(() => text, "Copy code"));
  return element("figure", { class: "code" }, head, element("pre", { tabindex: "0" }, element("code", {}, text)));
}

function listNode({ start, loose, items }) {
  const attributes = start === null || start === 1 ? {} : { start };
  return element(start === null ? "ul" : "ol", attributes, ...items.map((blocks) => itemNode(blocks, loose)));
}

// In a tight list an item's paragraphs are plain text.
function itemNode(blocks, loose) {
  const nodes = blocks.flatMap((block) =>
    block.kind === "paragraph" && !loose ? inlineNodes(block.text) : [blockNode(block)],
  );
  return element("li", {}, ...nodes);
}

function tableNode({ head, align, rows }) {
  const row = (tag, cells) =>
    element("tr", {}, ...cells.map((cell, i) => element(tag, { class: align[i] }, ...inlineNodes(cell))));
  const table = element(
    "table",
    {},
    element("thead", {}, row("th", head)),
    element("tbody", {}, ...rows.map((cells) => row("td", cells))),
  );
  return element("div", { class: "table", tabindex: "0" }, table);
}
