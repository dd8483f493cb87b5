// The log of one conversation as this client has it: in order, without gaps, nothing twice.
// It decides what is known and what is missing; it fetches nothing.

/**
 * A message in its present state; `version` counts the changes that this client has applied.
 * @typedef {{seq: number, id: string, from: string, name?: string, content: string, timestamp: string,
 *   revision?: number, edited?: string, deleted?: boolean, reactions?: Record<string, number>,
 *   mine?: string[], reply_to?: number, mentions?: string[], meta?: object, version?: number}} Entry
 */
/**
 * A change of the message `target`, with a seq of the same log.
 * @typedef {{seq: number, kind: "edit" | "delete" | "reaction", target: number, id: string, from: string,
 *   timestamp: string, content?: string, mentions?: string[], revision?: number, emoji?: string, on?: boolean,
 *   count?: number}} Change
 */

/** Half of the time between two heartbeats. */
const HEARTBEAT_DELAY_MS = 30_000;

export class MessageLog {
  /** Which log this is; another epoch means that another log has begun. @type {string|null} */
  epoch = null;
  /** Everything known without a gap, oldest first. @type {Entry[]} */
  entries = [];
  /** Whether older entries can be asked for. */
  hasMore = false;
  /** The newest seq that the server mentioned. */
  head = 0;
  /** Whether an entry with the seq of another one was received: the log was restored from an older copy. */
  isContradicted = false;
  #last = 0;
  /** The newest seq that was here at a heartbeat, and when. @type {{seq: number, at: number}|null} */
  #lastAtHeartbeat = null;
  /** Entries after a gap, by seq: they wait until the gap is filled. @type {Map<number, Entry|Change>} */
  #early = new Map();
  /** Entries outside of `entries` to which others reply; null for one that is not stored. @type {Map<number, Entry|null>} */
  #referenced = new Map();
  /** Changes since a page for them was asked for. @type {Change[]|null} */
  #changesSinceRequest = null;
  /** Entries received since the newest page was requested. @type {{epoch: string, item: Entry|Change}[]|null} */
  #sinceRequest = null;

  /** @param {() => string|null} [userId] whose own reactions are marked */
  constructor(userId = () => null) {
    this.userId = userId;
  }

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

  /**
   * Notes the position of a heartbeat; whether the log has become shorter, which means that it was
   * restored from an older copy. A heartbeat may be late, but not by the time between two of them.
   * @param {number} seq @param {number} now
   */
  isShortenedTo(seq, now) {
    const before = this.#lastAtHeartbeat;
    if (before && now - before.at < HEARTBEAT_DELAY_MS) return false;
    this.#lastAtHeartbeat = { seq: this.#last, at: now };
    return before !== null && seq < before.seq;
  }

  /** The newest page is being requested: entries received from now on are newer. */
  expectPage() {
    this.#sinceRequest = [];
  }

  /**
   * Begins from the newest page. Only entries that were received after the request of the page
   * stay: others do not belong to the log any more.
   * @param {{epoch: string, head: number, messages: Entry[], more?: boolean}} page
   * @returns {Entry[]} entries received since the request that continue the page
   */
  start({ epoch, head, messages, more = (messages[0]?.seq ?? 1) > 1 }) {
    const received = this.#sinceRequest ?? [];
    // An empty log has no epoch until its first entry, which may be among those received.
    const current = epoch || received.at(-1)?.epoch;
    const newer = received.filter((one) => one.epoch === current);
    this.epoch = epoch;
    this.entries = [...messages];
    this.hasMore = more;
    // The messages are in their present state: the changes up to the head are in them.
    this.#last = this.head = Math.max(head, messages.at(-1)?.seq ?? 0);
    this.#early.clear();
    this.#referenced.clear();
    this.#sinceRequest = null;
    const items = newer.map((one) => one.item);
    const isChange = (/** @type {Entry|Change} */ item) => "target" in item;
    return this.receive(
      current ?? epoch,
      /** @type {Entry[]} */ (items.filter((item) => !isChange(item))),
      /** @type {Change[]} */ (items.filter(isChange)),
    );
  }

  /**
   * Takes entries and changes in any order, any number of times.
   * @param {string} epoch
   * @param {Entry[]} entries
   * @param {Change[]} [changes]
   * @returns {Entry[]} the entries that are new and in order now
   */
  receive(epoch, entries, changes = []) {
    const items = [...entries, ...changes];
    this.#sinceRequest?.push(...items.map((item) => ({ epoch, item })));
    if (!this.isOfEpoch(epoch)) return [];
    this.epoch = epoch;
    for (const item of items) {
      if (item.seq <= this.#last) {
        const known = this.entries[this.#indexOf(item.seq)];
        this.isContradicted ||= known !== undefined && known.id !== item.id;
        continue;
      }
      this.#early.set(item.seq, item);
      this.head = Math.max(this.head, item.seq);
    }
    /** @type {Entry[]} */
    const fresh = [];
    for (let next; (next = this.#early.get(this.#last + 1)); ) {
      this.#early.delete(next.seq);
      this.#last = next.seq;
      if ("target" in next) this.#apply(next);
      else {
        this.entries.push(next);
        fresh.push(next);
      }
    }
    return fresh;
  }

  /**
   * Takes the continuation that a recovered join brings.
   * @param {string} epoch @param {Entry[]} entries @param {number} head @param {Change[]} [changes]
   */
  recover(epoch, entries, head, changes = []) {
    this.#sinceRequest = null;
    const fresh = this.receive(epoch, entries, changes);
    this.head = Math.max(this.head, head);
    return fresh;
  }

  /** The entry of a seq, if it is here. @param {number} seq @returns {Entry|undefined} */
  find(seq) {
    return this.entries[this.#indexOf(seq)] ?? this.#referenced.get(seq) ?? undefined;
  }

  /** Whether it is known that no message of this seq is stored. @param {number} seq */
  isMissing(seq) {
    if (this.find(seq)) return false;
    return seq > this.head || seq >= this.first || this.#referenced.get(seq) === null;
  }

  /** A page with entries to which others reply is being requested. */
  expectReferenced() {
    this.#changesSinceRequest = [];
  }

  /**
   * Takes the requested entries from a page up to `newest`. Requested entries that the page
   * should have and does not are not stored.
   * @param {{epoch: string, head: number, messages: Entry[], more: boolean}} page
   * @param {number[]} seqs @param {number} newest
   */
  addReferenced({ epoch, head, messages, more }, seqs, newest) {
    const oldest = more ? (messages[0]?.seq ?? newest) : 0;
    for (const seq of seqs) {
      const entry = epoch === this.epoch ? messages.find((one) => one.seq === seq) : undefined;
      if (entry || seq >= oldest) this.#referenced.set(seq, entry ?? null);
    }
    const changes = this.#changesSinceRequest ?? [];
    this.#changesSinceRequest = null;
    for (const change of changes) if (change.seq > head && this.#indexOf(change.target) < 0) this.#apply(change);
  }

  /** @param {Change} change */
  #apply(change) {
    this.#changesSinceRequest?.push(change);
    const index = this.#indexOf(change.target);
    const entry = this.entries[index] ?? this.#referenced.get(change.target);
    if (!entry || entry.deleted) return;
    const changed = changeEntry(entry, change, this.userId);
    if (index < 0) this.#referenced.set(change.target, changed);
    else this.entries[index] = changed;
  }

  /** @param {number} seq */
  #indexOf(seq) {
    let [low, high] = [0, this.entries.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle].seq === seq) return middle;
      if (this.entries[middle].seq < seq) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
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

/**
 * The message after a change. Changes come in the order of the log.
 * @param {Entry} entry @param {Change} change @param {() => string|null} userId
 * @returns {Entry}
 */
function changeEntry(entry, change, userId) {
  const version = (entry.version ?? 0) + 1;
  if (change.kind === "delete")
    return { ...entry, version, content: "", deleted: true, reactions: {}, mine: [], mentions: [] };
  if (change.kind === "reaction") return { ...entry, version, ...react(entry, change, userId()) };
  const { content, mentions = entry.mentions, revision = 0, timestamp } = change;
  // The page with the entry may have been newer than the change.
  if (content === undefined || revision <= (entry.revision ?? 0)) return entry;
  return { ...entry, version, content, mentions, revision, edited: timestamp };
}

/** @param {Entry} entry @param {Change} change @param {string|null} userId */
function react(entry, { emoji = "", on, count = 0, from }, userId) {
  const reactions = { ...entry.reactions, [emoji]: count };
  if (!count) delete reactions[emoji];
  const others = (entry.mine ?? []).filter((one) => one !== emoji);
  return { reactions, mine: from === userId ? [...others, ...(on ? [emoji] : [])] : entry.mine };
}
