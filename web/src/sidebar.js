// Shows the rooms, the direct conversations and who is online in the room.
import { LOBBY } from "./address.js";
import { byId, createAvatar, createElement, createIcon, createStatus, hiddenText, oncePerFrame, setAttribute, setChildren, setText } from "./dom.js";
import { colourOf, displayName, formatInteger, statusOf } from "./format.js";
import { Directory, toRoomName } from "./directory.js";
import { createRoleBadge } from "./message-rows.js";
import { readItem, writeItem } from "./storage.js";
import { texts } from "./texts.js";

const MAX_USERS_SHOWN = 60;
const MAX_BADGE = 99;
const SECTIONS = ["rooms", "directs", "users"];

export class Sidebar {
  #items = new Map();
  #filter = "";

  /**
   * @param {import("./workspace.js").Workspace} workspace
   * @param {import("./menu.js").Menu} menu
   * @param {import("./person-actions.js").PersonActions} people
   */
  constructor(workspace, menu, people) {
    this.workspace = workspace;
    this.menu = menu;
    this.people = people;
    this.directory = new Directory(workspace);
    byId("browse-rooms").addEventListener("click", () => this.directory.open());
    this.collapsed = new Set(readItem("collapsed") ?? []);
    this.draw = oncePerFrame(() => this.#draw());
    byId("join-form").addEventListener("submit", (event) => this.#join(event));
    byId("filter").addEventListener("input", () => this.#filterChanged());
    byId("filter").addEventListener("keydown", (event) => this.#filterKeyPressed(event));
    byId("sidebar-scroll").addEventListener("scroll", () => this.#drawUnreadHints(), { passive: true });
    byId("unread-below").addEventListener("click", () => this.#scrollToUnread());
    for (const section of SECTIONS)
      byId(`${section}-title`).addEventListener("click", () => this.#toggleSection(section));
    addEventListener("keydown", (event) => this.#keyPressed(event));
  }

  #draw() {
    const { client } = this.workspace;
    const rooms = [...client.rooms.values()].filter((room) => room.isWanted);
    const directs = [...client.directs.values()];
    this.#drawSection("rooms", this.#arrange(rooms, (room) => room.title || room.name));
    this.#drawSection("directs", this.#arrange(directs, (one) => displayName(one.userId)));
    byId("directs-section").hidden = directs.length === 0;
    this.#drawUsers();
    this.#drawUnreadHints();
  }

  /** The lobby, then what is unread, then by name; only what the filter leaves. */
  #arrange(conversations, name) {
    const isUnread = (one) => one.unread > 0 && !this.workspace.muted.has(one.key);
    return conversations
      .filter((one) => name(one).toLowerCase().includes(this.#filter))
      .sort(
        (a, b) =>
          (b.key === LOBBY) - (a.key === LOBBY) ||
          isUnread(b) - isUnread(a) ||
          name(a).localeCompare(name(b)),
      );
  }

  #drawSection(section, conversations) {
    const isOpen = !this.collapsed.has(section) || this.#filter !== "";
    const shown = isOpen ? conversations : conversations.filter((one) => one.unread);
    const items = shown.map((one) => this.#conversationItem(one));
    if (this.#filter && !items.length && section === "rooms") items.push(this.#noMatch());
    setChildren(byId(section), items);
    setAttribute(byId(`${section}-title`), "aria-expanded", isOpen);
  }

  #noMatch() {
    return this.#reuse("no match", "", () => createElement("li", { class: "quiet" }, texts.noMatch));
  }

  #conversationItem(conversation) {
    const isCurrent = conversation === this.workspace.current;
    const isMuted = this.workspace.muted.has(conversation.key);
    const { key, unread, mentions, error } = conversation;
    const name =
      conversation.kind === "direct"
        ? displayName(conversation.userId)
        : conversation.title || conversation.name;
    const colour = conversation.kind === "direct" ? colourOf(conversation.userId) : null;
    const look = [isCurrent, unread, mentions, isMuted, error?.code, colour, name].join("/");
    return this.#reuse(`conversation ${key}`, look, () =>
      createElement(
        "li",
        {},
        createElement(
          "button",
          {
            class: `item${isMuted ? " muted" : ""}`,
            "aria-current": isCurrent && "page",
            onclick: () => this.workspace.open(key),
            title: key,
          },
          conversation.kind === "direct"
            ? createAvatar(name, colour, "small")
            : createElement("span", { class: "hash", "aria-hidden": "true" }, "#"),
          createElement("span", { class: "label" }, name),
          mentions > 0 &&
            !isCurrent &&
            createElement("b", { class: "badge mention" }, `@${formatUnread(mentions)}`, hiddenText(texts.unreadMentions)),
          unread > 0 &&
            !isCurrent &&
            createElement(
              "b",
              { class: "badge" },
              formatUnread(unread),
              hiddenText(texts.unread),
            ),
          error && createElement("span", { class: "badge warn", title: error.message }, "!"),
        ),
      ),
    );
  }

  #drawUsers() {
    const { client, current } = this.workspace;
    const isRoom = current.kind === "room";
    byId("users-section").hidden = !isRoom || current.error !== null;
    if (!isRoom) return;
    const me = client.userId;
    const isOpen = !this.collapsed.has("users") || this.#filter !== "";
    const users = [...current.users.keys()]
      .filter((userId) => displayName(userId).toLowerCase().includes(this.#filter))
      .sort((a, b) => (b === me) - (a === me) || a.localeCompare(b));
    const count = Math.max(current.userCount, current.users.size);
    const items = users.slice(0, MAX_USERS_SHOWN).map((userId) => this.#userItem(userId, userId === me));
    const more = this.#filter ? 0 : count - items.length;
    if (more > 0)
      items.push(
        this.#reuse("more", String(more), () =>
          createElement("li", { class: "quiet" }, texts.morePeople(more)),
        ),
      );
    setChildren(byId("users"), isOpen ? items : []);
    setAttribute(byId("users-title"), "aria-expanded", isOpen);
    setText(byId("user-count"), formatInteger(count));
  }

  #userItem(userId, isMe) {
    const { client, current } = this.workspace;
    const name = displayName(userId);
    const role = current.roleOf(userId);
    const isBlocked = client.blockedUsers.has(userId);
    const [colour, status] = [colourOf(userId), isBlocked ? "" : statusOf(userId)];
    const look = [name, isMe, role, isBlocked, colour, status].join("/");
    return this.#reuse(`user ${userId}`, look, () =>
      createElement(
        "li",
        { class: "person" },
        createElement(
          "button",
          {
            class: `item${isBlocked ? " muted" : ""}`,
            disabled: isMe,
            title: isMe ? userId : texts.messageUser(name, userId),
            onclick: () => this.workspace.open(`@${userId}`),
          },
          createAvatar(name, colour, "small"),
          createElement(
            "span",
            { class: "label" },
            name,
            isMe && createElement("span", { class: "quiet" }, texts.you),
            createStatus(status),
          ),
          isBlocked && createElement("span", { class: "role" }, texts.isBlocked),
          role !== "member" && createRoleBadge(role),
        ),
        !isMe && this.#createUserMenuButton(userId, name),
      ),
    );
  }

  #createUserMenuButton(userId, name) {
    const label = texts.personActions(name);
    const attributes = { class: "plain more", "aria-label": label, title: label, "aria-haspopup": "menu" };
    const button = createElement("button", attributes, createIcon("more"));
    button.addEventListener("click", () => this.people.openCard(this.menu, button, userId));
    return button;
  }

  /** The element made for this look of it, or a new one; a focused one keeps the focus. */
  #reuse(name, look, create) {
    const cached = this.#items.get(name);
    if (cached?.look === look) return cached.node;
    const node = create();
    this.#items.set(name, { look, node });
    if (cached?.node.contains(document.activeElement)) {
      cached.node.replaceWith(node);
      node.querySelector("button")?.focus();
    }
    return node;
  }

  #drawUnreadHints() {
    byId("unread-below").hidden = !this.#firstUnreadBelow();
  }

  #firstUnreadBelow() {
    const { bottom } = byId("sidebar-scroll").getBoundingClientRect();
    return [...byId("sidebar-scroll").querySelectorAll(".badge:not(.warn)")].find(
      (badge) => badge.getBoundingClientRect().top > bottom,
    );
  }

  #scrollToUnread() {
    this.#firstUnreadBelow()?.scrollIntoView({ block: "center" });
  }

  #toggleSection(section) {
    if (!this.collapsed.delete(section)) this.collapsed.add(section);
    writeItem("collapsed", [...this.collapsed]);
    this.draw();
  }

  #filterChanged() {
    this.#filter = byId("filter").value.trim().toLowerCase();
    this.draw();
  }

  #clearFilter() {
    byId("filter").value = "";
    this.#filterChanged();
  }

  #filterKeyPressed(event) {
    if (event.key === "Escape") {
      this.#clearFilter();
      byId("message-input").focus();
    }
    if (event.key !== "Enter") return;
    event.preventDefault();
    const first = byId("sidebar-scroll").querySelector(".item:not(:disabled)");
    if (!first) return;
    first.click();
    this.#clearFilter();
    byId("message-input").focus();
  }

  #join(event) {
    event.preventDefault();
    const input = byId("join-name");
    const name = toRoomName(input.value);
    if (!name) return input.focus();
    try {
      this.workspace.open(name);
      input.value = "";
      setText(byId("join-error"), "");
    } catch (error) {
      setText(byId("join-error"), error.message);
    }
  }

  /** Ctrl+K: the filter. Alt and an arrow: the conversation above or below. */
  #keyPressed(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      byId("filter").focus();
      byId("filter").select();
    }
    if (!event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    const items = [...document.querySelectorAll("#rooms .item, #directs .item")];
    const current = items.findIndex((node) => node.getAttribute("aria-current"));
    items.at((current + (event.key === "ArrowDown" ? 1 : -1)) % items.length)?.click();
  }
}

export const formatUnread = (count) =>
  count > MAX_BADGE ? texts.unreadMax : formatInteger(count);
