// Clients of the package townsquare-client that write into one room, driven over stdin.
//
//   node clients.mjs '{"url": "http://...", "room": "...", "clients": 4, "seed": 1}'
//
// One command a line: {"do": "write", "pauseMs": 200}, {"do": "pause"}, {"do": "dump"}, {"do": "quit"}.
// One event a line: acked, failed, dump.
import { createInterface } from "node:readline";
import { connect } from "../../clients/javascript/src/index.js";
import { systemClock } from "../../clients/javascript/src/clock.js";

const { url, room: roomName, clients: count, seed } = JSON.parse(process.argv[2]);
const EMOJIS = ["👍", "🎉", "❤️"];
const MAX_PENDING = 20;

const emit = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

/** mulberry32: the same seed gives the same numbers. */
function makeRandom(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

class Writer {
  #timer = null;
  #isChanging = false;
  #count = 0;
  /** What acknowledged changes have made of messages, by epoch and seq; null when it is unknown. */
  expected = new Map();

  constructor(number) {
    this.random = makeRandom(seed * 1000 + number);
    this.name = `js${number}`;
    this.client = connect({ url, name: this.name, clock: { ...systemClock, random: this.random } });
    this.room = this.client.room(roomName);
    this.room.join();
  }

  write(pauseMs) {
    clearTimeout(this.#timer);
    const next = () => {
      if (this.room.pending.length < MAX_PENDING && this.client.userId) this.#send();
      if (!this.#isChanging && this.random() < 0.3) this.#change();
      this.#timer = setTimeout(next, pauseMs * (0.5 + this.random()));
    };
    next();
  }

  pause() {
    clearTimeout(this.#timer);
  }

  #send() {
    const content = `${this.name} ${(this.#count += 1)}`;
    const sentAt = Date.now() / 1000;
    this.room.send(content).then(
      ({ id }) => emit({ event: "acked", from: this.client.userId, id, content, sentAt, at: Date.now() / 1000 }),
      (error) => emit({ event: "failed", from: this.client.userId, content, code: error.code ?? error.message }),
    );
  }

  /** One change of a message that is loaded: an edit or a deletion of an own one, or a reaction. */
  async #change() {
    const { entries } = this.room;
    const own = entries.filter((entry) => entry.from === this.client.userId && !entry.deleted).slice(-30);
    const kind = this.random();
    const target = kind < 0.6 ? pick(own, this.random) : pick(entries.filter((one) => !one.deleted).slice(-30), this.random);
    if (!target) return;
    this.#isChanging = true;
    const key = `${this.room.log.epoch}:${target.seq}`;
    try {
      if (kind < 0.45) {
        const content = `${target.content} +`;
        await this.#request(key, () => this.room.edit(target.seq, content), { content });
      } else if (kind < 0.6) {
        await this.#request(key, () => this.room.delete(target.seq), { deleted: true });
      } else {
        const emoji = pick(EMOJIS, this.random);
        const on = this.random() < 0.7;
        const of = `${key}:${emoji}`;
        if (this.expected.get(of) === null) return; // an unconfirmed one may still be stored
        await this.#request(of, () => this.room.react(target.seq, emoji, on), { emoji, on });
      }
    } finally {
      this.#isChanging = false;
    }
  }

  async #request(key, send, outcome) {
    this.expected.set(key, null); // not known until it is answered
    try {
      await send();
      this.expected.set(key, { ...outcome });
    } catch (error) {
      if (error.code && !error.retry) this.expected.delete(key);
    }
  }

  dump() {
    const { log, users, userCount, pending } = this.room;
    return {
      user: this.client.userId,
      state: this.client.state,
      isJoined: this.room.isJoined,
      epoch: log.epoch,
      last: log.last,
      entries: log.entries,
      users: [...users.keys()],
      userCount,
      pending: pending.map(({ id, state }) => ({ id, state })),
      expected: [...this.expected].filter(([, outcome]) => outcome !== null),
    };
  }
}

function pick(list, random) {
  return list[Math.floor(random() * list.length)];
}

const writers = Array.from({ length: count }, (_, number) => new Writer(number));
const commands = {
  write: ({ pauseMs }) => writers.forEach((one) => one.write(pauseMs)),
  pause: () => writers.forEach((one) => one.pause()),
  dump: () => emit({ event: "dump", clients: writers.map((one) => one.dump()) }),
  quit: () => {
    writers.forEach((one) => one.client.close());
    setTimeout(() => process.exit(0), 200);
  },
};
createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
