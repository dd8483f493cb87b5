// What this user has written and the server has not acknowledged.
//
// A message keeps its id however often it is sent, and the server recognises a repeat, so sending
// again is always safe. One message at a time per conversation: they arrive in the order written.
import { Backoff } from "./backoff.js";
import { sleep } from "./clock.js";
import { NotConnectedError } from "./connection.js";

/**
 * @typedef {object} PendingMessage
 * @property {string} id
 * @property {string} content
 * @property {string} timestamp
 * @property {number} [reply_to] the seq of the message to which it replies
 * @property {string[]} [mentions] user ids
 * @property {object} [meta]
 * @property {"waiting" | "sending" | "unconfirmed" | "delayed" | "sent" | "failed"} state
 *   waiting: not sent yet. unconfirmed: sent without an acknowledgement; it is sent again.
 *   delayed: refused for now; it is sent again. sent: acknowledged, and not yet seen in the log.
 *   failed: refused for good; it stays so after a reload.
 * @property {string} [code] of the refusal
 * @property {string} [reason] the server's sentence about the refusal
 */

/**
 * What a message can carry beside its text: the seq of the message to which it replies, the ids of the
 * mentioned users (at most 20), and a JSON object for the application (at most 4 KB).
 * @typedef {{replyTo?: number, mentions?: string[], meta?: object}} MessageOptions
 */

/** Of one user in one browser; more would not fit into a browser's storage. */
export const MAX_PENDING_MESSAGES = 200;

/** There are too many messages that the server has not acknowledged. */
export class OutboxFullError extends Error {
  constructor() {
    super(`There are already ${MAX_PENDING_MESSAGES} messages waiting to be sent.`);
    this.name = "OutboxFullError";
  }
}

/** An id that no other message has. */
export const createId = () =>
  [...crypto.getRandomValues(new Uint8Array(12))]
    .map((byte) => byte.toString(36).padStart(2, "0"))
    .join("");

export class Outbox {
  /** By conversation. @type {Map<string, PendingMessage[]>} */
  #queues = new Map();
  /** @type {Set<string>} */
  #sending = new Set();
  /** Conversations that were to be flushed while they were being sent. @type {Set<string>} */
  #requested = new Set();
  /** By message id. @type {Map<string, {message: string, code?: string, retry: boolean, retry_after_ms?: number}>} */
  #refusals = new Map();
  /** By message id. @type {Map<string, {resolve: (value: {id: string}) => void, reject: (error: Error) => void}>} */
  #promises = new Map();
  /** Ends the delays: everything may be sent again now. */
  #delays = new AbortController();

  /**
   * @param {object} options
   * @param {(key: string, message: PendingMessage) => Promise<void>} options.send returns when the
   *   message is acknowledged
   * @param {(key: string) => void} options.changed
   * @param {import("./clock.js").Clock} options.clock
   * @param {import("./outbox-storage.js").OutboxStorage} options.storage
   */
  constructor({ send, changed, clock, storage }) {
    this.send = send;
    this.changed = changed;
    this.clock = clock;
    this.storage = storage;
  }

  /** Takes up what an earlier run of this client could not send, or was refused. @param {string} userId */
  restore(userId) {
    for (const { key, message } of this.storage.open(userId)) {
      if (this.of(key).some((pending) => pending.id === message.id)) continue;
      this.#queues.set(key, [...this.of(key), message]);
      this.changed(key);
    }
  }

  /** The conversations with pending messages. */
  get keys() {
    return [...this.#queues.keys()].filter((key) => this.of(key).length);
  }

  /** @param {string} key @returns {PendingMessage[]} */
  of(key) {
    return this.#queues.get(key) ?? [];
  }

  /**
   * Puts a message into its conversation's queue and sends it when it can be sent.
   * @param {string} key
   * @param {string} content
   * @param {MessageOptions} [options]
   * @returns {Promise<{id: string}>} resolved when it is acknowledged, rejected when refused for good
   * @throws {OutboxFullError}
   */
  add(key, content, { replyTo, mentions, meta } = {}) {
    if (this.isFull) throw new OutboxFullError();
    const timestamp = new Date(this.clock.now()).toISOString();
    /** @type {PendingMessage} */
    const message = { id: createId(), content, timestamp, state: "waiting" };
    if (replyTo !== undefined) message.reply_to = replyTo;
    if (mentions?.length) message.mentions = mentions;
    if (meta) message.meta = meta;
    this.#queues.set(key, [...this.of(key), message]);
    this.storage.save(key, message);
    const acknowledged = new Promise((resolve, reject) =>
      this.#promises.set(message.id, { resolve, reject }),
    );
    acknowledged.catch(() => {}); // callers may ignore it
    this.changed(key);
    this.flush(key);
    return /** @type {Promise<{id: string}>} */ (acknowledged);
  }

  /**
   * The log has these entries: they are no longer pending.
   * @template {{id: string}} T
   * @param {string} key @param {T[]} entries
   * @returns {T[]} those that were pending
   */
  remove(key, entries) {
    const pending = new Set(this.of(key).map(({ id }) => id));
    const removed = entries.filter(({ id }) => pending.delete(id));
    for (const { id } of removed) this.#settle(id);
    if (removed.length) this.#filter(key, ({ id }) => pending.has(id));
    return removed;
  }

  /** The server's refusal of a message; it comes before the acknowledgement. @param {any} error */
  refuse(error) {
    this.#refusals.set(error.id, error);
  }

  /** @param {string} key @param {string} id */
  retry(key, id) {
    const message = this.of(key).find((one) => one.id === id);
    if (!message) return;
    this.#setState(key, message, "waiting");
    this.storage.save(key, message);
    this.flush(key);
  }

  /** @param {string} key @param {string} id */
  discard(key, id) {
    this.#settle(id, new Error("The message was discarded."));
    this.storage.remove(id);
    this.#filter(key, (message) => message.id !== id);
  }

  /** Discards all messages of a conversation. @param {string} key */
  discardAll(key) {
    for (const { id } of this.of(key)) this.discard(key, id);
    this.#queues.delete(key);
  }

  /** Whether no more messages can be added. */
  get isFull() {
    const count = [...this.#queues.values()].reduce((sum, queue) => sum + queue.length, 0);
    return count >= MAX_PENDING_MESSAGES;
  }

  /** Discards all messages, in the storage, too. */
  clear() {
    for (const queue of this.#queues.values()) for (const { id } of queue) this.storage.remove(id);
    this.#queues.clear();
  }

  /** Sends everything that is not acknowledged, without a delay: there is a new connection. */
  flushAll() {
    this.#delays.abort();
    this.#delays = new AbortController();
    for (const key of this.#queues.keys()) this.flush(key);
  }

  /** @param {string} key */
  async flush(key) {
    this.#requested.add(key);
    if (this.#sending.has(key)) return;
    this.#sending.add(key);
    const backoff = new Backoff(this.clock);
    try {
      for (let next; (next = this.#next(key)); ) {
        this.#requested.delete(key);
        const outcome = await this.#deliver(key, next, backoff);
        if (outcome === "sent") backoff.reset();
        // It is sent with the next connection, which may have been opened meanwhile.
        if (outcome === "not connected" && !this.#requested.has(key)) return;
      }
    } finally {
      this.#sending.delete(key);
    }
  }

  #next(/** @type {string} */ key) {
    return this.of(key).find(({ state }) => state !== "sent" && state !== "failed");
  }

  /**
   * Sends one message once.
   * @param {string} key @param {PendingMessage} message @param {Backoff} backoff
   */
  async #deliver(key, message, backoff) {
    const delays = this.#delays.signal;
    if (message.state === "waiting") this.#setState(key, message, "sending");
    const error = await this.#try(key, message);
    const refusal = this.#refusals.get(message.id);
    this.#refusals.delete(message.id);
    if (!this.of(key).includes(message)) return "gone"; // seen in the log meanwhile, or discarded
    if (error instanceof NotConnectedError) {
      if (message.state === "sending") this.#setState(key, message, "waiting");
      return "not connected";
    }
    if (!error && !refusal) return this.#acknowledge(key, message);
    if (refusal && !refusal.retry) return this.#fail(key, message, refusal);
    this.#setState(key, message, refusal ? "delayed" : "unconfirmed", refusal);
    const retryAfterMs = refusal?.retry_after_ms;
    const isLimited = refusal?.code === "rate_limited" && retryAfterMs;
    // The user's own limit: a jitter of up to a tenth is enough.
    const delay = isLimited ? retryAfterMs * (1.1 - this.clock.random() / 10) : backoff.next(retryAfterMs);
    await sleep(this.clock, delay, delays);
    return "again";
  }

  /** @param {string} key @param {PendingMessage} message @returns {Promise<unknown>} */
  async #try(key, message) {
    try {
      await this.send(key, message);
      return null;
    } catch (error) {
      return error ?? new Error("unknown");
    }
  }

  /** @param {string} key @param {PendingMessage} message */
  #acknowledge(key, message) {
    this.storage.remove(message.id);
    this.#setState(key, message, "sent");
    this.#settle(message.id);
    return "sent";
  }

  /** @param {string} key @param {PendingMessage} message @param {{message: string, code?: string}} refusal */
  #fail(key, message, refusal) {
    this.#setState(key, message, "failed", refusal);
    this.storage.save(key, message); // it is not sent again after a reload, unless the user wants it
    const error = Object.assign(new Error(refusal.message), { code: refusal.code });
    this.#settle(message.id, error);
    return "failed";
  }

  /** @param {string} id @param {Error} [error] */
  #settle(id, error) {
    const promise = this.#promises.get(id);
    this.#promises.delete(id);
    if (error) promise?.reject(error);
    else promise?.resolve({ id });
  }

  /**
   * @param {string} key @param {PendingMessage} message @param {PendingMessage["state"]} state
   * @param {{message: string, code?: string}} [refusal]
   */
  #setState(key, message, state, refusal) {
    Object.assign(message, { state, code: refusal?.code, reason: refusal?.message });
    this.changed(key);
  }

  /** @param {string} key @param {(message: PendingMessage) => boolean} stays */
  #filter(key, stays) {
    for (const message of this.of(key)) if (!stays(message)) this.storage.remove(message.id);
    this.#queues.set(key, this.of(key).filter(stays));
    this.changed(key);
  }
}
