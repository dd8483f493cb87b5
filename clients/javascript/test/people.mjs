// What the tests share: clients of the running app, a clock to move, and waiting with a deadline.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { connect } from "../src/index.js";

export const url = process.env.TOWNSQUARE_URL ?? "http://localhost:7071";
const DEADLINE_MS = 30_000;

/** A room that nobody has been in. */
export const newRoom = () => `room-${randomUUID()}`;

/** Resolves when `condition` holds at a change of one of the emitters. */
export function until(emitters, condition, what = String(condition)) {
  const all = [emitters].flat();
  return new Promise((resolve, reject) => {
    const events = ["state", "change", "messages", "stream", "caughtup", "frame", "socket", "session"];
    const stops = all.flatMap((one) => events.map((event) => one.on(event, check)));
    const timer = setTimeout(() => finish(new Error(`not within 30 s: ${what}`)), DEADLINE_MS);
    function finish(error) {
      clearTimeout(timer);
      stops.forEach((stop) => stop());
      if (error) reject(error);
      else resolve();
    }
    function check() {
      if (condition()) finish();
    }
    check();
  });
}

/** A request of a server; the local host asks for no key. */
export async function asServer(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(`${url}${path}`, { method, headers, body: JSON.stringify(body) });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

/** Clients that are closed when the test ends. */
export function people(context) {
  return (options) => {
    const client = connect({ url, ...options });
    context.after(() => client.close());
    return client;
  };
}

export const contents = (conversation) => conversation.entries.map(({ content }) => content);

/** A clock whose time a test moves. */
export class FakeClock {
  #now = Date.parse("2026-11-21T10:00:00Z");
  #timers = new Map();
  #count = 0;
  now = () => this.#now;
  random = () => 1;
  setTimeout = (callback, milliseconds) => {
    this.#timers.set((this.#count += 1), { at: this.#now + milliseconds, callback });
    return this.#count;
  };
  clearTimeout = (timer) => void this.#timers.delete(timer);

  /** Moves the time on, one timer after the other; what they start is awaited in between. */
  async advance(milliseconds) {
    const end = this.#now + milliseconds;
    await runPendingTasks();
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end);
      if (!due.length) break;
      const [id, { at, callback }] = due.sort(([, a], [, b]) => a.at - b.at)[0];
      this.#timers.delete(id);
      this.#now = Math.max(this.#now, at);
      callback();
      await runPendingTasks();
    }
    this.#now = end;
  }
}

/** Lets everything run that waits for nothing. */
export async function runPendingTasks() {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A storage as browsers have it. */
export class MemoryStorage {
  #items = new Map();
  get length() {
    return this.#items.size;
  }
  key = (index) => [...this.#items.keys()][index] ?? null;
  getItem = (name) => this.#items.get(name) ?? null;
  setItem = (name, value) => void this.#items.set(name, String(value));
  removeItem = (name) => void this.#items.delete(name);
}

export { assert };
