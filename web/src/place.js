// One place to talk: a room, or the conversation with one person. Who is there, what is unread.
import { Channel } from "./channel.js";
import { nameOf } from "./words.js";

const TYPING_LASTS = 5_000;
const NOTES = 30;
const ROOM = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** "@ann-7f3kq2" is the conversation with a person; anything else is a room's name. */
export const isDirect = (key) => key.startsWith("@");

export const isPlace = (key) => isDirect(key) || ROOM.test(key);

export class Place {
  log = new Channel();
  /** Presence, by user id: how many connections. @type {Map<string, number>} */
  people = new Map();
  /** In a crowd there are more people than are listed. */
  peopleCount = 0;
  /** How often somebody came or went. */
  changes = 0;
  /** Who is typing, and until when. @type {Map<string, number>} */
  typing = new Map();
  /** Comings and goings; they belong to no log. @type {{id: number, after: number, text: string}[]} */
  notes = [];
  read = 0;
  unread = 0;
  /** How far the server knows that it was read. */
  told = 0;
  /** First visit: nothing that was said before it is unread. */
  isNew = true;
  joined = false;
  /** Of a direct conversation: whether the other is connected, when last asked. @type {boolean|null} */
  isOnline = null;
  loading = false;
  filling = false;
  /** Why it cannot be used, in the server's words. @type {string|null} */
  trouble = null;
  #lastNote = 0;

  constructor(key) {
    this.key = key;
    this.isDirect = isDirect(key);
    this.who = this.isDirect ? key.slice(1) : null;
    this.name = this.isDirect ? nameOf(this.who) : key;
    this.path = this.isDirect
      ? `/api/direct/${encodeURIComponent(this.who)}`
      : `/api/rooms/${encodeURIComponent(key)}`;
    /** How events name it. */
    this.address = this.isDirect ? { to: this.who } : { room: key };
  }

  present(users, count) {
    this.people = new Map(users.map((user) => [user.user_id, user.connections]));
    this.peopleCount = count;
  }

  /** Somebody else came or went. */
  noted({ event, user_id: userId, content }, isMe) {
    const came = event === "joined";
    this.changes += 1;
    if (came !== this.people.has(userId)) this.peopleCount += came ? 1 : -1;
    if (came) this.people.set(userId, 1);
    else this.people.delete(userId);
    this.typing.delete(userId);
    if (isMe) return;
    const note = { id: (this.#lastNote += 1), after: this.log.last, text: content };
    this.notes = [...this.notes, note].slice(-NOTES);
  }

  /** Somebody types, or did until now; `lapsed` is called when they do not any more. */
  types(userId, lapsed) {
    const until = Date.now() + TYPING_LASTS;
    this.typing.set(userId, until);
    setTimeout(() => {
      if (this.typing.get(userId) === until && this.typing.delete(userId)) lapsed();
    }, TYPING_LASTS);
  }

  /** Unread is what others said after what was read; beyond the page that is here, by number alone. */
  count(me) {
    const { entries, last } = this.log;
    const first = entries[0]?.seq ?? last + 1;
    const unseen = entries.filter((entry) => entry.seq > this.read && entry.from !== me).length;
    this.unread = unseen + Math.max(0, first - 1 - this.read);
  }
}
