// Draws what the server's machine does: processor, memory, disk and network over the last minutes.
import { spark } from "./charts.js";
import { el, say } from "./dom.js";
import { bytes, fixed } from "./words.js";

const POINTS = 120;

const perSecond = (sent, got) =>
  sent === null || sent === undefined ? "–" : `${bytes(sent + got)}/s`;

/** What each tile says: the large value, the small line below, and the line's range. */
const TILES = [
  {
    name: "cpu",
    title: "Processor",
    low: 0,
    high: 100,
    value: (d) => percent(d.cpu_percent),
    note: (d) => (d.load ? `load ${fixed(d.load[0], 2)}` : ""),
  },
  {
    name: "memory",
    title: "Memory",
    low: 0,
    high: 100,
    value: (d) => percent(d.memory?.percent),
    note: (d) =>
      d.memory ? `${bytes(d.memory.used_bytes)} of ${bytes(d.memory.total_bytes)}` : "",
  },
  {
    name: "disk",
    title: "Disk",
    low: 0,
    value: (d) => perSecond(d.disk?.read_per_second, d.disk?.written_per_second),
    note: (d) => (d.disk ? `${percent(d.disk.percent)} of ${bytes(d.disk.total_bytes)} full` : ""),
  },
  {
    name: "network",
    title: "Network",
    low: 0,
    value: (d) => perSecond(d.network?.sent_per_second, d.network?.received_per_second),
    note: (d) =>
      d.network && d.network.sent_per_second !== null
        ? `↑ ${bytes(d.network.sent_per_second)}  ↓ ${bytes(d.network.received_per_second)}`
        : "",
  },
];

const percent = (value) =>
  value === null || value === undefined ? "–" : `${fixed(value, value < 10 ? 1 : 0)} %`;

export class Metrics {
  /** Stands beside the title. */
  note = "";

  constructor() {
    this.tiles = TILES.map((tile) => ({ ...tile, ...makeTile(tile.title) }));
    this.root = el("div", { class: "tiles" }, ...this.tiles.map((tile) => tile.root));
  }

  draw({ frame, series }) {
    for (const tile of this.tiles) {
      say(tile.big, tile.value(frame.data));
      say(tile.small, tile.note(frame.data));
      spark(tile.canvas, series.column(tile.name).slice(-POINTS), {
        stroke: "--calm",
        fill: true,
        low: tile.low,
        high: tile.high,
      });
    }
    const minutes = Math.max(
      1,
      Math.round((Math.min(series.times.length, POINTS) * series.step) / 60),
    );
    this.note = `${frame.data.instance}, last ${minutes} min`;
  }
}

function makeTile(title) {
  const [big, small, canvas] = [
    el("dd", { class: "big" }),
    el("dd", { class: "quiet small" }),
    el("canvas", { "aria-hidden": "true" }),
  ];
  return {
    big,
    small,
    canvas,
    root: el("dl", { class: "tile" }, el("dt", {}, title), big, small, canvas),
  };
}
