// Completes "@na" in the message field with the names of users, and finds whom a text mentions.
import { byId, createAvatar, createElement, setAttribute, setChildren } from "./dom.js";
import { colourOf, displayName } from "./format.js";
import { findMentions } from "./message-text.js";

const MAX_SUGGESTIONS = 6;
/** The server takes so many in one message. */
const MAX_MENTIONS = 20;
/** An at sign that begins a word, and what was typed after it, up to the caret: a name may have spaces. */
const BEGUN_MENTION = /(?:^|[\s(])@((?:[^\s@][^@\n]{0,40})?)$/;

/** @typedef {{userId: string, name: string}} Suggestion */

export class MentionCompletion {
  /** @type {Suggestion[]} */
  #suggestions = [];
  #selected = 0;
  /** Who was chosen for a name, by the name in lower case: several users can have the same. @type {Map<string, string>} */
  #chosen = new Map();

  /** @param {import("./workspace.js").Workspace} workspace @param {HTMLTextAreaElement} input */
  constructor(workspace, input) {
    this.workspace = workspace;
    this.input = input;
    this.list = byId("mentions");
    input.addEventListener("input", () => this.#update());
    input.addEventListener("blur", () => this.close());
  }

  /** The ids of the users whom a text mentions. @param {string} content @returns {string[]} */
  mentionsIn(content) {
    const text = content.toLowerCase();
    const users = this.#users().filter(({ name }) => text.includes(`@${name.toLowerCase()}`));
    const found = findMentions(content, users.map(({ name }) => name));
    const mentioned = users.filter(({ userId, name }) => {
      const key = name.toLowerCase();
      return found.has(key) && (this.#chosen.get(key) ?? userId) === userId;
    });
    this.#chosen.clear();
    return mentioned.slice(0, MAX_MENTIONS).map(({ userId }) => userId);
  }

  /**
   * @param {KeyboardEvent} event
   * @returns {boolean} whether the key was used
   */
  keyPressed(event) {
    const suggestions = this.#suggestions;
    if (!suggestions.length || event.isComposing) return false;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.#selected = (this.#selected + step + suggestions.length) % suggestions.length;
      this.#draw();
    } else if (event.key === "Enter" || event.key === "Tab") this.#insert(suggestions[this.#selected]);
    else if (event.key === "Escape") this.close();
    else return false;
    event.preventDefault();
    return true;
  }

  close() {
    this.#suggestions = [];
    this.#draw();
  }

  /** Everybody in the room, and who has written there. @returns {Suggestion[]} */
  #users() {
    const { current, client } = this.workspace;
    const inRoom = current.kind === "room" ? current.users.keys() : [current.userId];
    const ids = new Set([...inRoom, ...current.entries.map(({ from }) => from)]);
    ids.delete(client.userId ?? "");
    return [...ids].map((userId) => ({ userId, name: displayName(userId) }));
  }

  #update() {
    const begun = this.#textBeforeCaret().match(BEGUN_MENTION)?.[1].toLowerCase();
    const found = begun === undefined ? [] : this.#users();
    const suggestions = found
      .filter(({ name }) => name.toLowerCase().startsWith(begun))
      .sort((a, b) => a.name.localeCompare(b.name) || a.userId.localeCompare(b.userId))
      .slice(0, MAX_SUGGESTIONS);
    const isComplete = suggestions.length === 1 && suggestions[0].name.toLowerCase() === begun;
    this.#suggestions = isComplete ? [] : suggestions;
    this.#selected = 0;
    this.#draw();
  }

  #textBeforeCaret() {
    return this.input.value.slice(0, this.input.selectionStart ?? 0);
  }

  #insert(/** @type {Suggestion} */ { userId, name }) {
    const before = this.#textBeforeCaret();
    const start = before.lastIndexOf("@");
    this.#chosen.set(name.toLowerCase(), userId);
    this.input.setRangeText(`@${name} `, start, before.length, "end");
    this.close();
    this.input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #draw() {
    const isOpen = this.#suggestions.length > 0;
    this.list.hidden = !isOpen;
    setAttribute(this.input, "aria-controls", isOpen ? "mentions" : null);
    setAttribute(this.input, "aria-activedescendant", isOpen ? `mention-${this.#selected}` : null);
    setChildren(
      this.list,
      this.#suggestions.map((suggestion, index) => this.#createOption(suggestion, index)),
    );
  }

  #createOption(/** @type {Suggestion} */ suggestion, /** @type {number} */ index) {
    const { userId, name } = suggestion;
    const attributes = {
      id: `mention-${index}`,
      role: "option",
      "aria-selected": String(index === this.#selected),
    };
    const isUnique = this.#suggestions.filter((other) => other.name === name).length === 1;
    const id = !isUnique && createElement("span", { class: "quiet" }, userId);
    const option = createElement("li", attributes, createAvatar(name, colourOf(userId), "small"), name, id);
    // Before the field loses its focus.
    option.addEventListener("pointerdown", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#insert(suggestion);
    });
    return option;
  }
}
