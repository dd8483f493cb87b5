// <townsquare-stream stream="stock-prices" value="symbols.AAPL.price">: a live value and its line.
import { TownsquareElement, createElement } from "./element.js";

const SVG = "http://www.w3.org/2000/svg";
const MAX_POINTS = 300;
const [WIDTH, HEIGHT, MARGIN] = [300, 80, 4];

export const STREAM_TEXTS = {
  noData: "No data yet",
  stale: "stale",
  live: "live",
  failed: "This stream can’t be received.",
  chart: (/** @type {string} */ title, /** @type {string} */ value) => `${title}, now ${value}`,
};

const STREAM_STYLE = `
  .body { padding: 10px 14px 14px; }
  .value { font-size: 1.7em; font-weight: 700; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
  svg { display: block; width: 100%; height: 80px; margin-top: 6px; }
  polyline { fill: none; stroke: var(--_accent); stroke-width: 2; vector-effect: non-scaling-stroke; }
  .age[data-stale="true"] { color: var(--_warning); }
`;

export class StreamElement extends TownsquareElement {
  static observedAttributes = ["url", "stream", "value", "session", "name", "label"];
  texts = STREAM_TEXTS;
  /** The last values, oldest first. @type {number[]} */
  values = [];
  /** @type {import("./stream.js").Stream|null} */
  stream = null;
  chart = document.createElementNS(SVG, "svg");
  line = document.createElementNS(SVG, "polyline");
  #tick = -1;

  start() {
    const client = /** @type {import("./client.js").Client} */ (this.client);
    this.values = [];
    this.#tick = -1;
    this.stream = client.stream(this.getAttribute("stream") ?? "");
    this.heading = createElement("h2");
    this.age = createElement("span", { class: "quiet age" });
    this.value = createElement("div", { class: "value" }, this.texts.noData);
    this.chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.chart.setAttribute("preserveAspectRatio", "none");
    this.chart.setAttribute("role", "img");
    this.chart.append(this.line);
    const body = createElement("div", { class: "body" }, this.value, this.chart);
    const header = createElement("header", {}, this.heading, this.age);
    this.show(STREAM_STYLE, header, body);
    this.listen(this.stream, "change", () => this.#draw());
    const timer = setInterval(() => this.#drawAge(), 1_000);
    this.listen({ on: () => () => clearInterval(timer) }, "", () => {});
    this.#subscribe(client, this.stream);
    this.#draw();
  }

  async #subscribe(/** @type {import("./client.js").Client} */ client, /** @type {import("./stream.js").Stream} */ stream) {
    try {
      await client.connected();
      await client.streams.load();
      if (!stream.isSubscribed) await stream.subscribe();
    } catch {
      if (this.stream === stream) this.value.textContent = this.texts.failed;
    }
  }

  #draw() {
    const { stream } = this;
    if (!stream) return;
    const title = this.getAttribute("label") ?? (stream.title || stream.name);
    this.heading.textContent = title;
    this.#drawAge();
    if (!stream.frame || stream.frame.tick === this.#tick) return;
    this.#tick = stream.frame.tick;
    const value = readPath(stream.frame.data, this.getAttribute("value") ?? "");
    this.value.textContent = formatValue(value);
    this.chart.setAttribute("aria-label", this.texts.chart(title, formatValue(value)));
    this.chart.style.display = typeof value === "number" ? "" : "none";
    if (typeof value !== "number") return;
    this.values = [...this.values, value].slice(-MAX_POINTS);
    this.line.setAttribute("points", pointsOf(this.values));
  }

  #drawAge() {
    const { stream, age, texts } = this;
    if (!stream?.frame) return;
    age.dataset.stale = String(Boolean(stream.isStale));
    age.textContent = stream.isStale ? texts.stale : texts.live;
  }
}

/** "symbols.AAPL.price" of a frame's data. @param {any} data @param {string} path */
function readPath(data, path) {
  const names = path.split(".").filter(Boolean);
  return names.reduce((value, name) => (value && Object.hasOwn(value, name) ? value[name] : undefined), data);
}

/** @param {unknown} value */
function formatValue(value) {
  if (typeof value === "number")
    return value.toLocaleString(document.documentElement.lang || "en", { maximumFractionDigits: 2 });
  if (value === undefined || value === null) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** @param {number[]} values */
function pointsOf(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (/** @type {number} */ n) => MARGIN + (n / Math.max(1, values.length - 1)) * (WIDTH - 2 * MARGIN);
  const y = (/** @type {number} */ value) => HEIGHT - MARGIN - ((value - low) / (high - low || 1)) * (HEIGHT - 2 * MARGIN);
  return values.map((value, n) => `${x(n).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
}
