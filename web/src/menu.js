// A menu at a button: by mouse, touch and keyboard.
import { byId, createElement, setAttribute, setChildren } from "./dom.js";
import { texts } from "./texts.js";

/**
 * @typedef {{text: string, act: () => void, isDangerous?: boolean}} MenuItem
 * @typedef {{label: string, choices: {text: string, label: string, isPressed: boolean, act: () => void}[]}} MenuRow
 *   several items in one row, for example emojis
 */

const MARGIN_PX = 8;

export class Menu {
  /** @type {HTMLElement|null} */
  #opener = null;
  /** What gets the focus when the menu is closed. @type {HTMLElement|null} */
  #origin = null;

  constructor() {
    this.node = byId("menu");
    this.node.addEventListener("keydown", (event) => this.#keyPressed(event));
    // For example when the keyboard of a phone is hidden.
    addEventListener("resize", () => this.node.matches(":popover-open") && this.#place(this.#opener));
    this.node.addEventListener("toggle", ({ newState }) => newState === "closed" && this.#closed());
  }

  /**
   * @param {HTMLElement} opener @param {(MenuItem | MenuRow)[]} items
   * @param {object} [options]
   * @param {HTMLElement} [options.origin] what gets the focus afterwards; default: the opener
   * @param {HTMLElement} [options.header] what is shown above the items; it has an id
   * @param {string} [options.label] for screen readers
   */
  open(opener, items, { origin = opener, header, label = texts.actions } = {}) {
    this.#opener = opener;
    this.#origin = origin;
    setAttribute(this.node, "aria-label", label);
    setAttribute(this.node, "aria-describedby", header?.id ?? null);
    setChildren(this.node, [header, ...items.map((item) => this.#createItem(item))].filter(Boolean));
    opener.closest("main, nav, aside")?.append(this.node); // a part of the page that is in view
    this.node.showPopover();
    this.#place(opener);
    this.#items[0]?.focus();
  }

  get #items() {
    return [...this.node.querySelectorAll("button")];
  }

  #createItem(item) {
    if (!("choices" in item)) return this.#createButton(item.text, item, {});
    const buttons = item.choices.map((choice) =>
      this.#createButton(choice.text, choice, { "aria-label": choice.label, title: choice.label }),
    );
    return createElement("div", { class: "menu-row", role: "group", "aria-label": item.label }, ...buttons);
  }

  #createButton(text, { act, isDangerous, isPressed }, attributes) {
    const onclick = () => {
      this.node.hidePopover();
      act();
    };
    const kind = isPressed === undefined ? {} : { role: "menuitemcheckbox", "aria-checked": String(isPressed) };
    return createElement(
      "button",
      { role: "menuitem", ...kind, ...attributes, class: isDangerous && "danger", tabindex: "-1", onclick },
      text,
    );
  }

  /** Below the button, or above it where there is no room; to its right; always inside of the window. */
  #place(opener) {
    const button = opener.getBoundingClientRect();
    const { width, height } = this.node.getBoundingClientRect();
    const top = button.bottom + height > innerHeight ? button.top - height : button.bottom;
    const left = Math.min(button.left, innerWidth - width - MARGIN_PX);
    this.node.style.top = `${Math.max(MARGIN_PX, Math.min(top, innerHeight - height - MARGIN_PX))}px`;
    this.node.style.left = `${Math.max(MARGIN_PX, left)}px`;
  }

  #keyPressed(event) {
    const items = this.#items;
    const index = items.indexOf(document.activeElement);
    const row = document.activeElement.closest(".menu-row");
    const steps = {
      ArrowDown: row ? items.indexOf(row.lastElementChild) + 1 : index + 1,
      ArrowUp: index - 1,
      ArrowRight: row ? index + 1 : index,
      ArrowLeft: row ? index - 1 : index,
      Home: 0,
      End: -1,
    };
    if (event.key === "Tab") return this.node.hidePopover();
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    items.at(steps[event.key] % items.length)?.focus();
  }

  /** The focus goes back, unless an item has put it elsewhere. */
  #closed() {
    const { activeElement } = document;
    if (activeElement !== document.body && !this.node.contains(activeElement)) return;
    const origin = this.#origin?.isConnected ? this.#origin : this.#opener;
    origin?.focus();
  }
}
