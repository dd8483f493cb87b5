// Where one writes: grows with the text, sends with Enter, keeps a draft for each conversation.
import { byId, setText } from "./dom.js";
import { nameOf } from "./conversation-view.js";
import { MentionCompletion } from "./mention-completion.js";
import { readItem, writeItem } from "./storage.js";
import { texts } from "./texts.js";

const MAX_CHARACTERS = 4_000;
const COUNT_FROM_CHARACTERS = 3_600;
const SAVE_DELAY_MS = 400;

export class Composer {
  #key = null;
  #saveTimer = 0;
  /** The message that is being edited. @type {{conversation: any, seq: number, draft: string}|null} */
  #editing = null;

  /**
   * @param {import("./workspace.js").Workspace} workspace
   * @param {{sent: () => void, notify: (text: string) => void}} page
   */
  constructor(workspace, page) {
    this.workspace = workspace;
    this.page = page;
    this.input = byId("message-input");
    this.completion = new MentionCompletion(workspace, this.input);
    byId("composer").addEventListener("submit", (event) => this.#send(event));
    this.input.addEventListener("keydown", (event) => this.#keyPressed(event));
    this.input.addEventListener("input", () => this.#edited());
    addEventListener("pagehide", () => this.#saveDraft());
  }

  /** Edits an own message in the message field; Escape ends it. @param {{seq: number, content: string}} entry */
  edit({ seq, content }) {
    this.#stopEditing();
    this.#editing = { conversation: this.workspace.current, seq, draft: this.input.value };
    this.input.value = content;
    this.#fit();
    this.draw();
    this.input.focus();
  }

  #stopEditing() {
    if (!this.#editing) return;
    this.input.value = this.#editing.draft;
    this.#editing = null;
    this.#fit();
    this.draw();
  }

  async #sendEdit(content) {
    const { conversation, seq } = this.#editing;
    this.#stopEditing();
    try {
      await conversation.edit(seq, content);
    } catch (error) {
      this.page.notify(texts.changeFailed(texts.refusals[error.code] ?? error.message));
    }
  }

  /** Another conversation has another draft. */
  opened() {
    const { key } = this.workspace.current;
    if (this.#key === key) return;
    this.#stopEditing();
    this.#saveDraft();
    this.#key = key;
    this.completion.close();
    this.input.value = readItem(this.#draftName(key)) ?? "";
    this.draw();
    // On a phone the keyboard would cover what one came to read.
    if (matchMedia("(pointer: fine)").matches) this.input.focus();
  }

  draw() {
    const { current } = this.workspace;
    const excess = this.input.value.length - MAX_CHARACTERS;
    this.input.placeholder = texts.message1(nameOf(current));
    this.input.disabled = Boolean(current.error);
    byId("send").disabled = Boolean(current.error) || excess > 0;
    setText(byId("message-length"), describeLength(-excess));
    byId("message-length").classList.toggle("error", excess > 0);
    if (this.#editing) return setText(byId("delivery-notice"), texts.editing);
    const isDelayed = current.pending.some(({ code }) => code === "rate_limited");
    setText(byId("delivery-notice"), isDelayed ? texts.tooFast : "");
  }

  #keyPressed(event) {
    if (this.completion.keyPressed(event)) return;
    if (event.key === "Escape" && this.#editing) return this.#stopEditing();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("composer").requestSubmit();
  }

  #edited() {
    this.#fit();
    this.draw();
    clearTimeout(this.#saveTimer);
    this.#saveTimer = setTimeout(() => this.#saveDraft(), SAVE_DELAY_MS);
    if (this.input.value.trim() && this.workspace.current.kind === "room")
      this.workspace.current.typing();
  }

  #send(event) {
    event.preventDefault();
    const content = this.input.value.trim();
    this.input.focus();
    if (!content || content.length > MAX_CHARACTERS) return;
    if (this.#editing) return this.#sendEdit(content);
    try {
      this.workspace.current.send(content);
    } catch {
      return this.page.notify(texts.outboxFull);
    }
    this.input.value = "";
    this.#saveDraft();
    this.#fit();
    this.draw();
    this.page.sent();
  }

  #draftName = (key) => `draft.${key}`;

  #saveDraft() {
    if (this.#key !== null && !this.#editing) writeItem(this.#draftName(this.#key), this.input.value || null);
  }

  #fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight}px`;
  }
}

function describeLength(left) {
  if (left < 0) return texts.tooLong(-left);
  return left < MAX_CHARACTERS - COUNT_FROM_CHARACTERS ? texts.charactersLeft(left) : "";
}
