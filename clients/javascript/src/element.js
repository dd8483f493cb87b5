// What both custom elements share: one connection for a page, attributes, colours.
import { connect } from "./client.js";

/** One client for an app and identity, however many elements there are. @type {Map<string, {client: import("./client.js").Client, users: number}>} */
const clients = new Map();
/** The sessions of guests, so that an element that is moved or changed stays the same guest. @type {Map<string, string>} */
const guestSessions = new Map();
const scriptOrigin = new URL(import.meta.url).origin;

/** Colours and sizes: a page sets them on the element. */
const STYLE = `
  :host {
    --_text: var(--townsquare-text, light-dark(#23282d, #ebe6de));
    --_quiet: var(--townsquare-quiet, light-dark(#5f5b53, #a7adb3));
    --_background: var(--townsquare-background, light-dark(#fdfbf7, #1a1f24));
    --_line: var(--townsquare-line, light-dark(#d8d1c4, #3a434b));
    --_accent: var(--townsquare-accent, light-dark(#a8442a, #ec9a7a));
    --_on-accent: var(--townsquare-on-accent, light-dark(#ffffff, #2b130a));
    --_own: var(--townsquare-own, light-dark(#f8e4d8, #43291f));
    --_warning: var(--townsquare-warning, light-dark(#85580a, #ecbe66));
    color-scheme: light dark;
    display: block; box-sizing: border-box; overflow: hidden;
    font: var(--townsquare-font, 15px/1.45 system-ui, sans-serif);
    color: var(--_text); background: var(--_background);
    border: 1px solid var(--_line); border-radius: var(--townsquare-radius, 12px);
  }
  :host([hidden]), [hidden] { display: none !important; }
  *, ::before, ::after { box-sizing: border-box; }
  .quiet { color: var(--_quiet); font-size: 0.86em; }
  .state::before { content: ""; display: inline-block; width: 8px; height: 8px; margin-right: 6px; border-radius: 50%; background: var(--_warning); }
  .state[data-state="live"]::before { background: light-dark(#19734a, #62d099); }
  header { display: flex; gap: 12px; align-items: baseline; padding: 10px 14px; border-bottom: 1px solid var(--_line); }
  h2 { flex: 1; min-width: 0; margin: 0; font-size: 1.05em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
`;

export class TownsquareElement extends HTMLElement {
  /** For pages that renew sessions: asked for at each request. @type {(() => string|null|Promise<string|null>)|null} */
  getSession = null;
  /** @type {import("./client.js").Client|null} */
  client = null;
  /** Why there is no connection, as far as it is known. @type {Error|null} */
  error = null;
  #key = "";
  /** @type {(() => void)[]} */
  #stops = [];

  constructor() {
    super();
    this.attachShadow({ mode: "open" });
  }

  connectedCallback() {
    // A parser sets the attributes first; a script may set properties before the next task.
    queueMicrotask(() => this.isConnected && !this.client && this.#start());
  }

  disconnectedCallback() {
    for (const stop of this.#stops.splice(0)) stop();
    const entry = clients.get(this.#key);
    this.client = null;
    if (!entry || (entry.users -= 1)) return;
    clients.delete(this.#key);
    entry.client.close();
  }

  /** @param {string} _ @param {string|null} before @param {string|null} now */
  attributeChangedCallback(_, before, now) {
    if (!this.client || before === now) return;
    this.disconnectedCallback();
    this.#start();
  }

  /** A listener that is removed with the element. @param {{on: Function}} emitter @param {string} event @param {Function} listener */
  listen(emitter, event, listener) {
    this.#stops.push(emitter.on(event, listener));
  }

  /** Style sheets of this kind pass the page's content security policy; <style> may not. @param {string} style @param {...Node} nodes */
  show(style, ...nodes) {
    const root = /** @type {ShadowRoot} */ (this.shadowRoot);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE + style);
    root.adoptedStyleSheets = [sheet];
    root.replaceChildren(...nodes);
  }

  /** Builds the element with `this.client`. */
  start() {}

  #start() {
    const url = this.getAttribute("url") ?? scriptOrigin;
    const [session, name] = [this.getAttribute("session"), this.getAttribute("name") ?? "guest"];
    this.#key = [url, session, session ? "" : name].join("\n");
    const entry = clients.get(this.#key) ?? { client: this.#connect(url, session, name), users: 0 };
    entry.users += 1;
    clients.set(this.#key, entry);
    this.client = entry.client;
    this.error = null;
    this.listen(entry.client, "state", (/** @type {string} */ _, /** @type {Error} */ error) => {
      this.error = error ?? null;
    });
    this.start();
  }

  /** @param {string} url @param {string|null} session @param {string} name */
  #connect(url, session, name) {
    const key = this.#key;
    const isGuest = !session && !this.getSession;
    const known = isGuest ? guestSessions.get(key) : session;
    const getSession = () => this.getSession?.() ?? null;
    const client = connect({ url, session: known, name: known ? undefined : name, getSession });
    if (!isGuest) return client;
    client.on("session", ({ session: proof }) => guestSessions.set(key, proof));
    client.on("state", (state, error) => state === "closed" && error && guestSessions.delete(key));
    return client;
  }
}

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node|string)} children
 * @returns {any}
 */
export function createElement(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/** A user's id without the suffix that makes it unique. @param {string} userId */
export const displayName = (userId) => userId.replace(/[-_][^-_]*$/, "") || userId;
