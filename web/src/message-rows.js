// How one row of a conversation looks: a message, a pending one, a day, joins and leaves.
import { createAvatar, createElement, createIcon, hiddenText } from "./dom.js";
import { displayName, formatFullTime, formatTime } from "./format.js";
import { createTextNodes, isOnlyEmoji, mentions } from "./message-text.js";
import { texts } from "./texts.js";

const GROUP_WITHIN_MS = 5 * 60_000;
const LONG_CHARACTERS = 1_200;
const LONG_LINES = 18;

/** Whether a message continues what the same user wrote just before. */
export const continuesGroup = (above, { from, timestamp }) =>
  above?.from === from && Date.parse(timestamp) - Date.parse(above.timestamp) < GROUP_WITHIN_MS;

export const createDayRow = (day) => createElement("li", { class: "day" }, createElement("span", {}, day));

export const createNewRow = () =>
  createElement("li", { class: "day new" }, createElement("span", {}, texts.newDivider));

export const createNoticeRow = (notices) => {
  const parts = notices.map(({ event, userId }) =>
    event === "joined" ? texts.joined(displayName(userId)) : texts.left(displayName(userId)),
  );
  return createElement("li", { class: "notice-row" }, parts.join(" · "));
};

/**
 * A message. The first of a group shows its author; the others only name it to screen readers.
 * @param {{seq: number|string, from: string, content: string, timestamp: string}} entry
 * @param {{isOwn: boolean, isFirst: boolean, isUnfolded: boolean, ownName: string}} look
 * @param {{openDirect: (userId: string) => void, unfold: (seq: number|string) => void, openMenu: (button: HTMLElement, entry: any) => void}} actions
 */
export function createMessageRow(entry, { isOwn, isFirst, isUnfolded, ownName }, actions) {
  const { seq, from, content, timestamp } = entry;
  const name = isOwn ? texts.own : entry.name || displayName(from);
  const when = new Date(timestamp);
  const isFolded = isLong(content) && !isUnfolded;
  const body = createElement(
    "div",
    { class: classes("text", isOnlyEmoji(content) && "emoji", isFolded && "folded"), dir: "auto" },
    ...(entry.deleted
      ? [createElement("em", { class: "quiet" }, texts.deletedMessage)]
      : createTextNodes(content, ownName)),
  );
  const time = createElement(
    "time",
    { datetime: when.toISOString(), title: formatFullTime(when) },
    formatTime(when),
  );
  const bubble = createElement(
    "div",
    { class: "bubble" },
    isFirst ? createByline(name, from, time, isOwn, actions) : hiddenText(`${name}: `),
    createElement(
      "div",
      { class: "text-row" },
      body,
      entry.edited && !entry.deleted && createElement("span", { class: "quiet edited" }, texts.edited),
      !isFirst && time,
      typeof seq === "number" && !entry.deleted && createMenuButton(entry, actions),
    ),
    isFolded && createUnfoldButton(seq, actions),
    Object.keys(entry.reactions ?? {}).length > 0 && createReactions(entry, actions),
  );
  const isMention = !isOwn && ownName && mentions(content, ownName);
  return createElement(
    "li",
    {
      class: classes("msg", isOwn && "own", isFirst && "leads", isMention && "mentioned"),
      "data-seq": seq,
      tabindex: "-1",
    },
    isFirst && !isOwn && createAvatar(name),
    bubble,
  );
}

/** What becomes of a pending message: shown when it needs attention, else only for screen readers. */
export function createDeliveryState({ state, code, reason }, actions) {
  if (state === "failed") {
    const discard = createElement("button", { class: "link", onclick: actions.discard }, texts.discard);
    const text = texts.notSent(texts.refusals[code] ?? reason ?? "");
    return createElement("p", { class: "delivery failed", role: "alert" }, `${text} `, discard);
  }
  if (state === "unconfirmed")
    return createElement("p", { class: "delivery", role: "status" }, texts.unconfirmed);
  return hiddenText(state === "sent" ? texts.sent : texts.sending);
}

const classes = (...names) => names.filter(Boolean).join(" ");

function createByline(name, userId, time, isOwn, actions) {
  const title = texts.messageUser(name, userId);
  const onclick = () => actions.openDirect(userId);
  const author = createElement("button", { class: "name", title, onclick, tabindex: "-1" }, name);
  return createElement("p", { class: "by" }, isOwn ? hiddenText(`${name} `) : author, " ", time);
}

function createMenuButton(entry, actions) {
  const attributes = {
    class: "plain more",
    "aria-label": texts.actions,
    "aria-haspopup": "menu",
    title: texts.actions,
    tabindex: "-1",
  };
  const button = createElement("button", attributes, createIcon("more"));
  button.addEventListener("click", () => actions.openMenu(button, entry));
  return button;
}

/** The reactions of a message; a click adds or removes one's own. */
function createReactions({ seq, reactions, mine = [] }, actions) {
  const buttons = Object.entries(reactions).map(([emoji, count]) => {
    const isMine = mine.includes(emoji);
    const attributes = {
      class: "reaction",
      "aria-pressed": String(isMine),
      "aria-label": texts.reaction(emoji, count),
      tabindex: "-1",
      onclick: () => actions.react(seq, emoji, !isMine),
    };
    return createElement("button", attributes, `${emoji} ${count}`);
  });
  return createElement("div", { class: "reactions" }, ...buttons);
}

const createUnfoldButton = (seq, actions) =>
  createElement(
    "button",
    { class: "link unfold", onclick: () => actions.unfold(seq), tabindex: "-1" },
    texts.showAll,
  );

const isLong = (content) =>
  content.length > LONG_CHARACTERS || content.split("\n").length > LONG_LINES;
