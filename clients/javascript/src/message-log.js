// The log of one conversation as this client has it: in order, without gaps, nothing twice.
// It decides what is known and what is missing; it fetches nothing.

/** @typedef {{seq: number, id: string, from: string, content: string, timestamp: string}} Entry */

export class MessageLog {
  /** Which log this is; another epoch means that the log was started anew. @type {string|null} */
  epoch = null;
  /** Everything known without a gap, oldest first. @type {Entry[]} */
  entries = [];
  /** Whether older entries can be asked for. */
  hasMore = false;
  /** The newest seq that the server mentioned. */
  head = 0;
  #last = 0;
  /** What came early, by seq: it waits until the gap before it is filled. @type {Map<number, Entry>} */
  #early = new Map();
  /** What came since the newest page was asked for. @type {{epoch: string, entry: Entry}[]|null} */
  #sinceRequest = null;

  get isStarted() {
    return this.epoch !== null;
  }

  /** The newest seq that is here without a gap before it. */
  get last() {
    return this.#last;
  }

  /** The oldest seq that is here, or the next one when nothing is. */
  get first() {
    return this.entries[0]?.seq ?? this.#last + 1;
  }

  get hasGap() {
    return this.head > this.#last;
  }

  /**
   * Whether this is the log of that epoch. An empty log gets its epoch with its first entry.
   * @param {string} epoch
   */
  isOfEpoch(epoch) {
    return this.isStarted && (epoch === this.epoch || this.head === 0);
  }

  /** The newest page is being asked for: what comes from now on is newer than the request. */
  expectPage() {
    this.#sinceRequest = [];
  }

  /**
   * Begins from the newest page. Of what is here only that stays which came after the page was
   * asked for: anything else does not belong to the log any more.
   * @param {{epoch: string, head: number, messages: Entry[], more?: boolean}} page
   * @returns {Entry[]} entries that came since the request and continue the page
   */
  start({ epoch, head, messages, more = (messages[0]?.seq ?? 1) > 1 }) {
    const newer = (this.#sinceRequest ?? []).filter((one) => one.epoch === epoch);
    this.epoch = epoch;
    this.entries = [...messages];
    this.hasMore = more;
    this.#last = messages.at(-1)?.seq ?? head;
    this.head = Math.max(head, this.#last);
    this.#early.clear();
    this.#sinceRequest = null;
    return this.receive(
      epoch,
      newer.map((one) => one.entry),
    );
  }

  /**
   * Takes entries in any order, any number of times.
   * @param {string} epoch
   * @param {Entry[]} entries
   * @returns {Entry[]} those that are new and in order now
   */
  receive(epoch, entries) {
    this.#sinceRequest?.push(...entries.map((entry) => ({ epoch, entry })));
    if (!this.isOfEpoch(epoch)) return [];
    this.epoch = epoch;
    /** @type {Entry[]} */
    const fresh = [];
    for (const entry of entries) {
      if (entry.seq <= this.#last) continue;
      this.#early.set(entry.seq, entry);
      this.head = Math.max(this.head, entry.seq);
    }
    for (let next; (next = this.#early.get(this.#last + 1)); ) {
      this.#early.delete(next.seq);
      this.#last = next.seq;
      fresh.push(next);
    }
    this.entries.push(...fresh);
    return fresh;
  }

  /** Takes the continuation that a recovered join brings. */
  recover(/** @type {string} */ epoch, /** @type {Entry[]} */ entries, /** @type {number} */ head) {
    this.#sinceRequest = null;
    const fresh = this.receive(epoch, entries);
    this.head = Math.max(this.head, head);
    return fresh;
  }

  /**
   * Puts an older page before what is here.
   * @param {string} epoch
   * @param {Entry[]} entries
   * @param {boolean} more
   * @returns {number} how many entries were added
   */
  prepend(epoch, entries, more) {
    if (epoch !== this.epoch) return 0;
    const { first } = this;
    const older = entries.filter((entry) => entry.seq < first);
    this.entries.unshift(...older);
    this.hasMore = more && older.length > 0;
    return older.length;
  }

  /** The missing entries are no longer stored (retention): continues after them. @returns {Entry[]} */
  skipGap() {
    const next = this.#early.size ? Math.min(...this.#early.keys()) : this.head + 1;
    this.#last = next - 1;
    return this.receive(/** @type {string} */ (this.epoch), []);
  }
}
