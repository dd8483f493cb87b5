// The last minutes of the streams that are drawn as lines: from their history, then frame by frame.
import { Series } from "./series.js";

/** So many points of the history are asked for: more than a chart has pixels for. */
const MAX_POINTS = 300;

const addRates = (a, b) => (a === null && b === null ? null : (a ?? 0) + (b ?? 0));
const secondsOf = (timestamp) => Date.parse(timestamp) / 1000;

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
      disk: disk && addRates(disk.read_per_second, disk.written_per_second),
      network: network && addRates(network.sent_per_second, network.received_per_second),
    }),
  },
};

export class StreamSeries {
  /** By the stream's name. @type {Map<string, Series>} */
  #series = new Map();

  /** @param {(stream: import("townsquare-client").Stream) => void} loaded the history has come */
  constructor(loaded) {
    this.loaded = loaded;
  }

  /** The lines of a stream, with its last frame in them; null for a stream without lines. */
  update(stream) {
    const lines = LINES[stream.frame?.type];
    if (!lines) return null;
    const series = this.#series.get(stream.name) ?? this.#create(stream, lines);
    series.add(secondsOf(stream.frame.timestamp), lines.values(stream.frame.data));
    return series;
  }

  /** Fills what was missed while there was no connection. @param {Iterable<any>} streams */
  reload(streams) {
    for (const stream of streams) if (this.#series.has(stream.name)) this.#load(stream);
  }

  #create(stream, { spanSeconds }) {
    const series = new Series(stream.intervalSeconds, spanSeconds);
    this.#series.set(stream.name, series);
    this.#load(stream);
    return series;
  }

  async #load(stream) {
    const { spanSeconds, values } = LINES[stream.frame.type];
    const since = new Date(Date.now() - spanSeconds * 1000);
    try {
      const { points, span_seconds: step } = await stream.history({ since, points: MAX_POINTS });
      const recorded = points.map(({ timestamp, data }) => ({ time: secondsOf(timestamp), values: values(data) }));
      this.#series.get(stream.name)?.merge(recorded, Math.max(step, stream.intervalSeconds));
      this.loaded(stream);
    } catch {
      // Without a history the lines begin with the first frame.
    }
  }
}
