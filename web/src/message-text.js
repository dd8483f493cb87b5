// Turns the text of a message into nodes: light Markdown and links, everything else as it is.
import { createElement } from "./dom.js";

/**
 * @typedef {object} Span
 * @property {"text" | "link" | "code" | "bold" | "italic" | "mention"} kind
 * @property {string} text
 * @property {string} [href]
 * @property {Span[]} [children]
 */
/**
 * @typedef {object} Block
 * @property {"paragraph" | "code" | "quote" | "list"} kind
 * @property {string} [text] of code
 * @property {Span[]} [spans] of a paragraph or quote
 * @property {boolean} [isOrdered] of a list
 * @property {number} [start] of an ordered list
 * @property {Span[][]} [items] of a list
 */

const LINK = /\b(?:https?:\/\/|mailto:)[^\s<>"'`]+/giu;
/** What ends a sentence or a formatting, not an address. */
const TAIL = ".,;:!?…*_";
const INLINE =
  /(?<code>`[^`\n]+`)|(?<bold>\*\*(?=\S)[^*\n]*[^\s*]\*\*)|(?<italic>(?<![\w*_/])(?:\*(?=[^\s*])[^*\n]*[^\s*]\*|_(?=[^\s_])[^_\n]*[^\s_]_)(?![\w*/]))/gu;
/** A mention by a name of one word, of a known user or not. */
const MENTION = /(?<![\p{L}\p{M}\p{N}_@.])@([\p{L}\p{N}][\p{L}\p{M}\p{N}_-]*)/gu;
const EMOJI =
  /^(\p{Emoji_Presentation}|\p{Extended_Pictographic}|\u200d|\ufe0f|[\u{1f1e6}-\u{1f1ff}\u{1f3fb}-\u{1f3ff}]|\s)+$/u;

/**
 * @param {string} content @param {string[]} [names] of the mentioned users
 * @param {string} [ownName] mentions of it are highlighted
 * @returns {Node[]}
 */
export function createTextNodes(content, names = [], ownName = "") {
  return parseBlocks(content, names).map((block) => createBlock(block, ownName.toLowerCase()));
}

/** The text of a message without its formatting, in one line. @param {string} content */
export function plainText(content) {
  const textOf = (spans) =>
    spans.map(({ text, children }) => (children ? textOf(children) : text)).join("");
  return parseBlocks(content)
    .map(({ text, spans, items }) => text ?? (items ?? [spans]).map(textOf).join(" "))
    .join(" ")
    .replace(/\s+/g, " ")
    .trim();
}

/**
 * The blocks of a message, from top to bottom.
 * @param {string} content @param {string[]} [names] of the mentioned users
 * @returns {Block[]}
 */
export function parseBlocks(content, names = []) {
  const parseText = (text) => parseSpans(text, names);
  /** @type {Block[]} */
  const blocks = [];
  const lines = content.split("\n");
  /** @type {string[]} */
  let paragraph = [];
  const endParagraph = () => {
    if (paragraph.length) blocks.push({ kind: "paragraph", spans: parseText(paragraph.join("\n")) });
    paragraph = [];
  };
  for (let index = 0; index < lines.length; ) {
    const found = parseSpecialBlock(lines, index, parseText);
    if (found) {
      endParagraph();
      blocks.push(found.block);
      index = found.next;
    } else {
      paragraph.push(lines[index]);
      index += 1;
    }
  }
  endParagraph();
  return blocks;
}

const FENCE = /^\s*```[\w+-]*\s*$/;
const CLOSING_FENCE = /^\s*```\s*$/;
const QUOTE = /^>\s?/;
const BULLET = /^\s{0,3}[-*]\s+/;
const ORDERED = /^\s{0,3}(\d{1,4})[.)]\s+/;

/**
 * The code, quote or list that begins at a line.
 * @param {string[]} lines @param {number} start @param {(text: string) => Span[]} parseText
 * @returns {{block: Block, next: number}|null} with the line after it; null for plain text
 */
function parseSpecialBlock(lines, start, parseText) {
  const line = lines[start];
  if (FENCE.test(line)) {
    const end = lines.findIndex((one, n) => n > start && CLOSING_FENCE.test(one));
    const text = lines.slice(start + 1, end).join("\n");
    return end < 0 ? null : { block: { kind: "code", text }, next: end + 1 };
  }
  const pattern = [QUOTE, BULLET, ORDERED].find((one) => one.test(line));
  if (!pattern) return null;
  const next = endOf(lines, start, pattern);
  const texts = lines.slice(start, next).map((one) => one.replace(pattern, ""));
  if (pattern === QUOTE) return { block: { kind: "quote", spans: parseText(texts.join("\n")) }, next };
  const first = Number(line.match(ORDERED)?.[1] ?? 1);
  const items = texts.map(parseText);
  return { block: { kind: "list", isOrdered: pattern === ORDERED, start: first, items }, next };
}

function endOf(lines, start, pattern) {
  const end = lines.findIndex((one, n) => n > start && !pattern.test(one));
  return end < 0 ? lines.length : end;
}

/**
 * Links first: what is inside an address is not formatting.
 * @param {string} content @param {string[]} [names] of the mentioned users
 * @returns {Span[]}
 */
export function parseSpans(content, names = []) {
  const mention = createMentionPattern(names);
  const spans = [];
  let position = 0;
  for (const found of content.matchAll(LINK)) {
    const text = withoutTail(found[0]);
    const href = safeAddress(text);
    if (!href || isInCode(content, found.index)) continue;
    spans.push(...parseInline(content.slice(position, found.index), mention));
    spans.push({ kind: "link", text, href });
    position = found.index + text.length;
  }
  return [...spans, ...parseInline(content.slice(position), mention)];
}

/** @param {string} text @param {RegExp|null} mention @returns {Span[]} */
function parseInline(text, mention) {
  const spans = [];
  let position = 0;
  for (const found of text.matchAll(INLINE)) {
    const [source] = found;
    spans.push(...splitMentions(text.slice(position, found.index), mention));
    spans.push(inlineSpan(found.groups, source, mention));
    position = found.index + source.length;
  }
  return [...spans, ...splitMentions(text.slice(position), mention)];
}

function inlineSpan({ code, bold }, source, mention) {
  if (code) return { kind: "code", text: source.slice(1, -1) };
  const inner = bold ? source.slice(2, -2) : source.slice(1, -1);
  return { kind: bold ? "bold" : "italic", text: inner, children: parseInline(inner, mention) };
}

/** @param {string} text @param {RegExp|null} mention @returns {Span[]} */
function splitMentions(text, mention) {
  const spans = [];
  let position = 0;
  for (const { 0: source, index } of mention ? text.matchAll(mention) : []) {
    if (index > position) spans.push({ kind: "text", text: text.slice(position, index) });
    spans.push({ kind: "mention", text: source });
    position = index + source.length;
  }
  if (position < text.length) spans.push({ kind: "text", text: text.slice(position) });
  return spans;
}

/** An at sign and one of these names, as words of their own; null without names. */
function createMentionPattern(names) {
  if (!names.length) return null;
  const longestFirst = [...new Set(names)].sort((a, b) => b.length - a.length);
  const escaped = longestFirst.map((name) => name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  const letter = "[\\p{L}\\p{M}\\p{N}_]";
  return new RegExp(`(?<![\\p{L}\\p{M}\\p{N}_@.])@(?:${escaped.join("|")})(?!-?${letter})`, "giu");
}

const isInCode = (content, index) => {
  const line = content.slice(content.lastIndexOf("\n", index - 1) + 1, index);
  return (line.split("`").length - 1) % 2 === 1;
};

function createBlock({ kind, text, spans, isOrdered, start, items }, ownName) {
  const nodes = (list) => list.map((span) => createSpan(span, ownName));
  if (kind === "code") return createElement("pre", { class: "code" }, text);
  if (kind === "quote") return createElement("blockquote", {}, ...nodes(spans));
  if (kind === "paragraph") return createElement("div", {}, ...nodes(spans));
  const list = items.map((item) => createElement("li", {}, ...nodes(item)));
  return createElement(isOrdered ? "ol" : "ul", { start: isOrdered && start !== 1 && start }, ...list);
}

function createSpan({ kind, text, href, children }, ownName) {
  const inner = children ? children.map((span) => createSpan(span, ownName)) : [text];
  if (kind === "text") return document.createTextNode(text);
  if (kind === "code") return createElement("code", {}, text);
  if (kind === "bold") return createElement("strong", {}, ...inner);
  if (kind === "italic") return createElement("em", {}, ...inner);
  if (kind === "link") {
    const rel = "noopener noreferrer nofollow ugc";
    return createElement("a", { href, target: "_blank", rel, tabindex: "-1" }, text);
  }
  const isOwn = text.slice(1).toLowerCase() === ownName;
  return createElement(isOwn ? "mark" : "span", { class: "mention" }, text);
}

/** The spans of a text from left to right, without those that have children. */
function* listSpans(content, names) {
  const list = function* (spans) {
    for (const span of spans) yield* span.children ? list(span.children) : [span];
  };
  for (const { spans, items } of parseBlocks(content, names)) yield* list(spans ?? items?.flat() ?? []);
}

/**
 * Which of these names a text mentions, in lower case.
 * @param {string} content @param {string[]} names @returns {Set<string>}
 */
export function findMentions(content, names) {
  return mentionsOf([...listSpans(content, names)]);
}

/** The names that the spans of a text mention, in lower case. */
function mentionsOf(spans) {
  const mentions = spans.filter(({ kind }) => kind === "mention");
  return new Set(mentions.map(({ text }) => text.slice(1).toLowerCase()));
}

/**
 * The names by which a text mentions these users. A text keeps the names of the time when it was
 * written: the one name in it that nobody has now is that of the one user who is not found.
 * @param {string} content @param {string[]} names the present ones @returns {string[]}
 */
export function findMentionedNames(content, names) {
  if (!names.length) return names;
  const spans = [...listSpans(content, names)];
  const found = mentionsOf(spans);
  const missing = names.filter((name) => !found.has(name.toLowerCase()));
  if (missing.length !== 1) return names;
  const texts = spans.filter(({ kind }) => kind === "text");
  const former = new Set(texts.flatMap(({ text }) => [...text.matchAll(MENTION)].map(([, name]) => name)));
  if (former.size !== 1) return names;
  return names.map((name) => (name === missing[0] ? [...former][0] : name));
}

/** A few emoji and nothing else are shown large. */
export const isOnlyEmoji = (content) =>
  content.length <= 24 &&
  EMOJI.test(content) &&
  [...new Intl.Segmenter().segment(content.replace(/\s/gu, ""))].length <= 5;

/**
 * A sentence's full stop, or the bracket around an address, is not part of the address. The time is
 * linear: a message is text of other users.
 */
function withoutTail(address) {
  const unopened = new Map(
    ["()", "[]", "{}"].map(([open, close]) => [close, count(address, close) - count(address, open)]),
  );
  for (let end = address.length; end > 0; end--) {
    const last = address[end - 1];
    if (TAIL.includes(last)) continue;
    if (!(unopened.get(last) > 0)) return address.slice(0, end);
    unopened.set(last, unopened.get(last) - 1);
  }
  return "";
}

const count = (text, part) => text.split(part).length - 1;

/** The normalized address, or null for what must not become a link. */
function safeAddress(address) {
  try {
    const url = new URL(address);
    if (url.protocol === "mailto:") return /^[^@\s]+@[^@\s]+$/.test(url.pathname) ? url.href : null;
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}
