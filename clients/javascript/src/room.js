// A room: joining it, who is in it, who is typing.
import { NotConnectedError } from "./connection.js";
import { Conversation } from "./conversation.js";

/** @typedef {import("./message-log.js").Entry} Entry */

/**
 * `after` is the seq of the message before it, or 0.
 * @typedef {{id: number, after: number, userId: string, event: string, name?: string,
 *   nameBefore?: string}} Notice
 */

const TYPING_TIMEOUT_MS = 5_000;
const TYPING_INTERVAL_MS = 3_000;
const JOIN_RETRY_MS = 2_000;
const MAX_NOTICES = 30;
/** The longest delay of a timer: 2^31 - 1 ms. */
const MAX_TIMER_MS = 2_147_483_647;
/** Somebody who is muted until somebody lifts it. */
const MUTED_UNTIL_LIFTED = "9999-12-31T23:59:59.999Z";
/** With these, whatever the event was: this user is not, or no longer, allowed into the room. */
const NO_ACCESS_CODES = ["unknown_room", "removed", "banned"];
const ROOM_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** @typedef {"owner" | "moderator" | "member"} Role */
/** @typedef {{title: string, topic: string, private: boolean, listed: boolean}} RoomSettings */

const RANKS = { member: 0, moderator: 1, owner: 2 };

/** @param {string} name */
export const isRoomName = (name) => ROOM_NAME.test(name);

/** Further events: `presence ({event, userId})`, `joined`. */
export class Room extends Conversation {
  isJoined = false;
  /** Whether this client wants to be in the room. */
  isWanted = false;
  /** First visit: nothing that was written before it is unread. */
  isNew = true;
  /** Who is in the room: connections by user id. In a large room not all are listed. @type {Map<string, number>} */
  users = new Map();
  userCount = 0;
  /** The number of joins and leaves. */
  presenceChanges = 0;
  /** Until when a user is typing, by user id. @type {Map<string, number>} */
  typingUsers = new Map();
  /** Joins, leaves and new names; they belong to no log. @type {Notice[]} */
  notices = [];
  title = "";
  topic = "";
  isPrivate = false;
  /** Whether the directory has the room. */
  isListed = false;
  /** This user's role. @type {Role} */
  role = "member";
  /** The owners and moderators who are known, by user id. @type {Map<string, Role>} */
  roles = new Map();
  /** Until when this user may not write here. @type {Date|null} */
  mutedUntil = null;
  /** Until when this user, who was removed, may not join; null in a private room. @type {Date|null} */
  removedUntil = null;
  #noticeCount = 0;
  #typedAt = 0;
  /** @type {{resolve: () => void, reject: (error: Error) => void}[]} */
  #waiting = [];

  /** @param {import("./client.js").Client} client @param {string} name */
  constructor(client, name) {
    if (!isRoomName(name)) throw new TypeError("A room's name is letters, digits, - and _, at most 64.");
    super(client, name, `/api/rooms/${encodeURIComponent(name)}`, { room: name });
    this.name = name;
  }

  /**
   * Joins the room, and joins it again after every new connection.
   * @returns {Promise<void>} resolved when it is joined, rejected when refused for good
   */
  join() {
    this.isWanted = true;
    this.use();
    this.client.joinRoom(this);
    if (this.isJoined) return Promise.resolve();
    /** @type {Promise<void>} */
    const joined = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    joined.catch(() => {}); // callers may ignore it
    this.requestJoin();
    return joined;
  }

  /** Leaves the room for good, on all connections. Its unsent messages are discarded. */
  leave() {
    this.isWanted = this.isJoined = false;
    this.client.leaveRoom(this);
  }

  /** Sends that this user is typing; call it at each key press. */
  typing() {
    const now = this.client.clock.now();
    if (!this.isJoined || now - this.#typedAt < TYPING_INTERVAL_MS) return;
    this.#typedAt = now;
    this.client.sendEvent("typing", this.address).catch(() => {});
  }

  /** The role of a user, as far as it is known. @param {string} userId @returns {Role} */
  roleOf(userId) {
    return userId === this.client.userId ? this.role : (this.roles.get(userId) ?? "member");
  }

  /** Whether this user may change the room's settings and roles. */
  get isOwner() {
    return this.role === "owner" || this.client.isOperator;
  }

  /** Whether this user may mute and remove another, and delete their messages. @param {string} userId */
  canModerate(userId) {
    if (userId === this.client.userId) return false;
    return this.client.isOperator || (this.role !== "member" && RANKS[this.role] > RANKS[this.roleOf(userId)]);
  }

  /**
   * Changes the room's settings; what is missing stays. For owners.
   * @param {Partial<RoomSettings>} changes @returns {Promise<void>}
   */
  async update(changes) {
    const path = `/api/moderation/rooms/${encodeURIComponent(this.name)}`;
    this.settingsReceived(await this.client.http.patch(path, changes));
    this.changed();
  }

  /**
   * The owners and moderators, a page of them; for these also everybody who is muted or removed.
   * @param {string} [after] the `next` of the page before
   * @returns {Promise<{members: {user_id: string, name: string, role: Role, muted_until?: string,
   *   removed_until?: string}[], next?: string}>}
   */
  members(after = "") {
    return this.client.http.get(`${this.path}/members?${new URLSearchParams({ after })}`);
  }

  /**
   * Gives a user a role. For owners.
   * @param {string} userId @param {Role} role @returns {Promise<void>}
   */
  setRole(userId, role) {
    return this.client.request("role", { ...this.address, user_id: userId, role });
  }

  /**
   * Keeps a user from writing here. For moderators and owners.
   * @param {string} userId @param {{minutes?: number}} [options] without minutes until it is lifted
   * @returns {Promise<void>}
   */
  mute(userId, { minutes } = {}) {
    return this.client.request("mute", { ...this.address, user_id: userId, minutes });
  }

  /** @param {string} userId @returns {Promise<void>} */
  unmute(userId) {
    return this.client.request("mute", { ...this.address, user_id: userId, on: false });
  }

  /**
   * Removes a user: for an hour, or for these minutes; from a private room for good. For moderators
   * and owners.
   * @param {string} userId @param {{minutes?: number}} [options] @returns {Promise<void>}
   */
  remove(userId, { minutes } = {}) {
    return this.client.request("remove", { ...this.address, user_id: userId, minutes });
  }

  /** @param {import("./outbox.js").PendingMessage} message */
  async post(message) {
    if (!this.isJoined) throw new NotConnectedError(); // it is sent when the room is joined
    await super.post(message);
  }

  /** Loads the users in the room. */
  async loadUsers() {
    const { presenceChanges } = this;
    const roster = await this.client.http.get(`${this.path}/users`).catch(() => null);
    // Joins and leaves during the request are newer than its response.
    if (roster && presenceChanges === this.presenceChanges) this.setUsers(roster.users, roster.count);
    this.changed();
  }

  /**
   * @param {{user_id: string, name?: string, connections: number, role?: Role, status?: string, colour?: number}[]} users
   * @param {number} count
   */
  setUsers(users, count) {
    this.client.learnProfiles(users);
    for (const { user_id: userId, role } of users) this.#setRole(userId, role ?? "member");
    this.users = new Map(users.map((user) => [user.user_id, user.connections]));
    this.userCount = count;
  }

  // --- what the connection and the server do ------------------------------------------------

  /** The connection is a new one, which is in no room. */
  connectionLost() {
    this.isJoined = false;
  }

  /** Joins the room when its turn comes. */
  requestJoin() {
    if (this.client.state === "live") this.client.joins.add(this); // else the next connection joins
  }

  /** Sends the join. It never throws. */
  async sendJoin() {
    const { log } = this;
    log.expectPage();
    const position = log.isStarted ? { after: log.last, epoch: log.epoch } : {};
    try {
      await this.client.sendEvent("join", { ...this.address, ...position });
    } catch (error) {
      // Without a connection the next one joins.
      if (!(error instanceof NotConnectedError)) this.#joinLater(JOIN_RETRY_MS);
    }
  }

  /** Whether the client has no such room any more. */
  get isLeft() {
    return this.client.rooms.get(this.name) !== this;
  }

  /** @param {any} frame the response to `join` */
  joined(frame) {
    const { epoch, head, users, count, messages, changes, recovered, read } = frame;
    this.isJoined = this.isWanted = true; // also a user who was removed and is admitted again
    this.error = null;
    this.role = frame.role ?? "member";
    this.settingsReceived(frame);
    this.#setMuted(frame.muted_until ?? null);
    this.setUsers(users, count);
    this.readOnServer = read;
    const position = this.log.isOfEpoch(epoch) ? this.log.last : null;
    this.read = Math.max(read, this.isNew ? head : 0, position === null ? 0 : Math.min(this.read, head));
    this.isNew = false;
    if (recovered && position !== null) {
      this.added(this.log.recover(epoch, messages, head, changes));
      if (this.log.hasGap) this.fillGap();
    } else {
      this.startFrom({ epoch, head, messages });
    }
    this.countUnread();
    for (const { resolve } of this.#waiting.splice(0)) resolve();
    this.emit("joined");
    const missed = recovered ? messages.length : head - (position ?? head);
    this.client.roomAnswered(this, position === null ? 0 : Math.max(0, missed));
    this.client.outbox.flush(this.key);
    this.repeatRead();
  }

  /** The server rejected a join, or an event because this connection is not in the room. @param {any} error */
  refused(error) {
    if (error.code === "not_in_room") {
      if (this.isJoined) this.requestJoin();
      this.isJoined = false;
      return;
    }
    const isRemoved = NO_ACCESS_CODES.includes(error.code);
    if (error.event !== "join" && !isRemoved) return;
    const retryAfterMs = error.retry_after_ms ?? JOIN_RETRY_MS;
    if (error.code === "rate_limited") return this.client.joins.delay(this, retryAfterMs);
    if (error.retry) return this.#joinLater(retryAfterMs);
    // The log ends before our position: it is another one now.
    if (error.code === "invalid_cursor" && this.log.isStarted) return this.restart();
    this.isJoined = false;
    this.error = { code: error.code, message: error.message };
    const reason = Object.assign(new Error(error.message), { code: error.code });
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
    this.client.roomAnswered(this, 0);
  }

  restart() {
    this.log = this.createLog();
    this.requestJoin();
  }

  /** @param {{event: string, user_id: string, name: string, status?: string, colour?: number}[]} changes who joined, left or has a new name */
  presenceChanged(changes) {
    for (const change of changes) {
      const { event, user_id: userId, name } = change;
      if (event === "left") this.client.learnNames([change]);
      else this.client.learnProfiles([change]);
      if (event !== "renamed") this.#userChanged(userId, event);
      // The user's other rooms have the same event: the name may be known already.
      else this.#addNotice({ userId, event, name, nameBefore: this.client.nameBefore(userId) });
    }
  }

  /** @param {string} userId @param {string} event */
  #userChanged(userId, event) {
    const hasJoined = event === "joined";
    this.presenceChanges += 1;
    if (hasJoined !== this.users.has(userId)) this.userCount += hasJoined ? 1 : -1;
    if (hasJoined) this.users.set(userId, 1);
    else this.users.delete(userId);
    if (hasJoined) this.client.directs.get(userId)?.wasSeen();
    this.typingUsers.delete(userId);
    this.emit("presence", { event, userId });
    if (userId !== this.client.userId) this.#addNotice({ userId, event });
  }

  /** @param {Omit<Notice, "id" | "after">} notice */
  #addNotice(notice) {
    const after = this.entries.at(-1)?.seq ?? 0; // the last seq may be that of a change
    const added = { id: (this.#noticeCount += 1), after, ...notice };
    this.notices = [...this.notices, added].slice(-MAX_NOTICES);
  }

  /** @param {RoomSettings} settings */
  settingsReceived({ title, topic, private: isPrivate, listed }) {
    this.title = title ?? "";
    this.topic = topic ?? "";
    this.isPrivate = isPrivate ?? false;
    this.isListed = listed ?? false;
  }

  /** @param {{user_id: string, name: string, role: Role}} frame */
  roleReceived({ user_id: userId, name, role }) {
    this.client.learnNames([{ user_id: userId, name }]);
    this.#setRole(userId, role);
  }

  /** @param {{until: string|null, on: boolean}} frame */
  muteReceived({ until, on }) {
    this.#setMuted(on ? (until ?? MUTED_UNTIL_LIFTED) : null);
  }

  /** This user was removed: does not join again by itself. @param {{until: string|null}} frame */
  removed({ until }) {
    this.isJoined = this.isWanted = false;
    this.error = { code: "removed", message: "You were removed from this room." };
    this.removedUntil = until ? new Date(until) : null;
  }

  /** @param {string} userId @param {Role} role */
  #setRole(userId, role) {
    if (userId === this.client.userId) this.role = role;
    if (role === "member") this.roles.delete(userId);
    else this.roles.set(userId, role);
  }

  /** @param {string|null} until */
  #setMuted(until) {
    const date = until === null ? null : new Date(until);
    this.mutedUntil = date;
    const milliseconds = date ? date.getTime() - this.client.clock.now() : 0;
    if (milliseconds <= 0 || milliseconds > MAX_TIMER_MS) return;
    this.client.clock.setTimeout(() => {
      if (this.mutedUntil !== date) return;
      this.mutedUntil = null;
      this.changed();
    }, milliseconds);
  }

  /** @param {{epoch: string, seq: number, members?: number}} head the server's heartbeat */
  headReceived({ epoch, seq, members }) {
    this.compareHead(epoch, seq);
    if (members === undefined || members === this.userCount) return;
    this.userCount = members;
    this.loadUsers();
  }

  /** @param {string} userId */
  typingReceived(userId) {
    if (userId === this.client.userId) return;
    const until = this.client.clock.now() + TYPING_TIMEOUT_MS;
    this.typingUsers.set(userId, until);
    this.client.clock.setTimeout(() => {
      if (this.typingUsers.get(userId) === until && this.typingUsers.delete(userId)) this.changed();
    }, TYPING_TIMEOUT_MS);
  }

  /** @param {string} epoch @param {Entry[]} entries @param {import("./message-log.js").Change[]} [changes] */
  receive(epoch, entries, changes = []) {
    for (const { from } of entries) this.typingUsers.delete(from);
    super.receive(epoch, entries, changes);
  }

  #joinLater(/** @type {number} */ milliseconds) {
    this.client.clock.setTimeout(() => {
      if (this.isWanted && !this.isJoined) this.requestJoin();
    }, milliseconds);
  }
}
