// What rooms and direct conversations have in common: a log without gaps, unread counts, sending.
import { sleep } from "./clock.js";
import { NotConnectedError } from "./connection.js";
import { Emitter } from "./emitter.js";
import { MessageLog } from "./message-log.js";
import { OutboxFullError } from "./outbox.js";

/** @typedef {import("./message-log.js").Entry} Entry */
/** @typedef {{epoch: string, head: number, first: number, messages: Entry[], more: boolean, changes?: import("./message-log.js").Change[]}} HistoryPage */

/**
 * What is unread after `read`, up to `head`.
 * @typedef {{read: number, head: number, unread: number, mentions?: number}} ConversationSummary
 */

export const PAGE_SIZE = 50;
export const MAX_PAGE_SIZE = 200;
/** Frames overtake each other for a moment; only a gap that stays is asked for. */
const GAP_DELAY_MS = 400;
/** A gap that could not be filled is tried again. */
const GAP_RETRY_MS = 5_000;
const READ_INTERVAL_MS = 800;
/** A read marker without an acknowledgement is sent again. */
const READ_RETRY_MS = 5_000;

let uses = 0;

/**
 * Events: `message (entry)` for each new entry, once and in order; `reset` when another log begins;
 * `change` when anything else of it is different.
 */
export class Conversation extends Emitter {
  /** How far this user has read. */
  read = 0;
  /** How far the server knows that this user has read. */
  readOnServer = 0;
  unread = 0;
  /** How many unread messages mention this user. */
  mentions = 0;
  /** What the server counted when it was last asked. @type {ConversationSummary|null} */
  summary = null;
  isLoading = false;
  /** Grows with each use, of all conversations. */
  usedAt = 0;
  /** Why it cannot be used: the server's last refusal. @type {{code: string, message: string}|null} */
  error = null;
  /** @type {"room" | "direct"} */
  kind = "room";
  #isFilling = false;
  /** Messages that are fetched by themselves. @type {Set<number>} */
  #requestedSeqs = new Set();
  #isFetching = false;
  /** @type {any} */
  #readTimer = null;
  /** When the read marker was sent last: ms since 1970. */
  #readSentAt = 0;
  #isReadUnsent = false;

  /**
   * @param {import("./client.js").Client} client
   * @param {string} key a room's name, or "@" and a user's id
   * @param {string} path of its HTTP resources
   * @param {{room: string} | {to: string}} address how events name it
   */
  constructor(client, key, path, address) {
    super();
    this.client = client;
    this.log = this.createLog();
    this.key = key;
    this.path = path;
    this.address = address;
  }

  /** Whether the newest page was loaded. */
  get isLoaded() {
    return this.log.isStarted;
  }

  get isDirect() {
    return this.kind === "direct";
  }

  /** Everything that is loaded, oldest first, without a gap. @returns {Entry[]} */
  get entries() {
    return this.log.entries;
  }

  /** What this user has written here and the log does not have yet. */
  get pending() {
    return this.client.outbox.of(this.key);
  }

  /**
   * Sends a message: at once, or as soon as there is a connection. It is sent until the server has
   * acknowledged or refused it, also after a reload when the client has a storage.
   * @param {string} content
   * @param {import("./outbox.js").MessageOptions} [options]
   * @returns {Promise<{id: string}>} resolved when it is stored, rejected when refused for good, or
   *   with an OutboxFullError
   */
  send(content, options) {
    const { outbox } = this.client;
    if (!outbox.isFull) return outbox.add(this.key, content, options);
    const refused = Promise.reject(new OutboxFullError());
    refused.catch(() => {}); // callers may ignore it
    return refused;
  }

  /** @param {import("./outbox.js").PendingMessage} message @returns {Promise<void>} */
  post({ id, content, reply_to, mentions, meta }) {
    const message = { ...this.address, content, id, reply_to, mentions, meta };
    return this.client.sendEvent(this.isDirect ? "direct" : "message", message);
  }

  /**
   * Replaces the content of an own message. Rejected with the code `conflict` when it was edited
   * elsewhere meanwhile.
   * @param {number} seq @param {string} content
   * @param {{mentions?: string[]}} [options] of the new content
   * @returns {Promise<void>}
   */
  edit(seq, content, { mentions } = {}) {
    const revision = this.log.find(seq)?.revision ?? 0;
    return this.client.request("edit", { ...this.address, seq, content, revision, mentions });
  }

  /** Deletes an own message: a tombstone without content stays. @param {number} seq @returns {Promise<void>} */
  delete(seq) {
    return this.client.request("delete", { ...this.address, seq });
  }

  /** Adds or removes an own reaction. @param {number} seq @param {string} emoji @param {boolean} [on] @returns {Promise<void>} */
  react(seq, emoji, on = true) {
    return this.client.request("react", { ...this.address, seq, emoji, on });
  }

  /**
   * Reports a message to the operators. The other users do not learn of it.
   * @param {number} seq @param {string} reason 1 to 500 characters @returns {Promise<void>}
   */
  report(seq, reason) {
    return this.client.request("report", { ...this.address, seq, reason });
  }

  /** Notes that the user has just used it: after a loss it is joined before others. */
  use() {
    this.usedAt = uses += 1;
  }

  /** Marks everything that is here as read. */
  markRead() {
    this.use();
    if (!this.log.isStarted || this.readOnServer >= this.log.last) return;
    this.read = this.readOnServer = this.log.last;
    if (this.unread) this.changed();
    this.unread = this.mentions = 0;
    this.#sendRead(READ_INTERVAL_MS);
  }

  /**
   * The log has these entries. Who sends a message has read what is before it; the server learns it
   * without a delay, since the client may be closed at once.
   * @param {Entry[]} entries
   */
  #removePending(entries) {
    const seq = this.client.outbox.remove(this.key, entries).at(-1)?.seq ?? 0;
    if (seq <= this.readOnServer) return;
    this.read = this.readOnServer = Math.max(this.read, seq);
    this.#sendRead(0);
  }

  /** Sends the read marker after a delay, and not more often than the interval. @param {number} delay */
  #sendRead(delay) {
    const { clock } = this.client;
    if (delay && this.#readTimer !== null) return;
    clock.clearTimeout(this.#readTimer);
    this.#readTimer = clock.setTimeout(
      () => {
        this.#readTimer = null;
        this.#readSentAt = clock.now();
        this.#postRead();
      },
      Math.max(delay, this.#readSentAt + READ_INTERVAL_MS - clock.now()),
    );
  }

  async #postRead() {
    this.#isReadUnsent = false;
    try {
      await this.client.request("read", { ...this.address, seq: this.read });
    } catch (reason) {
      const error = /** @type {any} */ (reason);
      const waits = error instanceof NotConnectedError || error.code === "not_in_room";
      this.#isReadUnsent = waits || error.retry !== false;
      if (this.#isReadUnsent && !waits) this.#sendRead(error.retry_after_ms ?? READ_RETRY_MS);
    }
  }

  /** Sends the read marker if it could not be sent: it can be sent now. */
  repeatRead() {
    if (this.#isReadUnsent) this.#sendRead(0);
  }

  /** Read on another connection of this user. @param {number} seq */
  markedRead(seq) {
    this.read = Math.max(this.read, seq);
    this.countUnread();
  }

  /**
   * A page of the stored history.
   * @param {{before?: number, after?: number, limit?: number}} [query]
   * @returns {Promise<HistoryPage>}
   */
  history(query = {}) {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) parameters.set(name, String(value));
    return this.client.http.get(`${this.path}/history?${parameters}`);
  }

  /**
   * The message of a seq, for example one to which another replies. One that is not loaded is
   * fetched, with a `change` when it is there.
   * @param {number} seq
   * @returns {Entry|null|undefined} null for one that is not stored, undefined while it is fetched
   */
  message(seq) {
    const entry = this.log.find(seq);
    if (entry || this.log.isMissing(seq)) return entry ?? null;
    if (this.log.isStarted) this.#fetchMessage(seq);
    return undefined;
  }

  /** Loads the page before what is here. */
  async loadEarlier() {
    if (this.isLoading || !this.log.isStarted || !this.log.hasMore) return;
    this.isLoading = true;
    this.changed();
    try {
      const page = await this.history({ limit: PAGE_SIZE * 2, before: this.log.first });
      this.log.prepend(page.epoch, page.messages, page.more);
    } finally {
      this.isLoading = false;
      this.changed();
    }
  }

  /** One page at a time: it may have other messages that are asked for. @param {number} seq */
  async #fetchMessage(seq) {
    this.#requestedSeqs.add(seq);
    if (this.#isFetching) return;
    this.#isFetching = true;
    const { log } = this;
    try {
      while (this.#requestedSeqs.size && log === this.log) {
        const wanted = [...this.#requestedSeqs];
        const newest = Math.max(...wanted);
        log.expectReferenced();
        const page = await this.history({ before: newest + 1, limit: PAGE_SIZE });
        log.addReferenced(page, wanted, newest);
        for (const one of wanted)
          if (log.find(one) || log.isMissing(one)) this.#requestedSeqs.delete(one);
        this.changed();
      }
    } catch {
      await sleep(this.client.clock, GAP_RETRY_MS); // then whoever shows it asks again
    }
    this.#requestedSeqs.clear();
    this.#isFetching = false;
  }

  createLog() {
    return new MessageLog(() => this.client.userId);
  }

  /** @param {string} epoch @param {Entry[]} entries @param {import("./message-log.js").Change[]} [changes] */
  receive(epoch, entries, changes = []) {
    const fresh = this.log.receive(epoch, entries, changes);
    if (!this.log.isStarted) return; // the first page is on its way, and will have them
    if (epoch !== this.log.epoch || this.log.isContradicted) return this.restart();
    this.added(fresh);
    if (changes.length) this.countUnread(); // an edit may mention this user, or no longer
    if (this.log.hasGap) this.fillGap();
  }

  /** The server's position of the log, in a heartbeat. @param {string} epoch @param {number} seq */
  compareHead(epoch, seq) {
    if (!this.log.isStarted) return;
    const isShortened = this.log.isShortenedTo(seq, this.client.clock.now());
    if (!this.log.isOfEpoch(epoch) || isShortened) return this.restart();
    this.log.head = Math.max(this.log.head, seq);
    if (this.log.hasGap) this.fillGap();
  }

  /** Resets the log to the newest page. @param {HistoryPage | {epoch: string, head: number, messages: Entry[], more?: boolean}} page */
  startFrom(page) {
    const newer = this.log.start(page);
    this.#removePending(page.messages);
    this.client.learnNames(page.messages.map(({ from, name }) => ({ user_id: from, name })));
    this.emit("reset");
    this.added(newer);
  }

  /** @param {Entry[]} entries new ones, in order */
  added(entries) {
    if (!entries.length) return;
    this.#removePending(entries);
    this.countUnread();
    this.client.learnNames(entries.map(({ from, name }) => ({ user_id: from, name })));
    for (const entry of entries) this.emit("message", entry);
    this.client.emit("messages", this, entries);
  }

  /** @param {ConversationSummary} summary as the server counts now */
  summarized(summary) {
    this.summary = summary;
    this.readOnServer = summary.read;
    this.read = Math.max(this.read, summary.read);
    this.countUnread();
    this.changed();
  }

  /** Unread is what others wrote after what was read; what is not loaded is counted by the server. */
  countUnread() {
    const { summary, log } = this;
    const { userId } = this.client;
    const after = (/** @type {number} */ seq) =>
      log.entries.filter((entry) => entry.seq > seq && entry.from !== userId);
    const isMention = (/** @type {Entry} */ { mentions }) => mentions?.includes(userId ?? "");
    const unloaded = Math.max(0, log.first - 1 - this.read);
    if ((unloaded || !log.isStarted) && summary?.read === this.read) {
      const newer = after(Math.max(summary.head, this.read));
      this.unread = summary.unread + newer.length;
      this.mentions = (summary.mentions ?? 0) + newer.filter(isMention).length;
    } else {
      const loaded = after(this.read);
      this.unread = loaded.length + unloaded; // counted by seq: at least as many
      this.mentions = loaded.filter(isMention).length;
    }
  }

  /** Fetches what is missing, when it does not come by itself in a moment. */
  async fillGap() {
    if (this.#isFilling) return;
    this.#isFilling = true;
    const { log } = this;
    try {
      await sleep(this.client.clock, GAP_DELAY_MS);
      while (log.hasGap && log === this.log) {
        const { last } = log;
        const page = await this.history({ after: last, limit: MAX_PAGE_SIZE });
        if (page.epoch !== log.epoch) return this.restart();
        const fresh = log.receive(page.epoch, page.messages, page.changes);
        this.added(fresh);
        if (log.last === last) this.added(log.skipGap()); // the next entries are not stored
      }
    } catch (error) {
      // Before the stored head: this log is a restored, older copy.
      if (/** @type {any} */ (error).code === "invalid_cursor") this.restart();
      else this.client.clock.setTimeout(() => this.log.hasGap && this.fillGap(), GAP_RETRY_MS);
    } finally {
      this.#isFilling = false;
      this.changed();
    }
  }

  /** Discards the log and loads the newest page of the new log. */
  restart() {
    throw new Error("Expected a subclass that restarts its log.");
  }

  changed() {
    this.emit("change");
    this.client.emit("change", this);
  }
}
