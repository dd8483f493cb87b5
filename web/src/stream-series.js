// The last minutes of the streams that are drawn as lines; they survive a reload.
import { Series } from "./series.js";

const STORAGE_KEY = "townsquare.series";
const ratePerSecond = (a, b) => (a === null && b === null ? null : (a ?? 0) + (b ?? 0));

/** What of a frame is a line over time, and how long the line is, by the frame's type. */
const LINES = {
  stock_update: {
    spanSeconds: 15 * 60,
    values: ({ symbols }) =>
      Object.fromEntries(Object.entries(symbols).map(([symbol, { price }]) => [symbol, price])),
  },
  system_metrics: {
    spanSeconds: 10 * 60,
    values: ({ cpu_percent: cpu, memory, disk, network }) => ({
      cpu,
      memory: memory?.percent,
      disk: disk && ratePerSecond(disk.read_per_second, disk.written_per_second),
      network: network && ratePerSecond(network.sent_per_second, network.received_per_second),
    }),
  },
};

export class StreamSeries {
  /** By the stream's name. @type {Map<string, Series>} */
  #series = new Map();
  #stored = readStored();

  constructor() {
    addEventListener("pagehide", () => this.#store());
  }

  /** The lines of a stream, with its last frame in them; null for a stream without lines. */
  update(stream) {
    const lines = LINES[stream.frame?.type];
    if (!lines) return null;
    if (!this.#series.has(stream.name)) this.#series.set(stream.name, this.#create(stream, lines));
    const series = this.#series.get(stream.name);
    series.add(Date.parse(stream.frame.timestamp) / 1000, lines.values(stream.frame.data));
    return series;
  }

  #create({ name, intervalSeconds }, { spanSeconds }) {
    const series = new Series(intervalSeconds, spanSeconds);
    if (this.#stored[name]) series.restore(this.#stored[name], Date.now() / 1000);
    return series;
  }

  #store() {
    try {
      sessionStorage.setItem(STORAGE_KEY, JSON.stringify(Object.fromEntries(this.#series)));
    } catch {
      // A full storage costs the lines, nothing else.
    }
  }
}

function readStored() {
  try {
    return JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "{}");
  } catch {
    return {};
  }
}
