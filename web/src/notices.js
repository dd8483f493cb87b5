// Short messages above the page, visible in every part of it.
import { byId, setText } from "./dom.js";

const NOTICE_DURATION_MS = 7_000;

export class Notices {
  #timer = 0;
  /** A notice that is shown until its reason ends. */
  #permanent = "";

  /** @param {string} text shown for some seconds */
  show(text) {
    clearTimeout(this.#timer);
    setText(byId("notice"), text);
    this.#timer = setTimeout(() => setText(byId("notice"), this.#permanent), NOTICE_DURATION_MS);
  }

  /** @param {string} text */
  showPermanent(text) {
    clearTimeout(this.#timer);
    this.#permanent = text;
    setText(byId("notice"), text);
  }

  clearPermanent() {
    if (byId("notice").textContent === this.#permanent) setText(byId("notice"), "");
    this.#permanent = "";
  }
}
