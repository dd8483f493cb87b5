// The menu of one message: by mouse, touch and keyboard.
import { byId, createElement, setChildren } from "./dom.js";
import { displayName } from "./format.js";
import { texts } from "./texts.js";

const QUICK_REACTIONS = ["👍", "❤️", "😂", "🎉"];

export class MessageMenu {
  /** @type {HTMLElement|null} */
  #opener = null;

  /**
   * @param {import("./workspace.js").Workspace} workspace
   * @param {(text: string) => void} notify
   * @param {(entry: any) => void} edit
   */
  constructor(workspace, notify, edit) {
    this.edit = edit;
    this.workspace = workspace;
    this.notify = notify;
    this.menu = byId("message-menu");
    this.menu.addEventListener("keydown", (event) => this.#keyPressed(event));
    this.menu.addEventListener("toggle", ({ newState }) => newState === "closed" && this.#closed());
  }

  /** @param {HTMLElement} opener @param {{seq: number, from: string, content: string}} entry */
  open(opener, entry) {
    this.#opener = opener;
    const { client, current } = this.workspace;
    const items = [
      this.#item(texts.copyLink, () =>
        this.#copy(this.workspace.linkTo(current, entry.seq), texts.linkCopied),
      ),
      this.#item(texts.copyText, () => this.#copy(entry.content, texts.textCopied)),
    ];
    if (entry.from !== client.userId && current.kind === "room")
      items.push(
        this.#item(texts.message1(displayName(entry.from)), () =>
          this.workspace.open(`@${entry.from}`),
        ),
      );
    if (entry.from === client.userId)
      items.push(
        this.#item(texts.edit, () => this.edit(entry)),
        this.#item(texts.delete, () => this.#try(current.delete(entry.seq))),
      );
    for (const emoji of QUICK_REACTIONS)
      items.push(this.#item(texts.reactWith(emoji), () => this.react(entry.seq, emoji, true)));
    setChildren(this.menu, items);
    this.menu.showPopover();
    this.#place(opener);
    items[0].focus();
  }

  /** @param {number} seq @param {string} emoji @param {boolean} on */
  react(seq, emoji, on) {
    this.#try(this.workspace.current.react(seq, emoji, on));
  }

  /** Shows why a change was refused. @param {Promise<void>} change */
  async #try(change) {
    try {
      await change;
    } catch (error) {
      this.notify(texts.changeFailed(texts.refusals[error.code] ?? error.message));
    }
  }

  #item(text, act) {
    const onclick = () => {
      this.menu.hidePopover();
      act();
    };
    return createElement("button", { role: "menuitem", tabindex: "-1", onclick }, text);
  }

  /** Below the button, or above it where there is no room; always inside of the window. */
  #place(opener) {
    const button = opener.getBoundingClientRect();
    const { width, height } = this.menu.getBoundingClientRect();
    const top = button.bottom + height > innerHeight ? button.top - height : button.bottom;
    this.menu.style.top = `${Math.max(8, top)}px`;
    this.menu.style.left = `${Math.max(8, Math.min(button.right - width, innerWidth - width - 8))}px`;
  }

  #keyPressed(event) {
    const items = [...this.menu.children];
    const index = items.indexOf(document.activeElement);
    const steps = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: -1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    items.at(steps[event.key] % items.length)?.focus();
  }

  #closed() {
    if (document.activeElement === document.body || this.menu.contains(document.activeElement))
      this.#opener?.closest(".msg")?.focus();
  }

  async #copy(text, done) {
    try {
      await navigator.clipboard.writeText(text);
      this.notify(done);
    } catch {
      this.notify(texts.copyFailed);
    }
  }
}
