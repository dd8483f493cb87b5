// The conversation with one other user. Nobody joins it: messages come on any connection.
import { Conversation, MAX_PAGE_SIZE, PAGE_SIZE } from "./conversation.js";

export class DirectConversation extends Conversation {
  /** @type {"direct"} */
  kind = "direct";
  /** Whether the other user is connected, as far as it is known. @type {boolean|null} */
  isOnline = null;
  /** The log whose newest page was loaded. @type {import("./message-log.js").MessageLog|null} */
  #loadedLog = null;

  /** @param {import("./client.js").Client} client @param {string} userId */
  constructor(client, userId) {
    if (!userId) throw new TypeError("Expected the id of a user.");
    super(client, `@${userId}`, `/api/direct/${encodeURIComponent(userId)}`, { to: userId });
    this.userId = userId;
  }

  /** Whether the newest page was loaded. Before, the log has what was received since it began. */
  get isLoaded() {
    return this.#loadedLog === this.log;
  }

  /** Loads the newest messages, and later what this client has missed since. */
  async load() {
    const { log } = this;
    try {
      await this.loadOnline();
      const page = await this.history(
        this.isLoaded ? { after: log.last, limit: MAX_PAGE_SIZE } : { limit: PAGE_SIZE },
      );
      if (log !== this.log) return;
      if (log.isStarted && !log.isOfEpoch(page.epoch)) return this.restart();
      const head = Math.max(log.head, page.head);
      if (this.isLoaded) this.receive(page.epoch, page.messages, page.changes);
      else this.#startFromNewest(page);
      this.error = null;
      this.compareHead(page.epoch, head);
      this.countUnread();
    } catch (error) {
      const { code, message } = /** @type {any} */ (error);
      if (code === "invalid_cursor" && log.isStarted) return this.restart();
      this.error = { code: code ?? "unknown", message };
    }
    this.changed();
  }

  /** Asks whether the other user is connected. */
  async loadOnline() {
    const path = `/api/users/${encodeURIComponent(this.userId)}/online`;
    this.#setOnline((await this.client.http.get(path)).online);
  }

  /** The other user has just done something on a connection. */
  wasSeen() {
    this.#setOnline(true);
  }

  #setOnline(/** @type {boolean} */ isOnline) {
    if (isOnline === this.isOnline) return;
    this.isOnline = isOnline;
    this.changed();
  }

  /** @param {import("./conversation.js").HistoryPage} page */
  #startFromNewest(page) {
    const { log } = this;
    const { entries, last, isStarted } = log;
    this.#loadedLog = log;
    this.startFrom(page);
    // What was received meanwhile stays; what is missing after it is a gap.
    log.receive(page.epoch, entries.filter(({ seq }) => seq > page.head));
    if (isStarted) this.added(page.messages.filter(({ seq }) => seq > last));
  }

  restart() {
    this.log = this.createLog();
    this.load();
  }

  /** @param {any} frame a direct message, from or to this user */
  messageReceived(frame) {
    if (frame.from === this.userId) this.wasSeen();
    if (this.log.isStarted) return this.receive(frame.epoch, [frame]);
    this.startFrom({ epoch: frame.epoch, head: frame.seq, messages: [frame], more: frame.seq > 1 });
    this.added([frame]);
  }
}
