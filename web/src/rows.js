// How one row of a conversation looks: a message, one on its way, a day, comings and goings.
import { el, monogram } from "./dom.js";
import { isOnlyEmoji, nodes } from "./text.js";
import { clock, fullTime, nameOf } from "./words.js";

const GROUP_WITHIN = 5 * 60_000;
const LONG = 1_200;
const LONG_LINES = 18;

/** Whether a message goes on with what the same person said just before. */
export const continues = (above, { from, timestamp }) =>
  above?.from === from && Date.parse(timestamp) - Date.parse(above.timestamp) < GROUP_WITHIN;

export const dayRow = (day) => el("li", { class: "day" }, el("span", {}, day));

export const newRow = () => el("li", { class: "day new" }, el("span", {}, "New"));

export const comingsRow = (notes) =>
  el("li", { class: "comings" }, notes.map((note) => note.text).join(" · "));

/**
 * A message. One that leads a group says who and when; the others only say so aloud.
 * @param {{seq: number|string, from: string, content: string, timestamp: string}} entry
 * @param {{isOwn: boolean, leads: boolean, isUnfolded: boolean}} look
 * @param {{talkTo: (userId: string) => void, unfold: (seq: number|string) => void}} on
 */
export function messageRow({ seq, from, content, timestamp }, { isOwn, leads, isUnfolded }, on) {
  const name = isOwn ? "You" : nameOf(from);
  const when = new Date(timestamp);
  const isFolded = isLong(content) && !isUnfolded;
  const traits = [isOnlyEmoji(content) && "emoji", isFolded && "folded"].filter(Boolean);
  const body = el("div", { class: ["text", ...traits].join(" "), dir: "auto" }, ...nodes(content));
  const head = leads ? byLine(name, from, when, isOwn, on) : aloud(`${name}: `);
  const more = el("button", { class: "link more", onclick: () => on.unfold(seq) }, "Show all");
  const bubble = el("div", { class: "bubble", title: fullTime(when) }, head, body, isFolded && more);
  const look = ["msg", isOwn && "own", leads && "leads"].filter(Boolean).join(" ");
  return el("li", { class: look, "data-seq": seq }, leads && !isOwn && monogram(name), bubble);
}

/** What becomes of a message that is on its way: seen when it failed, else only said aloud. */
export function fate({ state, reason, retry }, on) {
  if (state !== "failed") return aloud(state === "sent" ? "Sent" : "Sending");
  const again = el("button", { class: "link", onclick: on.retry }, "Try again");
  const discard = el("button", { class: "link", onclick: on.discard }, "Discard");
  return el("p", { class: "fate", role: "alert" }, `Not sent. ${reason} `, retry && again, " ", discard);
}

const aloud = (text) => el("span", { class: "aloud" }, text);

function byLine(name, userId, when, isOwn, on) {
  const title = `Talk to ${name} alone (${userId})`;
  const author = el("button", { class: "name", title, onclick: () => on.talkTo(userId) }, name);
  const time = el("time", { datetime: when.toISOString() }, clock(when));
  return el("p", { class: "by" }, isOwn ? aloud(`${name} `) : author, " ", time);
}

const isLong = (content) => content.length > LONG || content.split("\n").length > LONG_LINES;
