// The data streams: which there are, their last frame, how old it is.
import { Emitter } from "./emitter.js";

/** A stream that is late by this many intervals is stale, even if the server does not mark it. */
const MAX_LATE_INTERVALS = 3;
const LATE_TOLERANCE_SECONDS = 2;

/** Events: `frame (frame)`, `change`. */
export class Stream extends Emitter {
  /** The last frame, complete. @type {any} */
  frame = null;
  /** When its data was made, by this computer's clock. */
  madeAt = 0;
  isSubscribed = false;
  isBusy = false;
  title = "";
  description = "";
  intervalSeconds = 0;
  /** Set when the server lists the stream. @type {string|null} */
  group = null;
  /** What the server knows beyond its frame: `problem` is why it has no new values. @type {any} */
  status = null;

  /** @param {Streams} streams @param {string} name */
  constructor(streams, name) {
    super();
    this.streams = streams;
    this.name = name;
  }

  get ageSeconds() {
    return (this.streams.client.clock.now() - this.madeAt) / 1000;
  }

  get isStale() {
    const limit = this.intervalSeconds * MAX_LATE_INTERVALS + LATE_TOLERANCE_SECONDS;
    return Boolean(this.frame) && (this.frame.stale || this.ageSeconds > limit);
  }

  /** Receives the stream's frames, on all connections of this user. */
  subscribe() {
    return this.streams.setSubscribed(this, true);
  }

  unsubscribe() {
    return this.streams.setSubscribed(this, false);
  }

  /**
   * The recorded frames, oldest first: by default of the last hour. The server thins them to at most
   * `points` (300), one in each span of `span_seconds`.
   * @param {{since?: Date, until?: Date, points?: number}} [query]
   * @returns {Promise<{span_seconds: number, points: {timestamp: string, data: any}[]}>}
   */
  history({ since, until, points } = {}) {
    const parameters = new URLSearchParams();
    if (since) parameters.set("since", since.toISOString());
    if (until) parameters.set("until", until.toISOString());
    if (points) parameters.set("points", String(points));
    return this.streams.client.http.get(`/api/streams/${this.name}/history?${parameters}`);
  }

  /** Asks the server for its status: for example why it has no data. */
  async loadStatus() {
    const { latest, ...status } = await this.streams.client.http.get(`/api/streams/${this.name}`);
    this.status = status;
    if (latest) this.receive(latest, status.age_seconds ?? 0);
    this.changed();
  }

  /** @param {any} frame @param {number} [ageSeconds] */
  receive(frame, ageSeconds = 0) {
    if (this.frame && frame.tick < this.frame.tick) return;
    const isNew = this.frame?.tick !== frame.tick;
    this.frame = frame.full === false && this.frame ? mergeFrames(this.frame, frame) : frame;
    const hasFailed = isNew && frame.stale && !this.status?.problem;
    if (isNew) this.madeAt = this.streams.client.clock.now() - ageSeconds * 1000;
    if (isNew) this.emit("frame", this.frame);
    this.changed();
    if (hasFailed) this.loadStatus().catch(() => {});
  }

  /** The server does not list it. */
  removed() {
    if (this.group === null) return;
    this.group = null;
    this.isSubscribed = false;
    this.changed();
  }

  changed() {
    this.emit("change");
    this.streams.client.emit("stream", this);
  }
}

export class Streams {
  /** By name. @type {Map<string, Stream>} */
  all = new Map();
  /** @type {Promise<void>|null} */
  #loading = null;

  /**
   * @param {import("./client.js").Client} client
   * @param {(stream: Stream) => boolean} isWanted at first: whether to subscribe to a listed stream
   */
  constructor(client, isWanted) {
    this.client = client;
    this.isWanted = isWanted;
  }

  /** @param {string} name */
  stream(name) {
    const stream = this.all.get(name) ?? new Stream(this, name);
    this.all.set(name, stream);
    return stream;
  }

  /**
   * Learns which streams there are, and their last frames. Streams that are not listed any more have
   * no group afterwards.
   * @returns {Promise<void>}
   */
  load() {
    this.#loading ??= this.#load().finally(() => (this.#loading = null));
    return this.#loading;
  }

  /** The groups of the streams that are subscribed to. @returns {Promise<string[]>} */
  async groups() {
    if (![...this.all.values()].some((stream) => stream.group !== null)) await this.load();
    return [...this.all.values()].flatMap((one) => (one.isSubscribed && one.group ? [one.group] : []));
  }

  /** @param {any} frame @returns {boolean} whether it is a stream's */
  receive(frame) {
    const stream = this.all.get(frame.stream);
    stream?.receive(frame);
    return Boolean(stream);
  }

  /** @param {Stream} stream @param {boolean} isSubscribed */
  async setSubscribed(stream, isSubscribed) {
    stream.isBusy = true;
    stream.changed();
    try {
      const action = isSubscribed ? "subscribe" : "unsubscribe";
      const response = await this.client.http.post(`/api/streams/${stream.name}/${action}`);
      stream.isSubscribed = response.subscribed;
      stream.group = response.group;
      if (response.latest) stream.receive(response.latest);
    } finally {
      stream.isBusy = false;
      stream.changed();
    }
  }

  async #load() {
    const { streams } = await this.client.http.get("/api/streams");
    const names = new Set(streams.map((/** @type {any} */ { name }) => name));
    for (const stream of this.all.values()) if (!names.has(stream.name)) stream.removed();
    for (const { latest, ...status } of streams) {
      const stream = this.stream(status.name);
      const isFirst = stream.group === null;
      const { title, description, group, interval_seconds: intervalSeconds } = status;
      Object.assign(stream, { title, description, group, intervalSeconds, status });
      if (isFirst) stream.isSubscribed = this.isWanted(stream);
      if (latest) stream.receive(latest, status.age_seconds ?? 0);
      stream.changed();
    }
  }
}

/** A frame with only what has changed, put over the whole one; one level deep. */
function mergeFrames(/** @type {any} */ whole, /** @type {any} */ part) {
  const data = { ...whole.data };
  for (const [name, value] of Object.entries(part.data)) {
    const isObject = (/** @type {any} */ one) => one && typeof one === "object" && !Array.isArray(one);
    data[name] = isObject(value) && isObject(data[name]) ? { ...data[name], ...value } : value;
  }
  return { ...part, full: true, data };
}
