// A client of a Townsquare app: one connection, its rooms, direct conversations and streams.
import { systemClock } from "./clock.js";
import { Connection } from "./connection.js";
import { DirectConversation } from "./direct.js";
import { Emitter } from "./emitter.js";
import { HttpClient } from "./http.js";
import { JoinQueue } from "./join-queue.js";
import { OutboxStorage } from "./outbox-storage.js";
import { Outbox, createId } from "./outbox.js";
import { Room } from "./room.js";
import { Streams } from "./stream.js";
import { webSocketClass } from "#websocket";

/** @typedef {import("./conversation.js").Conversation} Conversation */

/**
 * @typedef {{user_id: string, name: string, status: string, colour: number|null, operator: boolean,
 *   session: string|null, blocked?: string[]}} Profile
 */

/**
 * @typedef {object} ConnectOptions
 * @property {string} [url] the app's address; default: the origin of the page
 * @property {string|null} [session] the proof of an identity, as `/api/negotiate` or the app's
 *   backend gives it
 * @property {() => string|null|Promise<string|null>} [getSession] the same, asked for at each request
 * @property {string} [name] for a guest without a session: the name to be called by
 * @property {string} [userId] whose session it is, when that is known
 * @property {string[] | ((stream: import("./stream.js").Stream) => boolean)} [streams] the names of
 *   the streams to subscribe to at first, or a test for one; default: none
 * @property {import("./outbox-storage.js").StorageLike|null} [storage] where unsent messages survive
 *   a reload, for example `localStorage`; default: nowhere
 * @property {import("./clock.js").Clock} [clock]
 * @property {typeof WebSocket} [WebSocket]
 */

/** So many pages of conversations are read at most, 100 conversations each. */
const MAX_CONVERSATION_PAGES = 100;

/**
 * Connects to a Townsquare app.
 * @param {ConnectOptions} [options]
 */
export function connect(options = {}) {
  const client = new Client(options);
  client.open();
  return client;
}

/**
 * Events: `state (state, error?)`; `session ({userId, session})` when the server has given a proof;
 * `opened` at each new connection; `roomsjoined` when all rooms have answered it;
 * `caughtup ({missed})` when all rooms are joined again after a loss; `messages (conversation,
 * entries)`; `change (conversation)`; `left (room)` when the user has left it on another connection;
 * `stream (stream)`; `error (frame)`; `frame (frame)`, whatever comes; `socket (event)`.
 */
export class Client extends Emitter {
  /** @type {string|null} */
  userId = null;
  /** @type {string|null} */
  session = null;
  /** @type {Map<string, Room>} */
  rooms = new Map();
  /** By user id. @type {Map<string, DirectConversation>} */
  directs = new Map();
  /** Rooms that have not answered since the connection was opened. @type {Set<Room>} */
  #unanswered = new Set();
  /** Rooms that were left, by name: whether the server has acknowledged it. @type {Map<string, boolean>} */
  #leftRooms = new Map();
  #missed = 0;
  /** Display names by user id, as they were last seen. @type {Map<string, string>} */
  names = new Map();
  /** @type {Map<string, string>} */
  #namesBefore = new Map();
  /** What users show beside their names, by user id. @type {Map<string, {status: string, colour: number|null}>} */
  profiles = new Map();
  /** The ids of the users whom this user blocks. @type {Set<string>} */
  blockedUsers = new Set();
  /** Requests whose acknowledgement is awaited, with their refusal. @type {Map<string, any>} */
  #requests = new Map();
  /** Whether this user may moderate every room. */
  isOperator = false;
  #openedBefore = false;
  #isBack = false;
  /** @type {string|null} */
  #name;

  /** @param {ConnectOptions} options */
  constructor(options) {
    super();
    this.clock = options.clock ?? systemClock;
    this.session = options.session ?? null;
    this.userId = options.userId ?? null;
    this.#name = options.name ?? null;
    const getSession = async () =>
      (options.getSession ? await options.getSession() : null) ?? this.session;
    this.http = new HttpClient(options.url ?? "", getSession);
    const wanted = options.streams ?? [];
    this.streams = new Streams(this, Array.isArray(wanted) ? ({ name }) => wanted.includes(name) : wanted);
    this.wantsStreams = !Array.isArray(wanted) || wanted.length > 0;
    this.outbox = new Outbox({
      send: (key, message) => this.conversation(key).post(message),
      changed: (key) => this.conversation(key).changed(),
      clock: this.clock,
      storage: new OutboxStorage(options.storage ?? null),
    });
    this.connection = new Connection({
      negotiate: () => this.#negotiate(),
      clock: this.clock,
      webSocketClass: options.WebSocket
        ? () => /** @type {typeof WebSocket} */ (options.WebSocket)
        : webSocketClass,
    });
    this.joins = new JoinQueue(this.clock);
    this.#observe();
    if (this.userId) this.#restoreOutbox(this.userId);
  }

  /** @returns {import("./connection.js").ConnectionState} */
  get state() {
    return this.connection.state;
  }

  open() {
    globalThis.addEventListener?.("online", this.check);
    globalThis.addEventListener?.("offline", this.check);
    this.connection.open();
  }

  /** Closes the connection; `open` takes it up again. */
  close() {
    globalThis.removeEventListener?.("online", this.check);
    globalThis.removeEventListener?.("offline", this.check);
    this.connection.close();
  }

  /** Looks at once whether the connection lives; without one, tries again at once. */
  check = () => this.connection.check();

  /** @returns {Promise<void>} resolved when there is a connection, rejected when it is refused */
  async connected() {
    if (this.state === "live") return;
    await new Promise((resolve, reject) => {
      const stop = this.on("state", (state, error) => {
        if (state !== "live" && !(state === "closed" && error)) return;
        stop();
        if (state === "live") resolve(undefined);
        else reject(error);
      });
    });
  }

  /** A room; `join` it to get its messages. Names fold case. @param {string} name */
  room(name) {
    const room = this.rooms.get(name.toLowerCase()) ?? new Room(this, name.toLowerCase());
    this.rooms.set(room.name, room);
    return room;
  }

  /** The conversation with one user. @param {string} userId */
  direct(userId) {
    const direct = this.directs.get(userId) ?? new DirectConversation(this, userId);
    this.directs.set(userId, direct);
    return direct;
  }

  /** @param {string} name */
  stream(name) {
    return this.streams.stream(name);
  }

  /** By its key: a room's name, or "@" and a user's id. @param {string} key @returns {Room | DirectConversation} */
  conversation(key) {
    return key.startsWith("@") ? this.direct(key.slice(1)) : this.room(key);
  }

  /** @returns {(Room | DirectConversation)[]} */
  get conversations() {
    return [...this.rooms.values(), ...this.directs.values()];
  }

  /**
   * Learns the user's rooms and direct conversations and what is unread in them; joins the rooms.
   * @returns {Promise<void>}
   */
  async loadConversations() {
    await Promise.all([this.#loadSummaries(), this.profile()]);
  }

  /** Reads page by page: the direct conversations come first. */
  async #loadSummaries() {
    let after = "";
    for (let count = 0; count < MAX_CONVERSATION_PAGES; count++) {
      const { rooms, direct, next } = await this.http.get(`/api/rooms?${new URLSearchParams({ after })}`);
      for (const { room: name, title, topic, ...summary } of rooms) {
        if (this.#leftRooms.has(name)) continue;
        const room = this.room(name);
        if (!room.isJoined) Object.assign(room, { title: title ?? "", topic: topic ?? "" });
        if (!room.isWanted && room.error?.code !== "removed") {
          room.isNew = false;
          room.join();
        }
        if (!room.isNew) room.summarized(summary);
      }
      for (const { user_id: userId, name, ...summary } of direct) {
        this.learnProfiles([{ ...summary, user_id: userId, name }]);
        this.direct(userId).summarized(summary);
      }
      if (!next) return;
      after = next;
    }
  }

  /**
   * The open rooms that are listed, a page of up to 50 by name.
   * @param {{after?: string, limit?: number}} [query] `after` is the `next` of the page before
   * @returns {Promise<{rooms: {room: string, title: string, topic: string, members: number}[],
   *   next?: string}>}
   */
  directory({ after, limit } = {}) {
    const parameters = new URLSearchParams({ all: "1" });
    if (after) parameters.set("after", after);
    if (limit) parameters.set("limit", String(limit));
    return this.http.get(`/api/rooms?${parameters}`);
  }

  /**
   * Blocks a user: no direct messages, reactions or mentions between the two. The other user is not
   * told.
   * @param {string} userId @returns {Promise<void>}
   */
  block(userId) {
    return this.request("block", { user_id: userId, on: true });
  }

  /** @param {string} userId @returns {Promise<void>} */
  unblock(userId) {
    return this.request("block", { user_id: userId, on: false });
  }

  /** Discards the unsent messages and all conversations. */
  forget() {
    this.outbox.clear();
    this.rooms.clear();
    this.directs.clear();
  }

  /**
   * Sends an event of the app as it is and waits for its acknowledgement.
   * @param {string} event @param {object} data @returns {Promise<void>}
   */
  sendEvent(event, data) {
    return this.connection.send(event, data);
  }

  /**
   * Sends an event with an id of its own; rejected with the code of a refusal.
   * @param {string} event @param {object} data @returns {Promise<void>}
   */
  async request(event, data) {
    const id = createId();
    this.#requests.set(id, null);
    try {
      await this.sendEvent(event, { ...data, id });
      const refusal = this.#requests.get(id);
      if (refusal) throw Object.assign(new Error(refusal.message), refusal);
    } finally {
      this.#requests.delete(id);
    }
  }

  /**
   * This user's name, status and colour, and whom this user blocks.
   * @returns {Promise<Profile>}
   */
  async profile() {
    const profile = await this.http.get("/api/me");
    this.learnProfiles([profile]);
    this.blockedUsers = new Set(profile.blocked ?? []);
    this.isOperator = profile.operator;
    for (const conversation of this.conversations) conversation.changed();
    return profile;
  }

  /**
   * Changes this user's name, status or colour, without a new connection. The others in the user's
   * rooms get the change; the name of messages that are stored stays.
   * @param {{name?: string, status?: string, colour?: number|null}} changes
   * @returns {Promise<Profile>}
   */
  async updateProfile(changes) {
    const profile = await this.http.patch("/api/me", changes);
    this.learnProfiles([profile]);
    this.session = profile.session ?? this.session;
    this.emit("session", { userId: this.userId, session: this.session });
    for (const conversation of this.conversations) conversation.changed();
    return profile;
  }

  /** The display name of a user, as far as it is known. @param {string} userId */
  nameOf(userId) {
    return this.names.get(userId) ?? (userId.replace(/[-_][^-_]*$/, "") || userId);
  }

  /** @param {{user_id: string, name?: string}[]} users */
  learnNames(users) {
    for (const { user_id: userId, name } of users) {
      if (!name || this.names.get(userId) === name) continue;
      this.#namesBefore.set(userId, this.nameOf(userId));
      this.names.set(userId, name);
    }
  }

  /** @param {{user_id: string, name?: string, status?: string, colour?: number|null}[]} users */
  learnProfiles(users) {
    this.learnNames(users);
    for (const { user_id: userId, status = "", colour = null } of users)
      this.profiles.set(userId, { status, colour });
  }

  /** The display name that a user had before the present one. @param {string} userId */
  nameBefore(userId) {
    return this.#namesBefore.get(userId) ?? this.nameOf(userId);
  }

  // --- what the parts of this client call ---------------------------------------------------

  /** Leaves a room: without a connection, with the next one. @param {Room} room */
  leaveRoom(room) {
    this.#leftRooms.set(room.name, false);
    this.#forgetRoom(room);
    this.#sendLeave(room.name);
  }

  /** @param {Room} room */
  #forgetRoom(room) {
    this.outbox.discardAll(room.key);
    this.rooms.delete(room.name);
    this.#unanswered.delete(room);
    this.emit("change", room);
  }

  /** @param {Room} room that is joined, perhaps after it was left */
  joinRoom({ name }) {
    this.#leftRooms.delete(name);
  }

  /** @param {string} name */
  async #sendLeave(name) {
    try {
      await this.sendEvent("leave", { room: name });
      if (this.#leftRooms.has(name)) this.#leftRooms.set(name, true);
    } catch {
      // It is sent with the next connection.
    }
  }

  /** The server takes a leave only of a connection in the room. */
  #repeatLeaves() {
    for (const [name, isAcknowledged] of this.#leftRooms) {
      if (isAcknowledged) continue;
      this.sendEvent("join", { room: name }).then(
        () => void (this.#leftRooms.has(name) && this.#sendLeave(name)),
        () => {}, // the next connection
      );
    }
  }

  /** A room was joined again, or refused. @param {Room} room @param {number} missed */
  roomAnswered(room, missed) {
    this.#missed += missed;
    room.changed();
    if (!this.#unanswered.delete(room) || this.#unanswered.size) return;
    if (this.#isBack) this.emit("caughtup", { missed: this.#missed });
    this.emit("roomsjoined");
  }

  #observe() {
    const { connection } = this;
    connection.on("state", (state, error) => this.emit("state", state, error));
    connection.on("socket", (event) => this.emit("socket", event));
    connection.on("opened", () => this.#opened());
    connection.on("recovered", () => {
      this.outbox.flushAll();
      for (const conversation of this.conversations) conversation.repeatRead();
      this.#repeatLeaves();
      this.joins.restart(this.#wantedRooms().filter((room) => !room.isJoined && !room.error));
      this.emit("caughtup", { missed: 0 });
    });
    connection.on("frame", (frame) => this.#received(frame));
  }

  async #negotiate() {
    const groups = this.wantsStreams || this.streams.all.size ? await this.streams.groups() : [];
    const response = await this.#requestConnection(groups).catch(async (error) => {
      if (error.code !== "unknown_group") throw error;
      await this.streams.load(); // a stream was deleted or switched off
      return this.#requestConnection(await this.streams.groups());
    });
    this.#name = null; // from now on the session proves the identity
    this.session = response.session ?? this.session;
    const isNew = this.userId !== response.user_id;
    this.userId = response.user_id;
    this.learnNames([response]);
    this.emit("session", { userId: this.userId, session: this.session });
    if (isNew) this.#restoreOutbox(response.user_id);
    for (const frame of Object.values(response.latest ?? {})) if (frame) this.streams.receive(frame);
    return response;
  }

  /** @param {string[]} groups @returns {Promise<any>} */
  #requestConnection(groups) {
    const body = this.#name ? { name: this.#name, groups } : { groups };
    return this.http.post("/api/negotiate", body);
  }

  /** Unsent messages of a room can only be sent from within it. @param {string} userId */
  #restoreOutbox(userId) {
    this.outbox.restore(userId);
    for (const key of this.outbox.keys) if (!key.startsWith("@")) this.room(key).isWanted = true;
  }

  /** The rooms that were used last come first. */
  #wantedRooms() {
    const wanted = [...this.rooms.values()].filter((room) => room.isWanted);
    return wanted.sort((a, b) => b.usedAt - a.usedAt);
  }

  /** A new connection is in no room: joins all again, each from where it left off. */
  #opened() {
    this.#missed = 0;
    this.#isBack = this.#openedBefore;
    this.#openedBefore = true;
    const wanted = this.#wantedRooms();
    this.#unanswered = new Set(wanted);
    for (const room of this.rooms.values()) room.connectionLost();
    this.joins.restart(wanted);
    for (const direct of this.directs.values()) if (direct.log.isStarted) direct.load();
    for (const direct of this.directs.values()) direct.repeatRead();
    this.#repeatLeaves();
    this.outbox.flushAll();
    this.emit("opened");
  }

  /** @param {any} frame */
  #received(frame) {
    if (typeof frame !== "object" || frame === null) return;
    this.emit("frame", frame);
    if (Object.hasOwn(this.#handlers, frame.type)) this.#handlers[frame.type](frame);
    else this.streams.receive(frame);
  }

  /** @type {Record<string, (frame: any) => void>} */
  #handlers = {
    joined: (frame) => this.#inRoom(frame, (room) => room.joined(frame)),
    left: (frame) => this.#inRoom(frame, (room) => (frame.elsewhere ? this.#leftElsewhere(room) : room.connectionLost())),
    message: (frame) => this.#inRoom(frame, (room) => room.receive(frame.epoch, [frame])),
    messages: (frame) => this.#inRoom(frame, (room) => room.receive(frame.epoch, frame.messages, frame.changes)),
    head: (frame) => this.#inRoom(frame, (room) => room.headReceived(frame)),
    system: (frame) => this.#inRoom(frame, (room) => room.presenceChanged([frame])),
    presence: (frame) => this.#inRoom(frame, (room) => room.presenceChanged(frame.changes)),
    room: (frame) => this.#inRoom(frame, (room) => room.settingsReceived(frame)),
    profile: (frame) => this.#inRoom(frame, () => this.learnProfiles([frame])),
    role: (frame) => this.#inRoom(frame, (room) => room.roleReceived(frame)),
    muted: (frame) => this.#inRoom(frame, (room) => room.muteReceived(frame)),
    removed: (frame) => this.#inRoom(frame, (room) => room.removed(frame)),
    blocked: ({ user_id: userId, on }) => {
      if (on) this.blockedUsers.add(userId);
      else this.blockedUsers.delete(userId);
      for (const conversation of this.conversations) conversation.changed();
    },
    typing: (frame) => {
      this.learnNames([frame]);
      this.#inRoom(frame, (room) => room.typingReceived(frame.user_id));
    },
    read: (frame) => {
      const conversation = frame.room ? this.rooms.get(frame.room) : this.direct(frame.to);
      conversation?.markedRead(frame.seq);
      conversation?.changed();
    },
    direct_message: (frame) => {
      const direct = this.direct(frame.from === this.userId ? frame.to : frame.from);
      direct.messageReceived(frame);
      direct.changed();
    },
    direct_messages: ({ users, epoch, messages, changes }) => {
      const other = users.find((/** @type {string} */ one) => one !== this.userId) ?? users[0];
      const direct = this.direct(other);
      if (direct.log.isStarted) direct.receive(epoch, messages, changes);
      else direct.load();
      direct.changed();
    },
    error: (frame) => this.#refused(frame),
  };

  /** @param {{room: string}} frame @param {(room: Room) => void} handle */
  #inRoom({ room: name }, handle) {
    const room = this.rooms.get(name);
    if (!room) return; // left meanwhile
    handle(room);
    room.changed();
  }

  /** The user has left a room on another connection. @param {Room} room */
  #leftElsewhere(room) {
    room.isWanted = room.isJoined = false;
    this.#forgetRoom(room);
    this.emit("left", room);
  }

  /** @param {any} frame */
  #refused(frame) {
    const room = this.rooms.get(frame.room);
    if (this.#requests.has(frame.id)) this.#requests.set(frame.id, frame);
    else if (frame.id) this.outbox.refuse({ ...frame, retry: frame.retry || frame.code === "not_in_room" });
    if (room) room.refused(frame);
    room?.changed();
    this.emit("error", frame);
  }
}
