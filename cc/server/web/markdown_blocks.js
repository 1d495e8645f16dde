// Markdown, its blocks: text -> [{ kind, source, ... }]. `source` is all that the block was made of, so equal sources
// look equal. Takes CommonMark's blocks but HTML, indented code and reference links, and GitHub's tables.
// Time is linear in the text but for nesting, which ends at MAX_DEPTH.

const MAX_DEPTH = 12;

const FENCE = /^( {0,3})(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:( {1,4})(?=\S)| *$|( {5,}))/;
const TABLE_RULE = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

export function parseBlocks(text, depth = 0) {
  const lines = text.replaceAll("\r\n", "\n").replaceAll("\t", "    ").split("\n");
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (lines[at].trim() === "") {
      ++at;
      continue;
    }
    const { end, ...block } = readBlock(lines, at, depth);
    blocks.push({ ...block, source: lines.slice(at, end).join("\n") });
    at = end;
  }
  return blocks;
}

function readBlock(lines, at, depth) {
  const line = lines[at];
  if (FENCE.test(line)) return readFence(lines, at);
  const heading = HEADING.exec(line);
  if (heading) return { kind: "heading", level: heading[1].length, text: heading[2] ?? "", end: at + 1 };
  if (RULE.test(line)) return { kind: "rule", end: at + 1 };
  if (depth < MAX_DEPTH && QUOTE.test(line)) return readQuote(lines, at, depth);
  if (depth < MAX_DEPTH && ITEM.test(line)) return readList(lines, at, depth);
  if (startsTable(lines, at)) return readTable(lines, at);
  return readParagraph(lines, at);
}

// An unclosed fence goes to the end, as it must while the answer streams.
function readFence(lines, at) {
  const [, indent, fence, language] = FENCE.exec(lines[at]);
  const close = new RegExp(`^ {0,3}\\${fence[0]}{${fence.length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !close.test(lines[end])) ++end;
  const inner = new RegExp(`^ {0,${indent.length}}`);
  const text = lines.slice(at + 1, end).map((line) => line.replace(inner, ""));
  return { kind: "code", language, text: text.join("\n"), end: Math.min(end + 1, lines.length) };
}

function readQuote(lines, at, depth) {
  let end = at;
  while (end < lines.length && (QUOTE.test(lines[end]) || (end > at && !interrupts(lines, end)))) ++end;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return { kind: "quote", blocks: parseBlocks(inner.join("\n"), depth + 1), end };
}

function readList(lines, at, depth) {
  const first = ITEM.exec(lines[at]);
  const bullet = first[2].at(-1);
  const items = [];
  let loose = false;
  let end = at;
  while (end < lines.length) {
    const item = ITEM.exec(lines[end]);
    if (!item || item[2].at(-1) !== bullet || RULE.test(lines[end])) break;
    const next = endOfItem(lines, end, contentColumn(item));
    const inner = dedent(lines.slice(end, next), contentColumn(item));
    const text = inner.join("\n").trimEnd();
    loose ||= /\n\s*\n/.test(text) && !/^\s*(```|~~~)/m.test(text);
    items.push(parseBlocks(text, depth + 1));
    end = next;
    const after = skipBlank(lines, end);
    const following = after < lines.length && after > end ? ITEM.exec(lines[after]) : null;
    if (following && following[2].at(-1) === bullet) {
      loose = true;
      end = after;
    }
  }
  const start = /\d/.test(first[2]) ? Number.parseInt(first[2], 10) : null;
  return { kind: "list", start, loose, items, end };
}

// Where an item's own text begins.
function contentColumn([, indent, marker, spaces]) {
  return indent.length + marker.length + (spaces?.length ?? 1);
}

function endOfItem(lines, at, column) {
  let end = at + 1;
  while (end < lines.length) {
    if (lines[end].trim() === "") {
      const after = skipBlank(lines, end);
      if (after === lines.length || indentOf(lines[after]) < column) break;
      end = after;
    } else if (indentOf(lines[end]) < column && (ITEM.test(lines[end]) || interrupts(lines, end))) {
      break;
    }
    ++end;
  }
  return end;
}

function dedent(lines, column) {
  return lines.map((line, i) => line.slice(i === 0 ? column : Math.min(column, indentOf(line))));
}

function indentOf(line) {
  return line.length - line.trimStart().length;
}

function skipBlank(lines, at) {
  while (at < lines.length && lines[at].trim() === "") ++at;
  return at;
}

function startsTable(lines, at) {
  return (
    lines[at].includes("|") &&
    at + 1 < lines.length &&
    lines[at + 1].includes("-") &&
    TABLE_RULE.test(lines[at + 1]) &&
    cellsOf(lines[at]).length === cellsOf(lines[at + 1]).length
  );
}

function readTable(lines, at) {
  const head = cellsOf(lines[at]);
  const align = cellsOf(lines[at + 1]).map((cell) =>
    cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : "left",
  );
  const rows = [];
  let end = at + 2;
  for (; end < lines.length && !interrupts(lines, end); ++end) {
    const cells = cellsOf(lines[end]);
    rows.push(head.map((_, i) => cells[i] ?? ""));
  }
  return { kind: "table", head, align, rows, end };
}

function cellsOf(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function readParagraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !interrupts(lines, end) && !startsTable(lines, end)) ++end;
  const text = lines.slice(at, end).map((line) => line.trimStart());
  return { kind: "paragraph", text: text.join("\n").trimEnd(), end };
}

// Whether a line ends the paragraph before it.
function interrupts(lines, at) {
  const line = lines[at];
  if (line.trim() === "" || FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line)) return true;
  const item = ITEM.exec(line);
  return item !== null && line.trim() !== item[2] && !/^(?!1[.)])\d/.test(item[2]);
}
