// Markdown, what is inside of a block: text -> nodes. Code, emphasis, links, line breaks; HTML stays text.
// Links go to http, https and mailto alone; an image is a link, since nothing is fetched from elsewhere.
import { element } from "./element.js";

const SAFE = /^(?:https?:\/\/|mailto:)/i;
const MAX_OPEN = 50; // delimiters that wait for their other end

const RULES = [
  { kind: "escape", at: /\\([!-/:-@[-`{-~])/y },
  { kind: "break", at: /(?: {2,}|\\)\n/y },
  { kind: "code", at: /(`+)(?!`)/y },
  { kind: "link", at: /!?\[((?:[^[\]\\\n]|\\.|\[[^[\]\n]*\]){0,500})\]\(\s*<?([^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?:\s+"[^"\n]*")?\s*\)/y },
  { kind: "autolink", at: /<((?:https?:\/\/|mailto:)[^\s<>]+)>/iy },
  { kind: "bare", at: /https?:\/\/[^\s<>"'`*\]]*[^\s<>"'`*\].,:;!?)]/iy },
  { kind: "run", at: /\*+|_+|~~/y },
];
const PLAIN = /[^\\`!\[<h*_~ ]+/y;

export function inlineNodes(text) {
  const parts = [];
  for (let at = 0; at < text.length; ) {
    const [part, end] = readPart(text, at);
    parts.push(part);
    at = end;
  }
  pairRuns(parts);
  return build(parts);
}

// A part is { text }, { node } or { run, character, opens, closes }.
function readPart(text, at) {
  PLAIN.lastIndex = at;
  const plain = PLAIN.exec(text);
  if (plain) return [{ text: plain[0] }, PLAIN.lastIndex];
  for (const { kind, at: pattern } of RULES) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) continue;
    const found = READERS[kind](text, at, match);
    if (found) return found;
  }
  return [{ text: text[at] }, at + 1];
}

const READERS = {
  escape: (_, at, match) => [{ text: match[1] }, at + match[0].length],
  break: (_, at, match) => [{ node: element("br") }, at + match[0].length],
  code: readCode,
  link: (_, at, [all, label, target]) => [{ node: link(target, inlineNodes(label), all) }, at + all.length],
  autolink: (_, at, [all, target]) => [{ node: link(target, [target], all) }, at + all.length],
  bare: (text, at, [all]) => (/\w/.test(text[at - 1] ?? "") ? null : [{ node: link(all, [all], all) }, at + all.length]),
  run: readRun,
};

function readCode(text, at, [ticks]) {
  const inside = text.slice(at + ticks.length);
  const close = new RegExp(`(?<!\`)${ticks}(?!\`)`).exec(inside);
  if (!close) return [{ text: ticks }, at + ticks.length];
  const code = inside.slice(0, close.index).replaceAll("\n", " ");
  const trimmed = code.trim() !== "" && /^ .* $/.test(code) ? code.slice(1, -1) : code;
  return [{ node: element("code", {}, trimmed) }, at + ticks.length * 2 + close.index];
}

function link(target, label, source) {
  if (!SAFE.test(target)) return document.createTextNode(source);
  return element("a", { href: target, target: "_blank", rel: "noopener noreferrer" }, ...label);
}

// CommonMark's flanking rules; `_` inside of a word is a letter.
function readRun(text, at, [run]) {
  const before = text[at - 1] ?? " ";
  const after = text[at + run.length] ?? " ";
  const mark = /[\p{P}\p{S}]/u;
  const left = !/\s/.test(after) && (!mark.test(after) || /\s/.test(before) || mark.test(before));
  const right = !/\s/.test(before) && (!mark.test(before) || /\s/.test(after) || mark.test(after));
  const word = run[0] === "_";
  const opens = left && (!word || !right || mark.test(before));
  const closes = right && (!word || !left || mark.test(after));
  return [{ run: run.length, character: run[0], opens, closes, begins: [], ends: [] }, at + run.length];
}

// Notes at each run what begins and ends there; what is left of `run` is text.
function pairRuns(parts) {
  let open = [];
  for (const closer of parts.filter((part) => part.run)) {
    while (closer.closes && closer.run > 0) {
      const index = open.findLastIndex((opener) => matches(opener, closer));
      if (index < 0) break;
      const opener = open[index];
      const length = closer.character === "~" || (opener.run > 1 && closer.run > 1) ? 2 : 1;
      const tag = closer.character === "~" ? "del" : length === 2 ? "strong" : "em";
      opener.run -= length;
      closer.run -= length;
      opener.begins.unshift(tag);
      closer.ends.push(tag);
      open = open.slice(0, opener.run > 0 ? index + 1 : index);
    }
    if (closer.opens && closer.run > 0) open = [...open.slice(-MAX_OPEN), closer];
  }
}

function matches(opener, closer) {
  return opener.character === closer.character && opener.run > 0;
}

function build(parts) {
  const root = { children: [] };
  const stack = [root];
  const add = (child) => stack.at(-1).children.push(child);
  for (const part of parts) {
    if (part.text !== undefined) add(part.text);
    if (part.node) add(part.node);
    if (part.run === undefined) continue;
    for (const tag of part.ends) {
      const { children } = stack.pop();
      add(element(tag, {}, ...children));
    }
    if (part.run > 0) add(part.character.repeat(part.run));
    for (const _ of part.begins) stack.push({ children: [] });
  }
  return root.children;
}
