// <townsquare-room room="lobby">: a room to read and write in, in any page.
import { TownsquareElement, createElement, displayName } from "./element.js";
import { OriginError } from "./http.js";
import { isRoomName } from "./room.js";

const MAX_CHARACTERS = 4_000;
const MAX_ROWS = 200;

/** A translation sets the property `texts` before the element is connected. */
export const ROOM_TEXTS = {
  states: { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", closed: "Closed" },
  people: (/** @type {number} */ count) => (count === 1 ? "1 person online" : `${count} people online`),
  empty: "No messages yet. Say hello!",
  loading: "Loading messages…",
  earlier: "Earlier messages",
  message: "Message",
  messages: "Messages",
  send: "Send",
  unconfirmed: "Not confirmed yet",
  notSent: "Not sent.",
  deleted: "This message was deleted.",
  edited: "edited",
  noAccess: "This room doesn’t exist or is private.",
  failed: "The connection was refused.",
  you: "You",
};

const ROOM_STYLE = `
  :host { display: grid; grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr); height: 420px; }
  .log { overflow-y: auto; padding: 12px 14px; }
  .log:focus-visible { outline: 2px solid var(--_accent); outline-offset: -2px; }
  ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 6px; }
  li { justify-self: start; max-width: 88%; overflow-wrap: anywhere; white-space: pre-wrap; overflow: clip; padding: 6px 12px; border: 1px solid var(--_line); border-radius: 10px; }
  li.own { justify-self: end; background: var(--_own); border-color: transparent; }
  li.pending { opacity: 0.75; }
  .by { display: block; white-space: normal; }
  form { display: flex; gap: 8px; padding: 10px 14px; border-top: 1px solid var(--_line); }
  textarea { flex: 1; min-width: 0; resize: none; font: inherit; color: inherit; background: transparent; padding: 8px 12px; border: 1px solid var(--_quiet); border-radius: 10px; }
  button { font: inherit; font-weight: 600; padding: 0 14px; border: 0; border-radius: 10px; cursor: pointer; color: var(--_on-accent); background: var(--_accent); }
  button:disabled { opacity: 0.5; cursor: default; }
  :is(textarea, button):focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
  .earlier { display: block; margin: 0 auto 8px; min-height: 32px; color: var(--_accent); background: none; text-decoration: underline; }
`;

export class RoomElement extends TownsquareElement {
  static observedAttributes = ["url", "room", "session", "name"];
  texts = ROOM_TEXTS;
  /** The rows by what they show. @type {Map<string, HTMLElement>} */
  #rows = new Map();
  #isDrawing = false;
  /** @type {import("./room.js").Room|null} */
  room = null;

  start() {
    const client = /** @type {import("./client.js").Client} */ (this.client);
    const { texts } = this;
    const name = this.getAttribute("room") ?? "lobby";
    this.room = isRoomName(name) ? client.room(name) : null;
    this.heading = createElement("h2", {}, `#${name}`);
    this.count = createElement("span", { class: "quiet" });
    this.state = createElement("span", { class: "quiet state", role: "status" });
    this.earlier = createElement("button", { class: "earlier", type: "button" }, texts.earlier);
    this.top = createElement("p", { class: "quiet", role: "status" });
    this.list = createElement("ol");
    this.log = createElement(
      "div",
      { class: "log", role: "log", tabindex: "0", "aria-label": texts.messages },
      this.earlier,
      this.top,
      this.list,
    );
    this.input = createElement("textarea", { rows: "1", "aria-label": texts.message, placeholder: texts.message, maxlength: MAX_CHARACTERS });
    this.button = createElement("button", {}, texts.send);
    this.form = createElement("form", {}, this.input, this.button);
    const header = createElement("header", {}, this.heading, this.count, this.state);
    this.show(ROOM_STYLE, header, this.log, this.form);
    this.#rows.clear();
    this.#observe(client);
    this.room?.join().catch(() => {});
    this.#draw();
  }

  #observe(/** @type {import("./client.js").Client} */ client) {
    const { room, input, form, earlier } = this;
    this.listen(client, "state", () => this.#requestDrawing());
    if (room) this.listen(room, "change", () => this.#requestDrawing());
    form.addEventListener("submit", (/** @type {Event} */ event) => this.#send(event));
    input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#send(event);
    });
    input.addEventListener("input", () => room?.typing());
    earlier.addEventListener("click", () => room?.loadEarlier().catch(() => {}));
  }

  #send(/** @type {Event} */ event) {
    event.preventDefault();
    const content = this.input.value.trim();
    if (!content || this.input.disabled || this.client?.outbox.isFull) return;
    this.room?.send(content);
    this.input.value = "";
  }

  #requestDrawing() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      if (this.client) this.#draw();
    });
  }

  #draw() {
    const { room, client, texts, log } = this;
    if (!client) return;
    if (!room) return this.#drawNoRoom();
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 48;
    this.state.dataset.state = client.state;
    this.state.textContent = texts.states[client.state];
    this.count.textContent = room.userCount ? texts.people(room.userCount) : "";
    this.earlier.hidden = !room.log.hasMore;
    this.top.textContent = this.#describeTop(room, client.state);
    this.input.disabled = this.button.disabled = Boolean(room.error) || client.state === "closed";
    this.list.replaceChildren(...this.#createRows(room, client.userId));
    if (isAtEnd) log.scrollTop = log.scrollHeight;
    if (document.visibilityState === "visible") room.markRead();
  }

  /** The attribute `room` is no room's name. */
  #drawNoRoom() {
    this.earlier.hidden = true;
    this.top.textContent = this.texts.noAccess;
    this.input.disabled = this.button.disabled = true;
  }

  #describeTop(/** @type {import("./room.js").Room} */ room, /** @type {string} */ state) {
    if (room.error) return this.texts.noAccess;
    if (state === "closed") return this.texts.failed;
    if (this.error instanceof OriginError) return this.error.message;
    if (!room.log.isStarted) return this.texts.loading;
    return room.entries.length || room.pending.length ? "" : this.texts.empty;
  }

  #createRows(/** @type {import("./room.js").Room} */ room, /** @type {string|null} */ userId) {
    const rows = new Map();
    const keep = (/** @type {string} */ look, /** @type {() => HTMLElement} */ create) =>
      rows.set(look, this.#rows.get(look) ?? create());
    for (const entry of room.entries.slice(-MAX_ROWS))
      keep(`${room.log.epoch} ${entry.seq} ${entry.revision ?? 0} ${entry.deleted ?? false}`, () =>
        this.#createRow(entry, entry.from === userId, ""),
      );
    for (const message of room.pending)
      keep(`${message.id} ${message.state}`, () => {
        const note = { unconfirmed: this.texts.unconfirmed, failed: `${this.texts.notSent} ${message.reason ?? ""}` };
        return this.#createRow(message, true, /** @type {any} */ (note)[message.state] ?? " ");
      });
    this.#rows = rows;
    return rows.values();
  }

  #createRow(/** @type {any} */ { from, name, content, timestamp, edited, deleted }, /** @type {boolean} */ isOwn, /** @type {string} */ note) {
    const time = new Date(timestamp).toLocaleTimeString(document.documentElement.lang || "en", { hour: "2-digit", minute: "2-digit" });
    const author = isOwn ? this.texts.you : name || displayName(from);
    const by = createElement("span", { class: "by quiet", title: from ?? "" }, `${author} · ${time} ${note}`.trim());
    if (edited && !deleted) by.append(` · ${this.texts.edited}`);
    const text = deleted ? createElement("em", { class: "quiet" }, this.texts.deleted) : content;
    const row = createElement("li", { class: isOwn ? "own" : "" }, by, text);
    if (note) row.classList.add("pending");
    return row;
  }
}
