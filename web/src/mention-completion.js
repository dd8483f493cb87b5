// Completes "@na" in the message field with the names of the users in the room.
import { byId, createAvatar, createElement, setAttribute, setChildren } from "./dom.js";
import { displayName } from "./format.js";

const MAX_SUGGESTIONS = 6;
/** An at sign that begins a word, and what was typed after it, up to the caret. */
const BEGUN_MENTION = /(?:^|[\s(])@([A-Za-z0-9_-]{0,64})$/;

export class MentionCompletion {
  /** @type {string[]} */
  #names = [];
  #selected = 0;

  /** @param {import("./workspace.js").Workspace} workspace @param {HTMLTextAreaElement} input */
  constructor(workspace, input) {
    this.workspace = workspace;
    this.input = input;
    this.list = byId("mentions");
    input.addEventListener("input", () => this.#update());
    input.addEventListener("blur", () => this.close());
  }

  /**
   * @param {KeyboardEvent} event
   * @returns {boolean} whether the key was used
   */
  keyPressed(event) {
    if (!this.#names.length || event.isComposing) return false;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.#selected = (this.#selected + step + this.#names.length) % this.#names.length;
      this.#draw();
    } else if (event.key === "Enter" || event.key === "Tab") this.#insert(this.#names[this.#selected]);
    else if (event.key === "Escape") this.close();
    else return false;
    event.preventDefault();
    return true;
  }

  close() {
    this.#names = [];
    this.#draw();
  }

  #update() {
    const typed = this.#textBeforeCaret().match(BEGUN_MENTION);
    const { current, client } = this.workspace;
    const users = typed && current.kind === "room" ? [...current.users.keys()] : [];
    const others = users.filter((userId) => userId !== client.userId).map(displayName);
    const begun = typed?.[1].toLowerCase() ?? "";
    const found = others.filter((name) => name.toLowerCase().startsWith(begun));
    const names = [...new Set(found)].sort().slice(0, MAX_SUGGESTIONS);
    const isComplete = names.length === 1 && names[0].toLowerCase() === begun;
    this.#names = isComplete ? [] : names;
    this.#selected = 0;
    this.#draw();
  }

  #textBeforeCaret() {
    return this.input.value.slice(0, this.input.selectionStart ?? 0);
  }

  #insert(/** @type {string} */ name) {
    const before = this.#textBeforeCaret();
    const start = before.lastIndexOf("@");
    this.input.setRangeText(`@${name} `, start, before.length, "end");
    this.close();
    this.input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #draw() {
    const isOpen = this.#names.length > 0;
    this.list.hidden = !isOpen;
    setAttribute(this.input, "aria-controls", isOpen ? "mentions" : null);
    setAttribute(this.input, "aria-activedescendant", isOpen ? `mention-${this.#selected}` : null);
    setChildren(
      this.list,
      this.#names.map((name, index) => this.#createOption(name, index)),
    );
  }

  #createOption(/** @type {string} */ name, /** @type {number} */ index) {
    const attributes = {
      id: `mention-${index}`,
      role: "option",
      "aria-selected": String(index === this.#selected),
    };
    const option = createElement("li", attributes, createAvatar(name, "small"), name);
    // Before the field loses its focus.
    option.addEventListener("pointerdown", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#insert(name);
    });
    return option;
  }
}
