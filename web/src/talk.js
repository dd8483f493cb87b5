// Shows one conversation: a window of rows over the log, however long the log is.
import { arrange, at, el, icon, perFrame, say } from "./dom.js";
import { comingsRow, continues, dayRow, fate, messageRow, newRow } from "./rows.js";
import { count, day, list, nameOf } from "./words.js";

/** So many messages are in the page at once; scrolling moves the window over the log. */
const WINDOW = 150;
const STEP = 50;
/** Within this distance of its end the view follows what is new; of its edges, it fetches. */
const NEAR = 48;
const EDGE = 600;

export class Talk {
  /** @type {Map<string, HTMLElement>} the rows that are in the page, by what they show */
  #rows = new Map();
  #place = null;
  #epoch = null;
  /** The seq of the window's first message, or null: the window follows the end. */
  #top = null;
  #follows = true;
  #isMoving = false;
  /** The seq after which "new" begins: what was read when this was opened, or last looked at. */
  #newAfter = null;
  #unfolded = new Set();
  #on = { talkTo: (userId) => this.go(`@${userId}`), unfold: (seq) => this.#unfold(seq) };

  /** @param {import("./rooms.js").Rooms} rooms @param {(key: string) => void} go */
  constructor(rooms, go) {
    this.rooms = rooms;
    this.go = go;
    this.log = at("log");
    this.draw = perFrame(() => this.#draw());
    this.log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    at("newest").append(icon("down"), el("span"));
    at("newest").addEventListener("click", () => this.toNewest());
    at("leave").addEventListener("click", () => this.rooms.leave(this.rooms.current.key));
    document.addEventListener("visibilitychange", () => this.#lookedAway());
    new ResizeObserver(() => this.#follows && this.#toEnd()).observe(this.log);
  }

  get seesNewest() {
    return this.#follows && document.visibilityState === "visible" && this.log.clientHeight > 0;
  }

  toNewest() {
    this.#top = null;
    this.#follows = true;
    this.draw();
  }

  #draw() {
    const place = this.rooms.current;
    if (place !== this.#place || this.#isAnew(place.log.epoch)) this.#turnTo(place);
    this.#epoch = place.log.epoch;
    const mark = this.#follows ? null : this.#visibleRow();
    arrange(at("messages"), this.#wanted(place));
    this.#drawFrame(place);
    if (this.#follows) this.#toEnd();
    else if (mark) this.#putBack(mark);
    if (this.seesNewest) this.rooms.seen(place);
    if (this.#isMoving) {
      this.#isMoving = false;
      this.#scrolled(); // the window may have to go on
    }
  }

  /** Another epoch is another log; but an empty one ("") only gets its name. */
  #isAnew(epoch) {
    return epoch !== this.#epoch && this.#epoch !== "";
  }

  #turnTo(place) {
    this.#place = place;
    this.#rows.clear();
    this.#top = null;
    this.#follows = true;
    this.#newAfter = place.unread ? place.read : null;
  }

  /** The rows that shall be in the page; those that are there already stay the same elements. */
  #wanted(place) {
    const rows = new Map();
    for (const [look, make] of this.#script(place)) rows.set(look, this.#rows.get(look) ?? make());
    this.#rows = rows;
    return [...rows.values()];
  }

  /** What is seen, from top to bottom: its look, which tells one row from any other, and its making. */
  *#script(place) {
    const { entries } = place.log;
    const [start, end] = this.#range(entries);
    const notes = Map.groupBy(place.notes, (note) => note.after);
    const firstNew = this.#firstNew(entries);
    let [above, today] = [null, null];
    if (start === 0 && notes.has(0)) yield comings(notes.get(0));
    for (const entry of entries.slice(start, end)) {
      if (day(entry.timestamp) !== today) {
        [above, today] = [null, day(entry.timestamp)];
        const text = today;
        yield [`day ${today} ${entry.seq}`, () => dayRow(text)];
      }
      if (entry.seq === firstNew) {
        above = null;
        yield [`new ${entry.seq}`, newRow];
      }
      yield this.#said(entry, above);
      above = entry;
      if (!notes.has(entry.seq)) continue;
      above = null;
      yield comings(notes.get(entry.seq));
    }
    if (end === entries.length) yield* this.#underway(place, above);
  }

  #said(entry, above) {
    const look = {
      isOwn: entry.from === this.rooms.me,
      leads: !continues(above, entry),
      isUnfolded: this.#unfolded.has(entry.seq),
    };
    return [`${entry.seq} ${look.leads} ${look.isUnfolded}`, () => messageRow(entry, look, this.#on)];
  }

  *#underway(place, above) {
    for (const pending of this.rooms.outbox.of(place.key)) {
      const own = { ...pending, seq: pending.id, from: this.rooms.me };
      const [look, make] = this.#said(own, above);
      above = own;
      yield [`${look} ${pending.state}`, () => this.#onItsWay(place, pending, make())];
    }
  }

  #onItsWay(place, pending, row) {
    const { outbox } = this.rooms;
    row.classList.add(pending.state);
    row.querySelector(".bubble").append(
      fate(pending, {
        retry: () => outbox.retry(place.key, pending.id),
        discard: () => outbox.discard(place.key, pending.id),
      }),
    );
    return row;
  }

  #firstNew(entries) {
    if (this.#newAfter === null || entries[0]?.seq > this.#newAfter + 1) return null;
    return entries.find((entry) => entry.seq > this.#newAfter && entry.from !== this.rooms.me)?.seq;
  }

  /** @returns {[number, number]} the window, as indexes of the entries */
  #range(entries) {
    if (this.#top === null) return [Math.max(0, entries.length - WINDOW), entries.length];
    const start = indexOf(entries, this.#top);
    return [start, Math.min(entries.length, start + WINDOW)];
  }

  #unfold(seq) {
    this.#unfolded.add(seq);
    this.#follows = false;
    this.draw();
  }

  #lookedAway() {
    if (document.visibilityState === "hidden" && this.#place && !this.#place.unread)
      this.#newAfter = this.#place.log.last;
  }

  #drawFrame(place) {
    const { log } = place;
    const name = place.isDirect ? place.name : `#${place.name}`;
    say(at("room-title"), name);
    say(at("room-people"), place.isDirect ? company(place) : presence(place));
    at("leave").hidden = place.isDirect || place.key === "lobby";
    say(at("log-top"), topLine(place, name));
    at("log-top").classList.toggle("empty", log.isStarted && !log.entries.length);
    at("words").placeholder = `Message ${name}`;
    const typing = [...place.typing.keys()].map(nameOf);
    say(
      at("typing"),
      typing.length ? `${list(typing)} ${typing.length === 1 ? "is" : "are"} typing…` : "",
    );
    at("newest").hidden = this.#follows;
    say(at("newest").lastChild, place.unread ? `${count(place.unread, "new message")}` : "Newest");
  }

  #scrolled() {
    const { log } = this;
    const entries = this.#place?.log.entries ?? [];
    const [start, end] = this.#range(entries);
    const below = log.scrollHeight - log.scrollTop - log.clientHeight;
    const follows = below < NEAR && end === entries.length;
    if (follows !== this.#follows) {
      this.#follows = follows;
      if (!follows && this.#top === null) this.#top = entries[start]?.seq ?? null;
      if (follows) this.#top = null;
      this.draw();
    }
    if (follows) return;
    if (log.scrollTop < EDGE) this.#up(entries, start);
    else if (below < EDGE && end < entries.length)
      this.#moveTo(entries, Math.min(start + STEP, entries.length - WINDOW));
  }

  async #up(entries, start) {
    if (start > 0) return this.#moveTo(entries, start - STEP);
    if (!this.#place.log.more || this.#place.loading) return;
    const place = this.#place;
    await this.rooms.earlier(place);
    if (place === this.#place && this.log.scrollTop < EDGE)
      this.#moveTo(place.log.entries, indexOf(place.log.entries, this.#top) - STEP);
  }

  #moveTo(entries, start) {
    const top = entries[Math.max(0, start)]?.seq ?? null;
    if (top === this.#top || this.#isMoving) return;
    this.#top = top;
    this.#isMoving = true; // one step per drawing: the row that keeps its place must stay in the window
    this.draw();
  }

  /** The first row in view: its lower edge must stay where it is, whatever comes above it. */
  #visibleRow() {
    const edge = this.log.getBoundingClientRect().top;
    for (const row of at("messages").children) {
      const { bottom } = row.getBoundingClientRect();
      if (bottom > edge && row.dataset.seq) return { seq: row.dataset.seq, bottom };
    }
    return null;
  }

  #putBack({ seq, bottom }) {
    const row = at("messages").querySelector(`[data-seq="${seq}"]`);
    if (row) this.log.scrollTop += row.getBoundingClientRect().bottom - bottom;
  }

  #toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
  }
}

const comings = (notes) => [`comings ${notes[0].id} ${notes.length}`, () => comingsRow(notes)];

/** The index of a seq, or of the first after it. */
function indexOf(entries, seq) {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle].seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

function company({ isOnline }) {
  return `Only you two${isOnline === null ? "" : isOnline ? " · here now" : " · away"}`;
}

function presence(place) {
  const number = Math.max(place.peopleCount, place.people.size);
  return number ? `${count(number, "person", "people")} here` : "";
}

function topLine(place, name) {
  if (place.trouble) return place.trouble;
  if (!place.log.isStarted) return "Fetching what was said…";
  if (place.loading) return "Fetching older messages…";
  if (place.log.more) return "";
  if (place.log.entries.length)
    return place.isDirect ? `You and ${place.name} begin here.` : `This is where ${name} begins.`;
  return place.isDirect
    ? `Nothing said yet between you and ${place.name}.`
    : `It is quiet in ${name}. Say the first word.`;
}
