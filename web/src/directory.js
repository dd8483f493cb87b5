// The dialog that lists the open rooms, and creates one.
import { createElement, setChildren, setText } from "./dom.js";
import { texts } from "./texts.js";

export class Directory {
  /** @type {{room: string, title: string, topic: string, members: number}[]} */
  #rooms = [];
  /** @type {string|undefined} */
  #next = undefined;
  #isLoaded = false;

  /** @param {import("./workspace.js").Workspace} workspace */
  constructor(workspace) {
    this.workspace = workspace;
  }

  async open() {
    [this.#rooms, this.#next, this.#isLoaded] = [[], undefined, false];
    this.#create();
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.input.focus();
    await this.#load();
  }

  #create() {
    this.input = createElement("input", {
      type: "search",
      "aria-label": texts.directoryFilter,
      placeholder: texts.directoryFilter,
      maxlength: 64,
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "false",
    });
    this.status = createElement("p", { class: "quiet", role: "status" }, texts.directoryLoading);
    this.error = createElement("p", { class: "error", role: "alert" });
    this.list = createElement("ul", { class: "directory" });
    this.more = createElement("button", { class: "link", type: "button", hidden: true }, texts.showMore);
    this.create = createElement("button", { class: "primary" }, texts.createRoom);
    const close = createElement("button", { class: "plain-button", type: "button" }, texts.close);
    const form = createElement(
      "form",
      { method: "dialog" },
      createElement("h2", { id: "directory-title" }, texts.joinRoom),
      createElement("div", { class: "dialog-field" }, this.input),
      this.status,
      this.list,
      this.more,
      this.error,
      createElement("menu", {}, close, this.create),
    );
    this.dialog = createElement("dialog", { class: "wide", "aria-labelledby": "directory-title" }, form);
    close.addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.dialog.remove());
    this.input.addEventListener("input", () => this.#draw());
    this.more.addEventListener("click", () => this.#load());
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#join(toRoomName(this.input.value));
    });
    this.#draw();
  }

  async #load() {
    try {
      const page = await this.workspace.client.directory({ after: this.#next });
      this.#rooms.push(...page.rooms);
      this.#next = page.next;
      this.#isLoaded = true;
      this.#draw();
    } catch (error) {
      setText(this.status, "");
      setText(this.error, texts.directoryFailed(error.message));
    }
  }

  #draw() {
    const wanted = this.input.value.trim().toLowerCase();
    const found = this.#rooms.filter(({ room, title, topic }) =>
      [room, title, topic].some((text) => text.toLowerCase().includes(wanted)),
    );
    setChildren(this.list, found.map((room) => this.#createItem(room)));
    if (this.#isLoaded)
      setText(this.status, found.length ? "" : wanted ? texts.directoryNoMatch : texts.directoryEmpty);
    this.more.hidden = this.#next === undefined;
    const name = toRoomName(this.input.value);
    this.create.hidden = !name || this.#rooms.some(({ room }) => room === name.toLowerCase());
    setText(this.create, texts.createRoomNamed(name));
    setText(this.error, "");
  }

  #createItem({ room, title, topic, members }) {
    const isJoined = this.workspace.client.rooms.get(room)?.isJoined ?? false;
    return createElement(
      "li",
      {},
      createElement(
        "button",
        { class: "directory-room", type: "button", onclick: () => this.#join(room) },
        createElement("b", {}, title || `#${room}`),
        title && createElement("span", { class: "quiet" }, `#${room}`),
        createElement("span", { class: "quiet members" }, texts.peopleOnline(members)),
        topic && createElement("span", { class: "topic" }, topic),
        isJoined && createElement("span", { class: "role" }, texts.isJoined),
      ),
    );
  }

  #join(name) {
    try {
      this.workspace.open(name);
      this.dialog.close();
    } catch (error) {
      setText(this.error, error.message);
    }
  }
}

/** What a user types for a room's name: "#market place" is market-place. */
export const toRoomName = (text) => text.trim().replace(/^#/, "").replace(/\s+/g, "-");
