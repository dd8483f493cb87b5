// The conversation with one other user. Nobody joins it: messages come on any connection.
import { Conversation, MAX_PAGE_SIZE, PAGE_SIZE } from "./conversation.js";

export class DirectConversation extends Conversation {
  /** @type {"direct"} */
  kind = "direct";
  /** Whether the other user is connected, when last asked. @type {boolean|null} */
  isOnline = null;

  /** @param {import("./client.js").Client} client @param {string} userId */
  constructor(client, userId) {
    if (!userId) throw new TypeError("Expected the id of a user.");
    super(client, `@${userId}`, `/api/direct/${encodeURIComponent(userId)}`, { to: userId });
    this.userId = userId;
  }

  /** Loads the messages from the history that this client has missed. */
  async load() {
    const { log } = this;
    const { http } = this.client;
    try {
      this.isOnline = (await http.get(`/api/users/${encodeURIComponent(this.userId)}/online`)).online;
      const after = log.isStarted ? { after: log.last, limit: MAX_PAGE_SIZE } : { limit: PAGE_SIZE };
      log.expectPage();
      const page = await this.history(after);
      if (log !== this.log) return;
      if (log.isStarted && log.isOfEpoch(page.epoch)) this.receive(page.epoch, page.messages, page.changes);
      else if (log.isStarted) return this.restart();
      else this.startFrom(page);
      this.error = null;
      this.compareHead(page.epoch, page.head);
      this.countUnread();
    } catch (error) {
      const { code, message } = /** @type {any} */ (error);
      if (code === "invalid_cursor" && log.isStarted) return this.restart();
      this.error = { code: code ?? "unknown", message };
    }
    this.changed();
  }

  restart() {
    this.log = this.createLog();
    this.load();
  }

  /** @param {any} frame a direct message, from or to this user */
  messageReceived(frame) {
    if (this.log.isStarted) return this.receive(frame.epoch, [frame]);
    this.startFrom({ epoch: frame.epoch, head: frame.seq, messages: [frame], more: frame.seq > 1 });
    this.added([frame]);
  }
}
