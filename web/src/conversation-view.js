// Shows one conversation: a window of rows over its log, however long the log is.
import { AuthorProfiles } from "./author-profiles.js";
import { byId, createElement, createIcon, oncePerFrame, setAttribute, setChildren, setText } from "./dom.js";
import { colourOf, displayName, formatDay, formatTime, formatUntil, statusOf } from "./format.js";
import {
  continuesGroup,
  createDayRow,
  createDeliveryState,
  createMessageRow,
  createNewRow,
  createNoticeRow,
} from "./message-rows.js";
import { moveRowFocus } from "./row-focus.js";
import { texts } from "./texts.js";

/** So many messages are in the page at once; scrolling moves the window over the log. */
const WINDOW_SIZE = 150;
const WINDOW_STEP = 50;
/** Within this distance of its end the view follows what is new; of its edges, it fetches. */
const END_DISTANCE_PX = 48;
const EDGE_DISTANCE_PX = 600;
/** So far back a link to a message, or the Home key, is followed. */
const MAX_LOADED_ENTRIES = 20_000;
/** After a failure, earlier messages that would fill the view are requested again. */
const FILL_RETRY_MS = 10_000;

export class ConversationView {
  /** The rows that are in the page, by what they show. @type {Map<string, HTMLElement>} */
  #rows = new Map();
  #conversation = null;
  #epoch = null;
  /** The seq of the window's first message, or null: the window follows the end. */
  #top = null;
  #isFollowing = true;
  #isMoving = false;
  /** Whether a request for earlier messages has failed a moment ago. */
  #hasFailed = false;
  /** The seq after which "new" begins: what was read when this was opened, or last looked at. */
  #newAfter = null;
  #unfolded = new Set();
  /** The seq that a link leads to, until it is shown. */
  #target = null;

  /**
   * @param {import("./workspace.js").Workspace} workspace
   * @param {(text: string) => void} notify
   * @param {import("./message-menu.js").MessageMenu} menu
   * @param {(message: import("townsquare-client").PendingMessage) => void} editPending
   */
  constructor(workspace, notify, menu, editPending) {
    this.workspace = workspace;
    this.notify = notify;
    this.editPending = editPending;
    this.authors = new AuthorProfiles(workspace.client);
    this.log = byId("log");
    this.actions = {
      openCard: (button, userId) => menu.openCard(button, userId),
      unfold: (seq) => this.#unfold(seq),
      react: (seq, emoji, on) => menu.react(seq, emoji, on),
      openMenu: (button, entry) => menu.open(button, entry),
      showMessage: (seq) => this.opened(seq),
    };
    this.draw = oncePerFrame(() => this.#draw());
    this.log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.log.addEventListener("keydown", (event) => this.#keyPressed(event));
    this.log.addEventListener("copy", (event) => this.#copied(event));
    byId("newest").append(createIcon("down"), createElement("span"));
    byId("newest").addEventListener("click", () => this.showNewest());
    document.addEventListener("visibilitychange", () => this.#visibilityChanged());
    new ResizeObserver(() => this.#isFollowing && this.#scrollToEnd()).observe(this.log);
  }

  /** Whether the user has the newest messages before their eyes. */
  get showsNewest() {
    return this.#isFollowing && document.visibilityState === "visible" && this.log.clientHeight > 0;
  }

  showNewest() {
    this.#top = null;
    this.#isFollowing = true;
    this.draw();
  }

  /** Another conversation was opened, at its end or at a message. @param {number|null} seq */
  opened(seq) {
    this.#target = seq;
    if (this.#conversation === this.workspace.current && seq === null) this.showNewest();
    this.draw();
  }

  /** Loads earlier messages until this seq is here, or nothing more is stored. */
  async #loadUntil(conversation, seq) {
    const { log } = conversation;
    while (log.hasMore && log.first > seq && log.entries.length < MAX_LOADED_ENTRIES) {
      const before = log.first;
      await this.#loadEarlier(conversation);
      if (log.first === before || conversation !== this.#conversation) return;
    }
  }

  async #loadEarlier(conversation) {
    try {
      await conversation.loadEarlier();
    } catch (error) {
      this.notify(texts.loadFailed(error.message));
      this.#hasFailed = true;
      setTimeout(() => {
        this.#hasFailed = false;
        this.draw();
      }, FILL_RETRY_MS);
    }
  }

  /** Loads earlier messages while there is nothing to scroll: only scrolling would load them. */
  #fillView(conversation) {
    const { log, isLoading, isLoaded } = conversation;
    const { clientHeight, scrollHeight } = this.log;
    const isShort = clientHeight > 0 && scrollHeight <= clientHeight + END_DISTANCE_PX;
    if (!isShort || !isLoaded || isLoading || this.#hasFailed) return;
    if (log.hasMore && log.entries.length < WINDOW_SIZE) this.#loadEarlier(conversation);
  }

  async #followLink(conversation) {
    const seq = this.#target;
    this.#target = null;
    await this.#loadUntil(conversation, seq);
    if (conversation !== this.#conversation) return;
    const { entries } = conversation;
    const index = indexOf(entries, seq);
    if (entries[index]?.seq !== seq) return this.notify(texts.noSuchMessage);
    this.#isFollowing = false;
    this.#top = entries[Math.max(0, index - WINDOW_SIZE / 2)].seq;
    this.#draw();
    const row = this.#rowOf(seq);
    row?.scrollIntoView({ block: "center" });
    row?.classList.add("linked");
    row?.focus({ preventScroll: true });
  }

  #rowOf = (seq) => byId("messages").querySelector(`[data-seq="${seq}"]`);

  #draw() {
    const conversation = this.workspace.current;
    if (conversation !== this.#conversation || this.#hasNewEpoch(conversation.log.epoch))
      this.#turnTo(conversation);
    this.#epoch = conversation.log.epoch;
    const anchor = this.#isFollowing ? null : this.#visibleRow();
    const focused = document.activeElement?.closest?.("#messages .msg")?.dataset.seq;
    setChildren(byId("messages"), this.#createRows(conversation));
    if (focused && !byId("messages").contains(document.activeElement)) this.#rowOf(focused)?.focus();
    this.#drawFrame(conversation);
    if (this.#isFollowing) this.#scrollToEnd();
    else if (anchor) this.#restoreScroll(anchor);
    if (this.showsNewest && conversation.isLoaded) conversation.markRead();
    this.#fillView(conversation);
    if (this.#isMoving) {
      this.#isMoving = false;
      this.#scrolled(); // the window may have to move further
    }
    if (this.#target !== null && conversation.log.isStarted) this.#followLink(conversation);
  }

  /** Another epoch is another log; but an empty one ("") only gets its epoch. */
  #hasNewEpoch(epoch) {
    return epoch !== this.#epoch && this.#epoch !== "";
  }

  #turnTo(conversation) {
    this.#conversation = conversation;
    this.#rows.clear();
    this.#unfolded.clear(); // another log has other messages of the same seqs
    this.#top = null;
    this.#isFollowing = true;
    this.#newAfter = conversation.unread ? conversation.read : null;
  }

  /** The rows that shall be in the page; those that are there already stay the same elements. */
  #createRows(conversation) {
    const rows = new Map();
    for (const [look, create] of this.#describeRows(conversation))
      rows.set(look, this.#rows.get(look) ?? create());
    this.#rows = rows;
    return [...rows.values()];
  }

  /** What is seen, from top to bottom: a row's look, which tells it from any other, and its making. */
  *#describeRows(conversation) {
    const { entries } = conversation.log;
    const [start, end] = this.#range(entries);
    const notices = Map.groupBy(conversation.notices ?? [], (notice) => notice.after);
    const firstNew = this.#firstNew(entries);
    let [above, day] = [null, null];
    if (start === 0 && notices.has(0)) yield describeNotices(notices.get(0));
    for (const entry of entries.slice(start, end)) {
      const entryDay = formatDay(entry.timestamp);
      if (entryDay !== day) {
        [above, day] = [null, entryDay];
        yield [`day ${entryDay} ${entry.seq}`, () => createDayRow(entryDay)];
      }
      if (entry.seq === firstNew) {
        above = null;
        yield [`new ${entry.seq}`, createNewRow];
      }
      yield this.#describeMessage(entry, above);
      above = entry;
      if (!notices.has(entry.seq)) continue;
      above = null;
      yield describeNotices(notices.get(entry.seq));
    }
    if (end === entries.length) yield* this.#describePending(conversation, above);
  }

  #describeMessage(entry, above) {
    const { client, current } = this.workspace;
    const { userId } = client;
    const mentions = entry.mentions ?? [];
    const isFirst = !continuesGroup(above, entry);
    if (isFirst) this.authors.request(entry.from);
    const look = {
      isOwn: entry.from === userId,
      isFirst,
      isUnfolded: this.#unfolded.has(entry.seq),
      isBlocked: client.blockedUsers.has(entry.from),
      isMention: mentions.includes(userId),
      mentionedNames: mentions.map(displayName),
      ownMention: mentions.indexOf(userId),
      colour: isFirst ? colourOf(entry.from) : null,
      role: isFirst && current.kind === "room" ? current.roleOf(entry.from) : "member",
      quote: entry.reply_to ? this.#findQuote(entry.reply_to) : null,
    };
    const { quote } = look;
    const answered = quote?.entry ? stateOf(quote.entry) : String(quote?.entry);
    const states = [look.isFirst, look.isUnfolded, look.isBlocked, look.role, look.colour, answered, look.mentionedNames];
    return [
      `${entry.seq} ${stateOf(entry)} ${states.join(" ")}`,
      () => createMessageRow(entry, look, this.actions),
    ];
  }

  /** @returns {import("./message-rows.js").Quote} */
  #findQuote(seq) {
    const { client, current } = this.workspace;
    const entry = current.message(seq);
    if (entry && client.blockedUsers.has(entry.from)) return { seq, entry: { ...entry, content: texts.blockedMessage }, name: "" };
    return { seq, entry, name: entry ? this.#nameOf(entry) : "" };
  }

  #nameOf = ({ from, name }) =>
    from === this.workspace.client.userId ? texts.own : name || displayName(from);

  *#describePending(conversation, above) {
    for (const message of conversation.pending) {
      const entry = { ...message, seq: message.id, from: this.workspace.client.userId };
      const [look, create] = this.#describeMessage(entry, above);
      above = entry;
      yield [
        `${look} ${message.state} ${message.code}`,
        () => this.#createPendingRow(conversation, message, create()),
      ];
    }
  }

  #createPendingRow(conversation, message, row) {
    const { outbox } = this.workspace.client;
    row.classList.add("pending", message.state);
    const actions = {
      retry: () => outbox.retry(conversation.key, message.id),
      edit: () => this.editPending(message),
      discard: () => outbox.discard(conversation.key, message.id),
    };
    row.querySelector(".bubble").append(createDeliveryState(message, actions));
    return row;
  }

  #firstNew(entries) {
    if (this.#newAfter === null || entries[0]?.seq > this.#newAfter + 1) return null;
    const { userId } = this.workspace.client;
    return entries.find((entry) => entry.seq > this.#newAfter && entry.from !== userId)?.seq;
  }

  /** @returns {[number, number]} the window, as indexes of the entries */
  #range(entries) {
    if (this.#top === null) return [Math.max(0, entries.length - WINDOW_SIZE), entries.length];
    const start = indexOf(entries, this.#top);
    return [start, Math.min(entries.length, start + WINDOW_SIZE)];
  }

  #unfold(seq) {
    this.#unfolded.add(seq);
    this.#isFollowing = false;
    this.draw();
  }

  #visibilityChanged() {
    if (document.visibilityState === "hidden" && this.#conversation && !this.#conversation.unread)
      this.#newAfter = this.#conversation.log.last;
    this.draw();
  }

  #drawFrame(conversation) {
    const name = nameOf(conversation);
    setText(byId("room-title"), name);
    setAttribute(byId("room-title"), "title", name);
    setText(byId("room-people"), describePresence(conversation));
    const topic = conversation.kind === "direct" ? statusOf(conversation.userId) : conversation.topic;
    setText(byId("room-topic"), topic);
    setAttribute(byId("room-topic"), "title", topic || null);
    const [start] = this.#range(conversation.entries);
    setText(byId("log-top"), start ? "" : describeTop(conversation, name));
    const isEmpty = conversation.error || (conversation.log.isStarted && !conversation.entries.length);
    byId("log-top").classList.toggle("empty", Boolean(isEmpty));
    byId("newest").hidden = this.#isFollowing;
    const { unread } = conversation;
    setText(byId("newest").lastChild, unread ? texts.newMessages(unread) : texts.newest);
    const { blockedUsers } = this.workspace.client;
    const typingUsers = [...(conversation.typingUsers?.keys() ?? [])];
    const typing = typingUsers.filter((userId) => !blockedUsers.has(userId)).map(displayName);
    setText(byId("typing"), typing.length ? texts.typing(typing) : "");
  }

  #scrolled() {
    const { log } = this;
    const entries = this.#conversation?.log.entries ?? [];
    const [start, end] = this.#range(entries);
    const below = log.scrollHeight - log.scrollTop - log.clientHeight;
    const isFollowing = below < END_DISTANCE_PX && end === entries.length;
    if (isFollowing !== this.#isFollowing) {
      this.#isFollowing = isFollowing;
      if (!isFollowing && this.#top === null) this.#top = entries[start]?.seq ?? null;
      if (isFollowing) this.#top = null;
      this.draw();
    }
    if (isFollowing) return;
    if (log.scrollTop < EDGE_DISTANCE_PX) this.#moveUp(entries, start);
    else if (below < EDGE_DISTANCE_PX && end < entries.length)
      this.#moveTo(entries, Math.min(start + WINDOW_STEP, entries.length - WINDOW_SIZE));
  }

  async #moveUp(entries, start) {
    if (start > 0) return this.#moveTo(entries, start - WINDOW_STEP);
    const conversation = this.#conversation;
    if (!conversation.log.hasMore || conversation.isLoading) return;
    await this.#loadEarlier(conversation);
    if (conversation === this.#conversation && this.log.scrollTop < EDGE_DISTANCE_PX)
      this.#moveTo(conversation.entries, indexOf(conversation.entries, this.#top) - WINDOW_STEP);
  }

  #moveTo(entries, start) {
    const top = entries[Math.max(0, start)]?.seq ?? null;
    if (top === this.#top || this.#isMoving) return;
    this.#top = top;
    this.#isMoving = true; // one step a drawing: the row that keeps its place must stay in the window
    this.draw();
  }

  async #showBeginning() {
    const conversation = this.#conversation;
    await this.#loadUntil(conversation, 1);
    if (conversation !== this.#conversation || !conversation.entries.length) return;
    this.#isFollowing = false;
    this.#top = conversation.log.first;
    this.#draw();
    this.log.scrollTop = 0;
    byId("messages").querySelector(".msg")?.focus();
  }

  #keyPressed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Home") this.#showBeginning();
    else if (event.key === "End") this.#showEnd();
    else if (!moveRowFocus(event, byId("messages"))) return;
    event.preventDefault();
  }

  #showEnd() {
    this.#top = null;
    this.#isFollowing = true;
    this.#draw();
    [...byId("messages").querySelectorAll(".msg")].at(-1)?.focus({ preventScroll: true });
  }

  /** Several messages are copied as lines of text, without what only the page shows. */
  #copied(event) {
    const selection = getSelection();
    const rows = [...byId("messages").querySelectorAll(".msg")].filter((row) =>
      selection.containsNode(row, true),
    );
    if (rows.length < 2) return;
    const all = [...this.#conversation.entries, ...this.#conversation.pending];
    const byKey = new Map(all.map((entry) => [String(entry.seq ?? entry.id), entry]));
    const { userId } = this.workspace.client;
    const lines = rows.flatMap((row) => {
      const entry = byKey.get(row.dataset.seq);
      if (!entry) return [];
      const name = displayName(entry.from ?? userId);
      return texts.copiedMessage(formatTime(new Date(entry.timestamp)), name, entry.content);
    });
    event.clipboardData.setData("text/plain", lines.join("\n"));
    event.preventDefault();
  }

  /** The first row in view: its lower edge must stay where it is, whatever comes above it. */
  #visibleRow() {
    const edge = this.log.getBoundingClientRect().top;
    for (const row of byId("messages").children) {
      const { bottom } = row.getBoundingClientRect();
      if (bottom > edge && row.dataset.seq) return { seq: row.dataset.seq, bottom };
    }
    return null;
  }

  #restoreScroll({ seq, bottom }) {
    const row = this.#rowOf(seq);
    if (row) this.log.scrollTop += row.getBoundingClientRect().bottom - bottom;
  }

  #scrollToEnd() {
    this.log.scrollTop = this.log.scrollHeight;
  }
}

/** A room's title, or its name with its sign; or the other user's name. */
export const nameOf = (conversation) =>
  conversation.kind === "direct"
    ? displayName(conversation.userId)
    : conversation.title || `#${conversation.name}`;

const describeNotices = (notices) => [
  `notices ${notices[0].id} ${notices.length}`,
  () => createNoticeRow(notices),
];

/** Tells the states of a message apart. One that is loaded again counts its changes from 0. */
const stateOf = ({ version = 0, revision = 0, deleted = false, reactions = {} }) =>
  `${version} ${revision} ${deleted} ${JSON.stringify(reactions)}`;

/** The index of a seq, or of the first after it. */
function indexOf(entries, seq) {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle].seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

function describePresence(conversation) {
  if (conversation.error) return "";
  if (conversation.kind === "room") {
    const count = Math.max(conversation.userCount, conversation.users.size);
    return count ? texts.peopleOnline(count) : "";
  }
  if (conversation.isOnline === null) return texts.direct;
  return conversation.isOnline ? texts.directOnline : texts.directOffline;
}

const describeRemoval = ({ removedUntil }) =>
  removedUntil ? texts.removedUntil(formatUntil(removedUntil)) : texts.refusals.removed;

function describeTop(conversation, name) {
  const { error, log } = conversation;
  if (error?.code === "removed") return describeRemoval(conversation);
  if (error) return texts.refusals[error.code] ?? texts.refused(error.message);
  if (!log.isStarted) return texts.loading;
  if (conversation.isLoading) return texts.loadingEarlier;
  if (log.hasMore) return "";
  if (!log.entries.length) return texts.noMessages;
  return conversation.kind === "direct" ? texts.beginningDirect(name) : texts.beginning(name);
}
