// Keeps unsent messages in a storage that survives a reload: one item a message, so that several
// tabs of one browser do not overwrite each other's.

/** @typedef {import("./outbox.js").PendingMessage} PendingMessage */
/** @typedef {{key: string, position: number, message: PendingMessage}} StoredMessage */
/** @typedef {{length: number, key: (index: number) => string|null, getItem: (key: string) => string|null, setItem: (key: string, value: string) => void, removeItem: (key: string) => void}} StorageLike */

const PREFIX = "townsquare.outbox.";

export class OutboxStorage {
  /** @type {string|null} */
  #userId = null;
  /** What was added before the user's id is known. @type {Map<string, string>} */
  #unsaved = new Map();
  /** Tells messages of the same millisecond apart. */
  #count = 0;

  /** @param {StorageLike|null} storage null keeps nothing beyond this run */
  constructor(storage) {
    this.storage = storage;
  }

  /**
   * Reads the messages that this user left unsent, oldest first.
   * @param {string} userId
   * @returns {StoredMessage[]}
   */
  open(userId) {
    this.#userId = userId;
    for (const [id, item] of this.#unsaved) this.#write(id, item);
    this.#unsaved.clear();
    const { storage } = this;
    if (!storage) return [];
    const names = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "");
    return names
      .filter((name) => name.startsWith(`${PREFIX}${userId}.`))
      .map((name) => parse(storage.getItem(name)))
      .filter((one) => one !== null)
      .sort(
        (a, b) =>
          a.message.timestamp.localeCompare(b.message.timestamp) || a.position - b.position,
      );
  }

  /** @param {string} key @param {PendingMessage} message */
  save(key, message) {
    const { id } = message;
    const item = JSON.stringify({ key, position: (this.#count += 1), message });
    if (this.#userId === null) this.#unsaved.set(id, item);
    else this.#write(id, item);
  }

  /** @param {string} id */
  remove(id) {
    this.#unsaved.delete(id);
    this.storage?.removeItem(`${PREFIX}${this.#userId}.${id}`);
  }

  /** @param {string} id @param {string} item */
  #write(id, item) {
    try {
      this.storage?.setItem(`${PREFIX}${this.#userId}.${id}`, item);
    } catch {
      // A full storage: the message is sent all the same, it only does not survive a reload.
    }
  }
}

/** @param {string|null} item @returns {StoredMessage|null} */
function parse(item) {
  try {
    const { key, position, message } = JSON.parse(item ?? "");
    const fields = [key, message.id, message.content, message.timestamp];
    if (!fields.every((field) => typeof field === "string")) return null;
    const { id, content, timestamp, reply_to, mentions, meta, code, reason } = message;
    const state = message.state === "failed" ? message.state : "waiting";
    /** @type {PendingMessage} */
    const restored = { id, content, timestamp, reply_to, mentions, meta, state, code, reason };
    return { key, position: Number(position) || 0, message: restored };
  } catch {
    return null;
  }
}
