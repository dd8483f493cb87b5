// The state of the page: the client, the open conversation, and the joined and muted rooms of this
// browser.
import { isRoomName } from "townsquare-client";
import { LOBBY, addressOf, readAddress } from "./address.js";
import { readItem, writeItem } from "./storage.js";
import { texts } from "./texts.js";

/** @typedef {import("townsquare-client").Client} Client */
/** @typedef {ReturnType<Client["conversation"]>} Conversation */

/** Users who come back in a moment are not announced: the roster is read again after it. */
const ROSTER_DELAY_MS = 5_000;
/** How often a rejected join of the open room is repeated: the user may be a member now. */
const REFUSED_RETRY_MS = 10_000;
/** How often the page asks whether the other user of an open direct conversation is connected. */
const ONLINE_INTERVAL_MS = 60_000;

export class Workspace {
  /** @type {Conversation} */
  current;

  /**
   * @param {Client} client
   * @param {{opened: (seq: number|null) => void, changed: () => void, notify: (text: string) => void}} page
   */
  constructor(client, page) {
    this.client = client;
    this.page = page;
    this.muted = new Set(readItem("muted") ?? []);
    this.current = client.room(LOBBY);
    this.current.join();
    for (const name of readItem("rooms") ?? []) {
      if (!isRoomName(name)) continue;
      client.room(name).isNew = false;
      client.room(name).join();
    }
    client.on("opened", () => client.loadConversations().catch(() => {}));
    client.on("roomsjoined", () => {
      this.#rememberRooms();
      setTimeout(() => this.#loadUsers(), ROSTER_DELAY_MS);
    });
    client.on("left", (room) => {
      if (room === this.current) this.open(LOBBY);
      this.#rememberRooms();
    });
    setInterval(() => this.#retryRefused(), REFUSED_RETRY_MS);
    setInterval(() => this.#loadOnline(), ONLINE_INTERVAL_MS);
    document.addEventListener("visibilitychange", () => this.#loadOnline());
    addEventListener("popstate", () => this.openAddress());
  }

  get unread() {
    return this.client.conversations.reduce(
      (sum, one) => sum + (this.muted.has(one.key) ? 0 : one.unread),
      0,
    );
  }

  /** Opens the conversation in the page's address. */
  openAddress() {
    const { key, seq, isValid } = readAddress(location.search, isRoomName);
    if (!isValid) this.page.notify(texts.badLink);
    this.#show(key, seq);
  }

  /**
   * Opens a conversation and puts it into the address, so that it can be shared and gone back from.
   * @param {string} key a room's name, or "@" and a user's id
   */
  open(key) {
    if (!key.startsWith("@") && !isRoomName(key)) throw new TypeError(texts.invalidRoomName);
    if (key !== this.current.key || new URLSearchParams(location.search).has("seq"))
      history.pushState(null, "", addressOf(location.href, key));
    this.#show(key, null);
  }

  /** The address of a message. @param {Conversation} conversation @param {number} seq */
  linkTo(conversation, seq) {
    return addressOf(location.href, conversation.key, seq);
  }

  leave() {
    const { current } = this;
    this.open(LOBBY);
    if (current.kind === "room") current.leave();
    this.#rememberRooms();
  }

  /** @param {string} key */
  toggleMuted(key) {
    if (!this.muted.delete(key)) this.muted.add(key);
    writeItem("muted", [...this.muted]);
    this.page.changed();
  }

  #show(/** @type {string} */ key, /** @type {number|null} */ seq) {
    this.current = this.client.conversation(key);
    if (this.current.kind === "direct") this.current.load();
    else if (this.current.isJoined) this.current.loadUsers();
    else this.current.join().then(() => this.#rememberRooms(), () => {});
    this.page.opened(seq);
  }

  #loadUsers() {
    if (this.current.kind === "room" && this.current.isJoined) this.current.loadUsers();
  }

  /** A page that nobody sees, or that has no connection, sends no requests. */
  get #isInUse() {
    return this.client.state === "live" && document.visibilityState === "visible";
  }

  #loadOnline() {
    const { current } = this;
    if (current.kind === "direct" && !current.error && this.#isInUse) current.loadOnline().catch(() => {});
  }

  #retryRefused() {
    const { current } = this;
    if (!current.error || !this.#isInUse) return;
    if (current.kind === "direct") current.load();
    else current.requestJoin();
  }

  #rememberRooms() {
    const joined = [...this.client.rooms.values()].filter((room) => room.isJoined);
    writeItem("rooms", joined.map((room) => room.name));
  }
}
