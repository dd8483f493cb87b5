// One conversation's log as this page has it: in order, without holes, nothing twice.
// Pure: it decides what is known and what is missing; others fetch and draw.

/** @typedef {{seq: number, id: string, from: string, content: string, timestamp: string}} Entry */

export class Channel {
  /** Which log this is; another epoch means that the log was started anew. @type {string|null} */
  epoch = null;
  /** Everything known without a hole, oldest first. @type {Entry[]} */
  entries = [];
  /** Whether older messages can be asked for. */
  more = false;
  /** The newest seq that the server spoke of. */
  head = 0;
  #last = 0;
  /** What came too early, by seq: it waits until the hole before it is filled. @type {Map<number, Entry>} */
  #held = new Map();

  get isStarted() {
    return this.epoch !== null;
  }

  /** The newest seq that is here without a hole before it. */
  get last() {
    return this.#last;
  }

  /** Whether something between what we have and what we heard of is missing. */
  get hasHole() {
    return this.head > this.#last;
  }

  /** Whether a log of this epoch is ours, or was: an empty one gets its epoch with its first message. */
  continues(epoch) {
    return this.isStarted && (epoch === this.epoch || this.head === 0);
  }

  /** Begins from the newest page of the log, keeping what came in the meantime. */
  start({ epoch, head, messages, more = (messages[0]?.seq ?? 1) > 1 }) {
    const early = epoch === this.epoch ? [...this.entries, ...this.#held.values()] : [];
    this.epoch = epoch;
    this.entries = [...messages];
    this.more = more;
    this.#last = messages.at(-1)?.seq ?? head;
    this.head = Math.max(head, this.#last);
    this.#held.clear();
    return this.receive(
      epoch,
      early.filter((entry) => entry.seq > this.#last),
    );
  }

  /**
   * Takes messages in any order, any number of times.
   * @param {string} epoch @param {Entry[]} entries
   * @returns {Entry[]} those that are new and in order now
   */
  receive(epoch, entries) {
    if (!this.continues(epoch)) return [];
    this.epoch = epoch;
    const fresh = [];
    for (const entry of entries) {
      if (entry.seq <= this.#last) continue;
      this.#held.set(entry.seq, entry);
      this.head = Math.max(this.head, entry.seq);
    }
    for (let next; (next = this.#held.get(this.#last + 1));) {
      this.#held.delete(next.seq);
      this.#last = next.seq;
      fresh.push(next);
    }
    this.entries.push(...fresh);
    return fresh;
  }

  /** Puts an older page before what is here. @returns {number} how many came */
  earlier(epoch, entries, more) {
    if (epoch !== this.epoch) return 0;
    const first = this.entries[0]?.seq ?? this.#last + 1;
    const older = entries.filter((entry) => entry.seq < first);
    this.entries.unshift(...older);
    this.more = more && older.length > 0;
    return older.length;
  }

  /** Nobody has what is missing any more (retention): go on after it. @returns {Entry[]} */
  skipHole() {
    const next = this.#held.size ? Math.min(...this.#held.keys()) : this.head + 1;
    this.#last = next - 1;
    return this.receive(this.epoch, []);
  }
}
