// Where one writes: grows with the text, sends with Enter, keeps a draft per conversation.
import { at, say } from "./dom.js";

const MOST = 4_000;
const WARN_AT = 3_600;

export class Compose {
  #drafts = new Map();
  #key = null;

  /** @param {import("./rooms.js").Rooms} rooms @param {() => void} sent */
  constructor(rooms, sent) {
    this.rooms = rooms;
    this.sent = sent;
    this.words = at("words");
    at("say").addEventListener("submit", (event) => this.#send(event));
    this.words.addEventListener("keydown", (event) => this.#pressed(event));
    this.words.addEventListener("input", () => this.#typed());
  }

  /** Another conversation has another draft. */
  turnTo(key) {
    if (this.#key === key) return;
    if (this.#key !== null) this.#drafts.set(this.#key, this.words.value);
    this.#key = key;
    this.words.value = this.#drafts.get(key) ?? "";
    this.#fit();
    // On a phone the keyboard would cover what one came to read.
    if (matchMedia("(pointer: fine)").matches) this.words.focus();
  }

  #pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    at("say").requestSubmit();
  }

  #typed() {
    this.#fit();
    if (this.words.value.trim()) this.rooms.typing();
  }

  #send(event) {
    event.preventDefault();
    const content = this.words.value.trim();
    this.words.focus();
    if (!content) return;
    this.words.value = "";
    this.#fit();
    this.rooms.say(content);
    this.sent();
  }

  #fit() {
    this.words.style.height = "auto";
    this.words.style.height = `${this.words.scrollHeight}px`;
    const left = MOST - this.words.value.length;
    say(at("words-left"), left < MOST - WARN_AT ? `${left} characters left` : "");
  }
}
