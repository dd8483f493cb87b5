// What this person has written and the server has not yet acknowledged.
//
// A message keeps its id however often it is sent, and the server recognises a repeat; so sending
// again is always safe. One at a time per conversation, so that they arrive in the order written.

/**
 * @typedef {object} Pending
 * @property {string} id
 * @property {string} content
 * @property {string} timestamp
 * @property {"waiting" | "sent" | "failed"} state   sent: acknowledged, and not yet seen in the log
 * @property {string} [reason]
 * @property {boolean} [retry]   whether trying again makes sense
 */

/** Thrown by `send` when there is no way to the server now: what is waiting goes on waiting. */
export class NotConnected extends Error {}

const TRIES = 4;
const newId = () =>
  [...crypto.getRandomValues(new Uint8Array(12))]
    .map((byte) => byte.toString(36).padStart(2, "0"))
    .join("");

export class Outbox {
  /** @type {Map<string, Pending[]>} by conversation */
  #lines = new Map();
  #busy = new Set();
  #refusals = new Map();

  /**
   * @param {(key: string, pending: Pending) => Promise<void>} send done when acknowledged; may throw NotConnected
   * @param {(key: string) => void} changed
   */
  constructor(send, changed) {
    this.send = send;
    this.changed = changed;
  }

  /** @returns {Pending[]} */
  of = (key) => this.#lines.get(key) ?? [];

  post(key, content) {
    const pending = { id: newId(), content, timestamp: new Date().toISOString(), state: "waiting" };
    this.#lines.set(key, [...this.of(key), pending]);
    this.changed(key);
    this.flush(key);
  }

  /** The log has these now: they are no longer on their way. */
  arrived(key, entries) {
    if (!this.of(key).length) return;
    const ids = new Set(entries.map((entry) => entry.id));
    this.#keep(key, (pending) => !ids.has(pending.id));
  }

  /** The server's answer to a message that it did not take. It comes before the ack. */
  refused(error) {
    this.#refusals.set(error.id, error);
  }

  retry(key, id) {
    const pending = this.of(key).find((p) => p.id === id);
    if (!pending) return;
    pending.state = "waiting";
    this.changed(key);
    this.flush(key);
  }

  discard(key, id) {
    this.#keep(key, (pending) => pending.id !== id);
  }

  forget() {
    this.#lines.clear();
  }

  /** After a new connection everything unacknowledged goes again. */
  flushAll() {
    for (const key of this.#lines.keys()) this.flush(key);
  }

  async flush(key) {
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    try {
      for (let next; (next = this.of(key).find((p) => p.state === "waiting"));) {
        if (!(await this.#deliver(key, next))) return;
      }
    } finally {
      this.#busy.delete(key);
    }
  }

  /** @returns {Promise<boolean>} whether the line may go on */
  async #deliver(key, pending) {
    for (let tries = 1; ; tries++) {
      try {
        await this.send(key, pending);
      } catch (error) {
        if (error instanceof NotConnected) return false; // it goes with the next connection
        this.refused({ id: pending.id, message: "The server did not take it.", retry: true });
      }
      const refusal = this.#refusals.get(pending.id);
      this.#refusals.delete(pending.id);
      if (!refusal) return this.#become(key, pending, "sent");
      if (!refusal.retry || tries === TRIES) {
        return this.#become(key, pending, "failed", {
          reason: refusal.message,
          retry: refusal.retry,
        });
      }
      await pause((refusal.retry_after_ms ?? 400 * 2 ** tries) * (1 + Math.random() / 4));
    }
  }

  #become(key, pending, state, more = {}) {
    Object.assign(pending, { state, ...more });
    this.changed(key);
    return true;
  }

  #keep(key, stays) {
    this.#lines.set(key, this.of(key).filter(stays));
    this.changed(key);
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
