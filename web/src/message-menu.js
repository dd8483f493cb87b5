// The menu of one message: reply, react, edit, delete, copy, report, and what its author's menu has.
import { ask } from "./dialogs.js";
import { Menu } from "./menu.js";
import { texts } from "./texts.js";

const QUICK_REACTIONS = ["👍", "❤️", "😂", "🎉", "😮", "😢", "👀", "✅"];
const MAX_REASON_CHARACTERS = 500;

export class MessageMenu {
  /**
   * @param {import("./workspace.js").Workspace} workspace
   * @param {Menu} menu
   * @param {import("./person-actions.js").PersonActions} people
   * @param {{notify: (text: string) => void, edit: (entry: any) => void, reply: (entry: any) => void}} page
   */
  constructor(workspace, menu, people, page) {
    this.workspace = workspace;
    this.menu = menu;
    this.people = people;
    this.page = page;
  }

  /** @param {HTMLElement} opener @param {import("townsquare-client").Entry} entry */
  open(opener, entry) {
    const { client, current } = this.workspace;
    const { seq, from, content } = entry;
    const isOwn = from === client.userId;
    const mayDelete = isOwn || (current.kind === "room" && current.canModerate(from));
    const mine = entry.mine ?? [];
    const choices = QUICK_REACTIONS.map((emoji) => ({
      text: emoji,
      label: texts.reactWith(emoji),
      isPressed: mine.includes(emoji),
      act: () => this.react(seq, emoji, !mine.includes(emoji)),
    }));
    const items = [
      { text: texts.reply, act: () => this.page.reply(entry) },
      { label: texts.react, choices },
      isOwn && { text: texts.edit, act: () => this.page.edit(entry) },
      { text: texts.copyLink, act: () => this.#copy(this.workspace.linkTo(current, seq), texts.linkCopied) },
      { text: texts.copyText, act: () => this.#copy(content, texts.textCopied) },
      ...this.people.items(from),
      !isOwn && { text: texts.report, isDangerous: true, act: () => this.#report(current, seq) },
      mayDelete && { text: texts.delete, isDangerous: true, act: () => this.#delete(current, seq) },
    ];
    const row = /** @type {HTMLElement} */ (opener.closest(".msg"));
    this.menu.open(opener, items.filter(Boolean), { origin: row });
  }

  /** The profile of an author. @param {HTMLElement} opener @param {string} userId */
  openCard(opener, userId) {
    const row = /** @type {HTMLElement} */ (opener.closest(".msg"));
    this.people.openCard(this.menu, opener, userId, row);
  }

  /** @param {number} seq @param {string} emoji @param {boolean} on */
  async react(seq, emoji, on) {
    try {
      await this.workspace.current.react(seq, emoji, on);
    } catch (error) {
      this.page.notify(texts.changeFailed(texts.refusals[error.code] ?? error.message));
    }
  }

  #delete(conversation, seq) {
    ask({
      title: texts.deleteQuestion,
      text: texts.deleteText,
      action: texts.delete,
      submit: () => conversation.delete(seq),
    });
  }

  #report(conversation, seq) {
    ask({
      title: texts.reportQuestion,
      text: texts.reportText,
      action: texts.reportAction,
      fields: [
        {
          name: "reason",
          label: texts.reportReason,
          type: "long",
          isRequired: true,
          maxLength: MAX_REASON_CHARACTERS,
        },
      ],
      submit: async ({ reason }) => {
        await conversation.report(seq, reason);
        this.page.notify(texts.reported);
      },
    });
  }

  async #copy(text, done) {
    try {
      await navigator.clipboard.writeText(text);
      this.page.notify(done);
    } catch {
      this.page.notify(texts.copyFailed);
    }
  }
}
