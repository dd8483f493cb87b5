// Shows the rooms, the direct conversations and who is here.
import { arrange, at, el, monogram, perFrame, say } from "./dom.js";
import { LOBBY } from "./rooms.js";
import { nameOf } from "./words.js";

const MOST_PEOPLE = 60;

export class Places {
  #items = new Map();

  /** @param {import("./rooms.js").Rooms} rooms @param {(key: string) => void} go */
  constructor(rooms, go) {
    this.rooms = rooms;
    this.go = go;
    this.draw = perFrame(() => this.#draw());
    at("join").addEventListener("submit", (event) => this.#join(event));
    addEventListener("keydown", (event) => this.#step(event));
  }

  #draw() {
    const byName = (a, b) => (b.key === LOBBY) - (a.key === LOBBY) || a.name.localeCompare(b.name);
    arrange(
      at("rooms"),
      this.rooms.rooms.sort(byName).map((place) => this.#item(place)),
    );
    arrange(
      at("directs"),
      this.rooms.directs.sort(byName).map((place) => this.#item(place)),
    );
    at("directs-section").hidden = this.rooms.directs.length === 0;
    this.#drawPeople();
  }

  #item(place) {
    const isHere = place === this.rooms.current;
    const key = ["place", place.key, isHere, place.unread, Boolean(place.trouble)].join("/");
    return this.#keep(`place ${place.key}`, key, () =>
      el(
        "li",
        {},
        el(
          "button",
          {
            class: "place",
            "aria-current": isHere && "page",
            onclick: () => this.go(place.key),
            title: place.key,
          },
          place.isDirect
            ? monogram(place.name, "small")
            : el("span", { class: "hash", "aria-hidden": "true" }, "#"),
          el("span", { class: "label" }, place.name),
          place.unread > 0 &&
            !isHere &&
            el(
              "b",
              { class: "badge" },
              place.unread > 99 ? "99+" : place.unread,
              el("span", { class: "aloud" }, " unread"),
            ),
          place.trouble && el("span", { class: "badge warn", title: place.trouble }, "!"),
        ),
      ),
    );
  }

  #drawPeople() {
    const { current, me } = this.rooms;
    const people = [...current.people.keys()].sort(
      (a, b) => (b === me) - (a === me) || a.localeCompare(b),
    );
    const more =
      Math.max(current.peopleCount, people.length) - Math.min(people.length, MOST_PEOPLE);
    const items = people.slice(0, MOST_PEOPLE).map((userId) => this.#person(userId, userId === me));
    if (more > 0)
      items.push(
        this.#keep("more", `more/${more}`, () =>
          el("li", { class: "quiet" }, `and ${more.toLocaleString()} more`),
        ),
      );
    arrange(at("people"), items);
    say(
      at("people-count"),
      current.isDirect ? "" : String(Math.max(current.peopleCount, people.length)),
    );
    at("people").parentElement.hidden = current.isDirect;
  }

  #person(userId, isMe) {
    const name = nameOf(userId);
    return this.#keep(`person ${userId}`, `person/${userId}/${isMe}`, () =>
      el(
        "li",
        {},
        el(
          "button",
          {
            class: "place",
            disabled: isMe,
            title: isMe ? userId : `Talk to ${name} alone (${userId})`,
            onclick: () => this.go(`@${userId}`),
          },
          monogram(name, "small"),
          el("span", { class: "label" }, name, isMe && el("span", { class: "quiet" }, " (you)")),
        ),
      ),
    );
  }

  /** The element made for this look of it, or a new one; a focused one keeps the focus. */
  #keep(name, look, make) {
    const kept = this.#items.get(name);
    if (kept?.look === look) return kept.node;
    const node = make();
    this.#items.set(name, { look, node });
    if (kept?.node.contains(document.activeElement)) {
      kept.node.replaceWith(node);
      node.querySelector("button")?.focus();
    }
    return node;
  }

  #join(event) {
    event.preventDefault();
    const input = at("join-name");
    const name = input.value.trim().replace(/^#/, "").replace(/\s+/g, "-");
    if (!name) return input.focus();
    try {
      this.go(name);
      input.value = "";
      say(at("join-trouble"), "");
    } catch (error) {
      say(at("join-trouble"), error.message);
    }
  }

  /** Alt and an arrow: the conversation above or below. */
  #step(event) {
    if (!event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    const keys = [...document.querySelectorAll("#rooms .place, #directs .place")];
    const here = keys.findIndex((node) => node.getAttribute("aria-current"));
    keys.at((here + (event.key === "ArrowDown" ? 1 : -1)) % keys.length)?.click();
  }
}
