// The joins of one connection, a few at a time: the server limits the joins of a user, and closes a
// connection that has many rejected events.

/** @typedef {import("./room.js").Room} Room */

const MAX_PARALLEL_JOINS = 8;

export class JoinQueue {
  /** @type {Room[]} */
  #waiting = [];
  #running = 0;
  /** Counts the connections: what a join of an earlier one does is ignored. */
  #connection = 0;
  /** After a rate limit: the time from one join to the next, in milliseconds. */
  #interval = 0;
  /** @type {any} */
  #timer = null;

  /** @param {import("./clock.js").Clock} clock */
  constructor(clock) {
    this.clock = clock;
  }

  /** Begins anew, with a new connection. @param {Room[]} rooms in the order in which they are joined */
  restart(rooms) {
    this.clock.clearTimeout(this.#timer);
    this.#connection += 1;
    [this.#running, this.#interval, this.#timer] = [0, 0, null];
    this.#waiting = [...rooms];
    this.#start();
  }

  /** Joins a room before those that wait. @param {Room} room */
  add(room) {
    this.#putFirst(room);
    this.#start();
  }

  /** The server takes no join for some time: joins the room later. @param {Room} room @param {number} milliseconds */
  delay(room, milliseconds) {
    this.#interval = Math.max(this.#interval, milliseconds); // a shorter one leads to more rejections
    this.#putFirst(room);
    this.#wait();
  }

  /** @param {Room} room */
  #putFirst(room) {
    this.#waiting = [room, ...this.#waiting.filter((one) => one !== room)];
  }

  #wait() {
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(() => {
      this.#timer = null;
      this.#start();
    }, this.#interval);
  }

  #start() {
    while (this.#timer === null && this.#waiting.length && this.#running < MAX_PARALLEL_JOINS) {
      const room = /** @type {Room} */ (this.#waiting.shift());
      if (!room.isLeft) this.#join(room);
      if (this.#interval && this.#waiting.length) this.#wait();
    }
  }

  /** @param {Room} room */
  async #join(room) {
    const connection = this.#connection;
    this.#running += 1;
    await room.sendJoin();
    if (connection !== this.#connection) return;
    this.#running -= 1;
    this.#start();
  }
}
