// The message field: grows with the text, sends with Enter, keeps a draft for each conversation.
import { byId, setText } from "./dom.js";
import { nameOf } from "./conversation-view.js";
import { displayName, formatUntil } from "./format.js";
import { MentionCompletion } from "./mention-completion.js";
import { shorten } from "./message-rows.js";
import { readItem, writeItem } from "./storage.js";
import { texts } from "./texts.js";

const MAX_CHARACTERS = 4_000;
const COUNT_FROM_CHARACTERS = 3_600;
const SAVE_DELAY_MS = 400;

export class Composer {
  #key = null;
  #saveTimer = 0;
  /**
   * The message that is being edited: one of the log, by its seq, or one that was not sent.
   * @type {{conversation: any, draft: string, seq?: number, pending?: any}|null}
   */
  #editing = null;
  /** The message that is being answered. @type {{seq: number, from: string, content: string}|null} */
  #answered = null;

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
    byId("stop-answering").addEventListener("click", () => this.#stopReplying());
    addEventListener("pagehide", () => this.#saveDraft());
  }

  /** Edits an own message in the message field; Escape ends it. @param {{seq: number, content: string}} entry */
  edit({ seq, content }) {
    this.#beginEditing(content, { seq });
  }

  /** Edits a message that the server rejected; sending it replaces the rejected one. @param {any} pending */
  editPending(pending) {
    this.#beginEditing(pending.content, { pending });
  }

  #beginEditing(content, what) {
    this.#stopEditing();
    this.#editing = { conversation: this.workspace.current, draft: this.input.value, ...what };
    this.input.value = content;
    this.#fit();
    this.draw();
    this.input.focus();
  }

  /** Answers a message; Escape ends it. @param {{seq: number, from: string, content: string}} entry */
  reply(entry) {
    this.#stopEditing();
    this.#answered = entry;
    this.draw();
    this.input.focus();
  }

  #stopReplying() {
    this.#answered = null;
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
    const mentions = this.completion.mentionsIn(content);
    this.#stopEditing();
    try {
      await conversation.edit(seq, content, { mentions });
    } catch (error) {
      this.page.notify(texts.changeFailed(texts.refusals[error.code] ?? error.message));
      this.#restoreEdit(conversation, seq, content);
    }
  }

  /** The text of an edit that has failed is not lost. */
  #restoreEdit({ key }, seq, content) {
    if (this.#key === key && !this.#editing) return this.#beginEditing(content, { seq });
    const draft = this.#key === key ? this.#editing.draft : readItem(this.#draftName(key));
    if (draft) return;
    if (this.#key === key) this.#editing.draft = content;
    else writeItem(this.#draftName(key), content);
  }

  /** Another conversation has another draft. */
  opened() {
    const { key } = this.workspace.current;
    if (this.#key === key) return;
    this.#stopEditing();
    this.#answered = null;
    this.#saveDraft();
    this.#key = key;
    this.completion.close();
    this.input.value = readItem(this.#draftName(key)) ?? "";
    this.draw();
    // On a phone the keyboard would cover the messages.
    if (matchMedia("(pointer: fine)").matches) this.input.focus();
  }

  draw() {
    const { current } = this.workspace;
    const excess = this.input.value.length - MAX_CHARACTERS;
    this.input.placeholder = texts.message1(nameOf(current));
    const isMuted = !current.error && Boolean(current.mutedUntil && current.mutedUntil > Date.now());
    const isBlocked = current.kind === "direct" && this.workspace.client.blockedUsers.has(current.userId);
    const isDisabled = Boolean(current.error) || isMuted || isBlocked;
    this.input.disabled = isDisabled;
    byId("send").disabled = isDisabled || excess > 0;
    this.#drawAnswered();
    setText(byId("message-length"), describeLength(-excess));
    byId("message-length").classList.toggle("error", excess > 0);
    if (this.#editing) return setText(byId("delivery-notice"), texts.editing);
    if (isMuted) return setText(byId("delivery-notice"), describeMute(current.mutedUntil));
    if (isBlocked) return setText(byId("delivery-notice"), texts.youBlock(nameOf(current)));
    const isDelayed = current.pending.some(({ code }) => code === "rate_limited");
    setText(byId("delivery-notice"), isDelayed ? texts.tooFast : "");
  }

  #drawAnswered() {
    const answered = this.#answered;
    byId("answered").hidden = !answered;
    if (!answered) return;
    const { userId } = this.workspace.client;
    const name = answered.from === userId ? texts.own : displayName(answered.from);
    setText(byId("answered-name"), name);
    setText(byId("answered-text"), shorten(answered.content));
  }

  #keyPressed(event) {
    if (this.completion.keyPressed(event)) return;
    if (event.key === "Escape" && this.#editing) return this.#stopEditing();
    if (event.key === "Escape" && this.#answered) return this.#stopReplying();
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
    const pending = this.#editing?.pending;
    if (this.#editing && !pending) return this.#sendEdit(content);
    const mentions = this.completion.mentionsIn(content);
    const replyTo = pending ? pending.reply_to : this.#answered?.seq;
    const { client, current } = this.workspace;
    if (client.outbox.isFull) return this.page.notify(texts.outboxFull);
    current.send(content, { mentions, replyTo });
    if (pending) client.outbox.discard(current.key, pending.id);
    this.#answered = null;
    this.input.value = this.#editing?.draft ?? "";
    this.#editing = null;
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

/** A mute without an end is stored with the last year that a timestamp can have. */
const describeMute = (until) =>
  until.getUTCFullYear() === 9999 ? texts.muted : texts.mutedUntil(formatUntil(until));

function describeLength(left) {
  if (left < 0) return texts.tooLong(-left);
  return left < MAX_CHARACTERS - COUNT_FROM_CHARACTERS ? texts.charactersLeft(left) : "";
}
