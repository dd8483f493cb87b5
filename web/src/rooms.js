// The rooms and direct conversations of this person: what is in them, who is there, what is unread.
import { Channel } from "./channel.js";
import { NotConnected, Outbox } from "./outbox.js";
import { Place, isPlace } from "./place.js";

/** @typedef {import("./channel.js").Entry} Entry */

const PAGE = 50;
const FILL = 200;
/** Messages overtake each other for a moment; only a hole that stays is asked for. */
const HOLD = 400;
const TYPING_EVERY = 3_000;
const READ_EVERY = 800;
const JOIN_AGAIN = 2_000;
/** People who come back in a moment are not announced; so ask who is there, once all had that moment. */
const ROSTER_AFTER = 5_000;
export const LOBBY = "lobby";

export class Rooms {
  /** @type {Map<string, Place>} */
  places = new Map();
  /** @type {Place} */
  current;
  me = null;
  /** How many messages came while away, counted until every room has answered. */
  #missed = 0;
  #awaiting = new Set();
  /** Whether this person was connected before, and could miss something. */
  #wasHere = false;
  #isBack = false;
  #typedAt = 0;
  #readTimers = new Map();

  /**
   * @param {{get: (path: string) => Promise<any>}} http
   * @param {(event: string, data: object) => Promise<any>} send
   * @param {{changed: () => void, news: (place: Place, entries: Entry[]) => void, caughtUp: (missed: number) => void, trouble: (sentence: string) => void}} hear
   * @param {Storage} storage
   */
  constructor(http, send, hear, storage = localStorage) {
    this.http = http;
    this.send = send;
    this.hear = hear;
    this.storage = storage;
    this.outbox = new Outbox(
      (key, { id, content }) => this.#post(this.place(key), id, content),
      () => hear.changed(),
    );
    for (const key of this.#kept()) this.place(key).isNew = false;
    this.current = this.place(LOBBY);
  }

  place(key) {
    if (!this.places.has(key)) this.places.set(key, new Place(key));
    return this.places.get(key);
  }

  get rooms() {
    return [...this.places.values()].filter((place) => !place.isDirect);
  }

  get directs() {
    return [...this.places.values()].filter((place) => place.isDirect);
  }

  get unread() {
    return [...this.places.values()].reduce((sum, place) => sum + place.unread, 0);
  }

  /** Goes to a room, or to a person ("@ann-7f3kq2"), making or joining it when it is new here. */
  open(key) {
    if (!isPlace(key)) throw new Error("A room's name is letters, digits, - and _, at most 64.");
    this.current = this.place(key);
    if (this.current.isDirect) this.#refresh(this.current);
    else if (!this.current.joined) this.#join(this.current);
    else this.#roster(this.current);
    this.hear.changed();
  }

  leave(key) {
    this.places.delete(key);
    this.#awaiting.delete(key);
    this.send("leave", { room: key }).catch(() => {});
    if (this.current.key === key) this.current = this.place(LOBBY);
    this.#keep();
    this.hear.changed();
  }

  say(content) {
    this.outbox.post(this.current.key, content);
  }

  typing() {
    if (!this.current.joined || Date.now() - this.#typedAt < TYPING_EVERY) return;
    this.#typedAt = Date.now();
    this.send("typing", { room: this.current.key }).catch(() => {});
  }

  /** The person has this conversation before their eyes, to its end. */
  seen(place) {
    if (!place.log.isStarted || place.told >= place.log.last) return;
    place.read = place.told = place.log.last;
    if (place.unread) this.hear.changed();
    place.unread = 0;
    if (this.#readTimers.has(place.key)) return;
    this.#readTimers.set(
      place.key,
      setTimeout(() => {
        this.#readTimers.delete(place.key);
        this.send("read", { ...place.address, seq: place.read }).catch(() => {});
      }, READ_EVERY),
    );
  }

  /** Fetches the page before what is here. */
  async earlier(place) {
    if (place.loading || !place.log.isStarted || !place.log.more) return;
    place.loading = true;
    this.hear.changed();
    try {
      const before = place.log.entries[0]?.seq ?? place.log.last + 1;
      const page = await this.http.get(`${place.path}/history?limit=${PAGE * 2}&before=${before}`);
      place.log.earlier(page.epoch, page.messages, page.more);
    } catch (error) {
      this.hear.trouble(`Older messages could not be fetched. ${error.message}`);
    } finally {
      place.loading = false;
      this.hear.changed();
    }
  }

  /** A new connection is in no room: join all again, from where each one left off. */
  async connected(me) {
    this.me = me;
    this.#missed = 0;
    [this.#isBack, this.#wasHere] = [this.#wasHere, true];
    const currentFirst = (a, b) => (b === this.current) - (a === this.current);
    this.#awaiting = new Set(this.rooms.map((place) => place.key));
    for (const place of this.rooms.sort(currentFirst)) {
      place.joined = false;
      this.#join(place);
    }
    this.outbox.flushAll();
    await this.#overview();
  }

  forget() {
    this.storage.removeItem(this.#keepName);
    this.places.clear();
    this.outbox.forget();
    this.current = this.place(LOBBY);
    this.#wasHere = false;
    this.me = null;
  }

  /** One frame from the server. @returns {boolean} whether it was about a conversation */
  take(frame) {
    const handle = this.#handlers[frame.type];
    handle?.(frame);
    if (handle) this.hear.changed();
    return Boolean(handle);
  }

  #handlers = {
    joined: (frame) => this.#joined(this.place(frame.room), frame),
    left: ({ room }) => this.places.has(room) && (this.place(room).joined = false),
    message: (frame) => this.#receive(this.place(frame.room), frame.epoch, [frame]),
    messages: (frame) => this.#receive(this.place(frame.room), frame.epoch, frame.messages),
    direct_message: (frame) => this.#direct(frame),
    system: (frame) => this.place(frame.room).noted(frame, frame.user_id === this.me),
    typing: ({ room, user_id }) =>
      user_id !== this.me && this.place(room).types(user_id, this.hear.changed),
    read: (frame) => this.#readElsewhere(this.place(frame.room ?? `@${frame.to}`), frame.seq),
    error: (frame) => this.#refused(frame),
  };

  #join(place) {
    const { isStarted, epoch, last } = place.log;
    this.send("join", { room: place.key, ...(isStarted ? { after: last, epoch } : {}) }).catch(
      (error) => {
        if (error instanceof NotConnected) return; // the next connection joins
        setTimeout(() => this.places.get(place.key) === place && this.#join(place), JOIN_AGAIN);
      },
    );
  }

  #joined(place, { epoch, head, users, count, messages, recovered, read }) {
    place.joined = true;
    place.trouble = null;
    place.present(users, count);
    place.told = read;
    const had = place.log.continues(epoch) ? place.log.last : null;
    place.read = Math.max(read, place.isNew ? head : 0, had === null ? 0 : place.read);
    if (place.isNew) this.#keep();
    place.isNew = false;
    if (recovered && had !== null) {
      this.#receive(place, epoch, messages);
      place.log.head = Math.max(place.log.head, head);
      this.#mend(place);
    } else {
      place.log.start({ epoch, head, messages });
      this.outbox.arrived(place.key, messages);
    }
    if (had !== null) this.#missed += Math.max(0, head - had);
    place.count(this.me);
    this.#answered(place);
    this.outbox.flush(place.key);
  }

  #answered(place) {
    if (!this.#awaiting.delete(place.key) || this.#awaiting.size) return;
    if (this.#isBack) this.hear.caughtUp(this.#missed);
    setTimeout(() => this.#roster(this.current), ROSTER_AFTER);
  }

  async #roster(place) {
    if (place.isDirect) return;
    const { changes } = place;
    const { users, count } = await this.http.get(`${place.path}/users`).catch(() => ({}));
    // Who came or went meanwhile is newer than the answer.
    if (users && place.changes === changes) place.present(users, count);
    this.hear.changed();
  }

  #receive(place, epoch, entries) {
    if (!place.log.isStarted) return; // its first page is on the way, and will have them
    for (const { from } of entries) place.typing.delete(from);
    const fresh = place.log.receive(epoch, entries);
    if (epoch !== place.log.epoch) return this.#beginAnew(place);
    this.#fresh(place, fresh);
    if (place.log.hasHole) this.#mend(place);
  }

  #fresh(place, entries) {
    if (!entries.length) return;
    this.outbox.arrived(place.key, entries);
    place.count(this.me);
    const others = entries.filter((entry) => entry.from !== this.me);
    if (others.length) this.hear.news(place, others);
  }

  #beginAnew(place) {
    if (place.isDirect) return this.#refresh(place);
    place.log = new Channel();
    this.#join(place);
  }

  /** Fills a hole from the history, when it does not fill by itself in a moment. */
  async #mend(place) {
    if (place.filling) return;
    place.filling = true;
    await pause(HOLD);
    try {
      while (place.log.hasHole) {
        const page = await this.http.get(
          `${place.path}/history?after=${place.log.last}&limit=${FILL}`,
        );
        if (page.epoch !== place.log.epoch) return this.#beginAnew(place);
        const fresh = place.log.receive(page.epoch, page.messages);
        this.#fresh(place, fresh.length ? fresh : place.log.skipHole());
      }
    } catch {
      // The next message, or the next connection, tries again.
    } finally {
      place.filling = false;
      this.hear.changed();
    }
  }

  #direct(frame) {
    const other = frame.from === this.me ? frame.to : frame.from;
    const place = this.place(`@${other}`);
    if (!place.log.isStarted) {
      place.log.start({ epoch: frame.epoch, head: frame.seq, messages: [frame] });
      return this.#fresh(place, [frame]);
    }
    this.#receive(place, frame.epoch, [frame]);
  }

  /** Brings a direct conversation up to date: nobody joins it, so nobody is told. */
  async #refresh(place) {
    const { log } = place;
    try {
      place.isOnline = (await this.http.get(`/api/users/${encodeURIComponent(place.who)}/online`)).online;
      const from = log.isStarted ? `after=${log.last}&limit=${FILL}` : `limit=${PAGE}`;
      const page = await this.http.get(`${place.path}/history?${from}`);
      if (page.epoch === log.epoch) this.#receive(place, page.epoch, page.messages);
      else log.start(page);
      log.head = Math.max(log.head, page.head);
      this.outbox.arrived(place.key, page.messages);
      place.count(this.me);
      if (log.hasHole) this.#mend(place);
    } catch (error) {
      place.trouble = error.message;
    }
    this.hear.changed();
  }

  async #overview() {
    const { rooms, direct } = await this.http
      .get("/api/rooms")
      .catch(() => ({ rooms: [], direct: [] }));
    for (const { room } of rooms) {
      if (this.places.has(room)) continue; // it is being joined, and that tells more
      this.place(room).isNew = false;
      this.#join(this.place(room));
    }
    for (const { user_id, read, unread } of direct) {
      const place = this.place(`@${user_id}`);
      place.told = read;
      place.read = Math.max(place.read, read);
      if (!place.log.isStarted) place.unread = unread;
    }
    for (const place of this.directs)
      if (place.log.isStarted || place === this.current) this.#refresh(place);
    this.hear.changed();
  }

  #readElsewhere(place, seq) {
    place.read = Math.max(place.read, seq);
    place.count(this.me);
  }

  #refused(frame) {
    if (frame.code === "not_in_room" && this.places.has(frame.room)) return this.#outside(frame);
    if (frame.event === "message" || frame.event === "direct") return this.outbox.refused(frame);
    if (frame.event !== "join" || !this.places.has(frame.room)) return;
    const place = this.place(frame.room);
    if (frame.retry) setTimeout(() => this.#join(place), frame.retry_after_ms ?? JOIN_AGAIN);
    else {
      place.trouble = frame.message;
      this.#answered(place);
    }
  }

  /** The server has us outside a room that we think we are in: go in, and say it again. */
  #outside(frame) {
    if (frame.id) this.outbox.refused({ ...frame, retry: true });
    const place = this.place(frame.room);
    if (place.joined) this.#join(place);
    place.joined = false;
  }

  async #post(place, id, content) {
    if (!place.isDirect && !place.joined) throw new NotConnected(); // it goes when the room is joined
    const event = place.isDirect ? "direct" : "message";
    await this.send(event, { ...place.address, content, id });
  }

  get #keepName() {
    return "townsquare.rooms";
  }

  #kept() {
    try {
      const kept = JSON.parse(this.storage.getItem(this.#keepName));
      return Array.isArray(kept) ? kept : [];
    } catch {
      return [];
    }
  }

  #keep() {
    const inside = this.rooms.filter((place) => place.joined).map((place) => place.key);
    this.storage.setItem(this.#keepName, JSON.stringify(inside));
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
