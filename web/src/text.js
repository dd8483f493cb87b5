// Turns what a person wrote into nodes: plain text, with http and https addresses as links.
import { el } from "./dom.js";

const ADDRESS = /\bhttps?:\/\/[^\s<>"'`]+/giu;
const EMOJI =
  /^(\p{Emoji_Presentation}|\p{Extended_Pictographic}|\u200d|\ufe0f|[\u{1f1e6}-\u{1f1ff}\u{1f3fb}-\u{1f3ff}]|\s)+$/u;

/** @param {string} content @returns {(Node|string)[]} */
export function nodes(content) {
  return parts(content).map(({ text, href }) =>
    href
      ? el("a", { href, target: "_blank", rel: "noopener noreferrer nofollow ugc" }, text)
      : text,
  );
}

/** The text in order, cut where a link begins or ends. @returns {{text: string, href?: string}[]} */
export function parts(content) {
  const out = [];
  let done = 0;
  for (const found of content.matchAll(ADDRESS)) {
    const text = withoutTail(found[0]);
    const href = safe(text);
    if (!href) continue;
    out.push({ text: content.slice(done, found.index) }, { text, href });
    done = found.index + text.length;
  }
  out.push({ text: content.slice(done) });
  return out.filter((part) => part.text);
}

/** A few emoji and nothing else are shown large. */
export const isOnlyEmoji = (content) =>
  content.length <= 24 &&
  EMOJI.test(content) &&
  [...new Intl.Segmenter().segment(content.replace(/\s/gu, ""))].length <= 5;

/** A sentence's full stop, or the bracket around an address, is not part of the address. */
function withoutTail(address) {
  let tail = address.replace(/[.,;:!?…]+$/u, "");
  for (const [open, close] of ["()", "[]", "{}"]) {
    while (tail.endsWith(close) && tail.split(close).length > tail.split(open).length)
      tail = tail.slice(0, -1);
  }
  return tail;
}

function safe(address) {
  try {
    const url = new URL(address);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}
