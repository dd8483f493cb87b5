// Draws the metrics of the server: processor, memory, disk and network over the last minutes.
import { spark } from "./charts.js";
import { createElement, setText } from "./dom.js";
import { formatBytes, formatNumber } from "./format.js";
import { texts } from "./texts.js";

const POINTS = 120;

const perSecond = (sent, got) =>
  sent === null || sent === undefined ? texts.noValue : `${formatBytes(sent + got)}/s`;

/** The content of each tile: the large value, the small line below, and the line's range. */
const TILES = [
  {
    name: "cpu",
    title: texts.processor,
    low: 0,
    high: 100,
    value: (d) => percent(d.cpu_percent),
    note: (d) => (d.load ? texts.load(formatNumber(d.load[0], 2)) : ""),
  },
  {
    name: "memory",
    title: texts.memory,
    low: 0,
    high: 100,
    value: (d) => percent(d.memory?.percent),
    note: (d) =>
      d.memory ? texts.usedOf(formatBytes(d.memory.used_bytes), formatBytes(d.memory.total_bytes)) : "",
  },
  {
    name: "disk",
    title: texts.disk,
    low: 0,
    value: (d) => perSecond(d.disk?.read_per_second, d.disk?.written_per_second),
    note: (d) => (d.disk ? texts.percentFull(percent(d.disk.percent), formatBytes(d.disk.total_bytes)) : ""),
  },
  {
    name: "network",
    title: texts.network,
    low: 0,
    value: (d) => perSecond(d.network?.sent_per_second, d.network?.received_per_second),
    note: (d) =>
      d.network && d.network.sent_per_second !== null
        ? `↑ ${formatBytes(d.network.sent_per_second)}  ↓ ${formatBytes(d.network.received_per_second)}`
        : "",
  },
];

const percent = (value) =>
  value === null || value === undefined ? texts.noValue : `${formatNumber(value, value < 10 ? 1 : 0)} %`;

export class MetricsCard {
  /** The text beside the title. */
  note = "";

  constructor() {
    this.tiles = TILES.map((tile) => ({ ...tile, ...makeTile(tile.title) }));
    this.root = createElement("div", { class: "tiles" }, ...this.tiles.map((tile) => tile.root));
  }

  draw(frame, series) {
    for (const tile of this.tiles) {
      setText(tile.big, tile.value(frame.data));
      setText(tile.small, tile.note(frame.data));
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
    this.note = texts.metricsNote(frame.data.instance, minutes);
  }
}

function makeTile(title) {
  const [big, small, canvas] = [
    createElement("dd", { class: "big" }),
    createElement("dd", { class: "quiet small" }),
    createElement("canvas", { "aria-hidden": "true" }),
  ];
  return {
    big,
    small,
    canvas,
    root: createElement("dl", { class: "tile" }, createElement("dt", {}, title), big, small, canvas),
  };
}
