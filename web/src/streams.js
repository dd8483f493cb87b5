// The live data streams: which are listened to, their last frame, how old it is, their last minutes.
import { Series } from "./series.js";

const OFF = "townsquare.off";
const PAST = "townsquare.past";
/** Late by this many intervals, a stream is called stale even if nobody said so. */
const LATE = 3;

/** What of a frame is worth a line over time, and how long a line. */
const LINES = {
  stock_update: {
    span: 15 * 60,
    values: ({ symbols }) => mapValues(symbols, ({ price }) => price),
  },
  system_metrics: {
    span: 10 * 60,
    values: ({ cpu_percent, memory, disk, network }) => ({
      cpu: cpu_percent,
      memory: memory?.percent,
      disk: disk && sum(disk.read_per_second, disk.written_per_second),
      network: network && sum(network.sent_per_second, network.received_per_second),
    }),
  },
};

class Stream {
  frame = null;
  /** When its data was made, by this computer's clock. */
  madeAt = 0;
  /** @type {Series|null} */
  series = null;
  isOn = true;
  isBusy = false;

  constructor({ name, title, group, description, interval_seconds }) {
    Object.assign(this, { name, title, group, description, interval: interval_seconds });
  }

  get age() {
    return (Date.now() - this.madeAt) / 1000;
  }

  get isStale() {
    return Boolean(this.frame) && (this.frame.stale || this.age > this.interval * LATE + 2);
  }
}

export class Streams {
  /** @type {Map<string, Stream>} by name */
  all = new Map();
  #past = readJson(sessionStorage, PAST) ?? {};

  /**
   * @param {{get: Function, post: Function}} http
   * @param {{changed: (stream: Stream) => void, trouble: (sentence: string) => void}} hear
   */
  constructor(http, hear) {
    this.http = http;
    this.hear = hear;
    addEventListener("pagehide", () => this.#remember());
    // What one tab listens to, all tabs of this person do.
    addEventListener("storage", ({ key }) => key === OFF && this.#follow());
  }

  /** The groups that this person listens to: all that were not switched off. */
  async groups() {
    if (!this.all.size) await this.load();
    return [...this.all.values()].filter((stream) => stream.isOn).map((stream) => stream.group);
  }

  /** Learns which streams there are, and what they said last. */
  async load() {
    const { streams } = await this.http.get("/api/streams");
    for (const known of streams) {
      const stream = this.all.get(known.name) ?? new Stream(known);
      this.all.set(known.name, stream);
      stream.isOn = !this.#off.includes(stream.group);
      if (known.latest) this.take(known.latest, known.age_seconds ?? 0);
      this.hear.changed(stream);
    }
  }

  /** @returns {boolean} whether the frame was one of a stream's */
  take(frame, age = 0) {
    const stream = this.all.get(frame.stream);
    if (!stream) return false;
    if (stream.frame && frame.tick < stream.frame.tick) return true;
    const isNew = stream.frame?.tick !== frame.tick;
    stream.frame = frame.full === false && stream.frame ? merged(stream.frame, frame) : frame;
    if (isNew) {
      stream.madeAt = Date.now() - age * 1000;
      this.#draw(stream);
    }
    this.hear.changed(stream);
    return true;
  }

  async toggle(stream) {
    const wanted = !stream.isOn;
    stream.isBusy = true;
    this.hear.changed(stream);
    try {
      const answer = await this.http.post(
        `/api/streams/${stream.name}/${wanted ? "subscribe" : "unsubscribe"}`,
      );
      stream.isOn = answer.subscribed;
      const others = this.#off.filter((group) => group !== stream.group);
      localStorage.setItem(OFF, JSON.stringify(stream.isOn ? others : [...others, stream.group]));
      if (answer.latest) this.take(answer.latest);
    } catch (error) {
      this.hear.trouble(
        `${stream.title} could not be ${wanted ? "started" : "paused"}. ${error.message}`,
      );
    }
    stream.isBusy = false;
    this.hear.changed(stream);
  }

  #draw(stream) {
    const lines = LINES[stream.frame.type];
    if (!lines) return;
    if (!stream.series) {
      stream.series = new Series(stream.interval, lines.span);
      if (this.#past[stream.name])
        stream.series.restore(this.#past[stream.name], Date.now() / 1000);
    }
    stream.series.add(Date.parse(stream.frame.timestamp) / 1000, lines.values(stream.frame.data));
  }

  get #off() {
    return readJson(localStorage, OFF) ?? [];
  }

  #follow() {
    for (const stream of this.all.values()) {
      stream.isOn = !this.#off.includes(stream.group);
      this.hear.changed(stream);
    }
  }

  /** A reload keeps the lines. */
  #remember() {
    const past = [...this.all.values()].filter((s) => s.series).map((s) => [s.name, s.series]);
    try {
      sessionStorage.setItem(PAST, JSON.stringify(Object.fromEntries(past)));
    } catch {
      // A full storage costs the lines, nothing else.
    }
  }
}

const merged = (whole, part) => ({
  ...part,
  data: { ...whole.data, ...part.data, symbols: { ...whole.data.symbols, ...part.data.symbols } },
});

const mapValues = (object, of) =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, of(value)]));
const sum = (a, b) => (a === null && b === null ? null : (a ?? 0) + (b ?? 0));

function readJson(storage, key) {
  try {
    return JSON.parse(storage.getItem(key));
  } catch {
    return null;
  }
}
