// How one row of a conversation looks: a message, a pending one, a day, joins and leaves.
import { createAvatar, createElement, createIcon, hiddenText } from "./dom.js";
import { displayName, formatFullTime, formatTime, isUser } from "./format.js";
import { createTextNodes, findMentionedNames, isOnlyEmoji, plainText } from "./message-text.js";
import { texts } from "./texts.js";

const GROUP_WITHIN_MS = 5 * 60_000;
const LONG_CHARACTERS = 1_200;
const LONG_LINES = 18;
const QUOTE_CHARACTERS = 140;

/** Whether a message continues what the same user wrote just before. */
export const continuesGroup = (above, { from, timestamp }) =>
  above?.from === from && Date.parse(timestamp) - Date.parse(above.timestamp) < GROUP_WITHIN_MS;

export const createDayRow = (day) => createElement("li", { class: "day" }, createElement("span", {}, day));

export const createNewRow = () =>
  createElement("li", { class: "day new" }, createElement("span", {}, texts.newDivider));

export const createNoticeRow = (notices) =>
  createElement("li", { class: "notice-row" }, notices.map(describeNotice).join(" · "));

function describeNotice({ event, userId, name, nameBefore }) {
  if (event === "renamed") return texts.renamed(nameBefore, name);
  return event === "joined" ? texts.joined(displayName(userId)) : texts.left(displayName(userId));
}

/**
 * A message. The first of a group shows its author; the others only name it to screen readers.
 * @param {{seq: number|string, from: string, content: string, timestamp: string}} entry
 * @param {object} look
 * @param {boolean} look.isOwn
 * @param {boolean} look.isFirst
 * @param {boolean} look.isUnfolded
 * @param {boolean} look.isBlocked whether this user blocks its author: it is shown on demand
 * @param {boolean} look.isMention whether it mentions this user
 * @param {string[]} look.mentionedNames
 * @param {number} look.ownMention the index of this user among them, or -1
 * @param {"owner" | "moderator" | "member"} look.role of its author
 * @param {Quote|null} look.quote what it answers
 * @param {number|null} look.colour of its author
 * @param {Record<string, Function>} actions
 */
export function createMessageRow(entry, look, actions) {
  const { isOwn, isFirst, isUnfolded, isMention } = look;
  const { seq, from, content, timestamp } = entry;
  if (look.isBlocked && !isUnfolded) return createBlockedRow(entry, look, actions);
  const name = isOwn ? texts.own : entry.name || displayName(from);
  const when = new Date(timestamp);
  const mentionedNames = findMentionedNames(content, look.mentionedNames);
  const isFolded = isLong(content) && !isUnfolded;
  const body = createElement(
    "div",
    { class: classes("text", isOnlyEmoji(content) && "emoji", isFolded && "folded"), dir: "auto" },
    ...(entry.deleted
      ? [createElement("em", { class: "quiet" }, texts.deletedMessage)]
      : createTextNodes(content, mentionedNames, mentionedNames[look.ownMention])),
  );
  const time = createElement(
    "time",
    { datetime: when.toISOString(), title: formatFullTime(when) },
    formatTime(when),
  );
  const bubble = createElement(
    "div",
    { class: "bubble" },
    isFirst ? createByline(name, entry, time, look, actions) : hiddenText(`${name}: `),
    look.quote && createQuote(look.quote, actions),
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
  return createElement(
    "li",
    {
      class: classes("msg", isOwn && "own", isFirst && "leads", isMention && "mentioned"),
      "data-seq": seq,
      tabindex: "-1",
    },
    isFirst && !isOwn && createAvatar(name, look.colour),
    bubble,
  );
}

/** What becomes of a pending message: shown when it needs attention, else only for screen readers. */
export function createDeliveryState({ state, code, reason }, actions) {
  if (state === "failed") {
    const text = texts.notSent(texts.refusals[code] ?? reason ?? "");
    const buttons = [
      [texts.retry, actions.retry],
      [texts.edit, actions.edit],
      [texts.discard, actions.discard],
    ].map(([label, onclick]) => createElement("button", { class: "link", onclick }, label));
    return createElement("p", { class: "delivery failed", role: "alert" }, text, ...buttons);
  }
  if (state === "unconfirmed")
    return createElement("p", { class: "delivery", role: "status" }, texts.unconfirmed);
  return hiddenText(state === "sent" ? texts.sent : texts.sending);
}

const classes = (...names) => names.filter(Boolean).join(" ");

function createByline(name, { from }, time, { isOwn, role }, actions) {
  const author = isOwn ? hiddenText(`${name} `) : createAuthor(name, from, actions);
  const badge = role !== "member" && createRoleBadge(role);
  return createElement("p", { class: "by" }, author, badge, " ", time);
}

function createAuthor(name, from, actions) {
  if (!isUser(from)) return createElement("span", { class: "name" }, name);
  const title = texts.showProfile(name);
  const attributes = { class: "name", title, "aria-haspopup": "menu", tabindex: "-1" };
  const author = createElement("button", attributes, name);
  author.addEventListener("click", () => actions.openCard(author, from));
  return author;
}

/** @param {"owner" | "moderator"} role */
export const createRoleBadge = (role) => createElement("span", { class: "role" }, texts.roles[role]);

/**
 * @typedef {{seq: number, entry: any, name: string}} Quote `entry` is null for a message that is not
 *   stored, undefined while it is fetched
 */

/** The message that another answers, in one line; a click leads to it. @param {Quote} quote */
function createQuote({ seq, entry, name }, actions) {
  const content =
    entry === undefined
      ? texts.quoteLoading
      : entry === null
        ? texts.quoteMissing
        : entry.deleted
          ? texts.deletedMessage
          : shorten(entry.content);
  const attributes = {
    class: "reply",
    title: texts.showQuoted,
    disabled: !entry,
    tabindex: "-1",
    onclick: () => actions.showMessage(seq),
  };
  return createElement(
    "button",
    attributes,
    createIcon("reply"),
    hiddenText(`${texts.replyTo} `),
    entry && createElement("b", {}, name),
    createElement("span", {}, content),
  );
}

/** The beginning of a text, in one line. */
export const shorten = (content) => plainText(content).slice(0, QUOTE_CHARACTERS);

/** A message of a blocked user. */
function createBlockedRow({ seq }, { isFirst }, actions) {
  const show = createElement(
    "button",
    { class: "link", tabindex: "-1", onclick: () => actions.unfold(seq) },
    texts.showBlocked,
  );
  const text = createElement("p", { class: "quiet blocked" }, `${texts.blockedMessage} `, show);
  const attributes = { class: classes("msg", isFirst && "leads"), "data-seq": seq, tabindex: "-1" };
  return createElement("li", attributes, createElement("div", { class: "bubble" }, text));
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
