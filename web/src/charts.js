// Draws lines: the large price chart with uPlot, and the small ones on a canvas.
// uPlot is loaded when the first chart is drawn: the page is usable without it.
import { LOCALE } from "./texts.js";
import { themeColour } from "./theme.js";

const FONT = '12px ui-sans-serif, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif';
const LABEL_HALF = 26;
const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const toMinutes = new Intl.DateTimeFormat(LOCALE, clock);
const toSeconds = new Intl.DateTimeFormat(LOCALE, { ...clock, second: "2-digit" });

/** The chart of one line over time that fills its element and follows the theme. */
export class PriceChart {
  #plot = null;
  #data = [[], []];
  #base = null;

  /** @param {HTMLElement} host @param {(index: number|null) => void} pointedAt */
  constructor(host, pointedAt) {
    this.host = host;
    this.pointedAt = pointedAt;
    new ResizeObserver(() => this.#fit()).observe(host);
  }

  /** @param {number[]} times @param {(number|null)[]} values @param {number|null} base drawn as a dashed line */
  draw(times, values, base) {
    this.#data = [times, values];
    this.#base = base;
    if (this.#plot) this.#plot.setData(this.#data);
    else this.#create();
  }

  /** Colours are read when a chart is made. */
  repaint() {
    this.#plot?.destroy();
    this.#plot = null;
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (!width) return;
    if (this.#plot) this.#plot.setSize({ width, height });
    else if (this.#data[0].length) this.#create();
  }

  async #create() {
    const { default: uPlot } = await import("uplot");
    if (!this.#plot && this.host.clientWidth && this.#data[0].length > 1)
      this.#plot = this.#make(uPlot);
  }

  #make(uPlot) {
    const { clientWidth: width, clientHeight: height } = this.host;
    const [line, faint, soft] = ["--accent", "--ink-3", "--line"].map(themeColour);
    const axis = {
      stroke: faint,
      font: FONT,
      ticks: { show: false },
      grid: { stroke: soft, width: 1 },
      gap: 6,
    };
    return new uPlot(
      {
        width,
        height,
        padding: [8, 4, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 8, fill: line } },
        scales: {
          x: { time: true },
          y: { range: (_, low, high) => addMargin(low, high, this.#base) },
        },
        axes: [
          { ...axis, grid: { show: false }, space: 72, size: 24, values: labels },
          { ...axis, side: 1, size: 52, space: 32 },
        ],
        series: [
          {},
          { stroke: line, width: 2, fill: (plot) => createGradient(plot, line), points: { show: false } },
        ],
        hooks: {
          draw: [(plot) => this.#marks(plot, line, faint)],
          setCursor: [(plot) => this.pointedAt(plot.cursor.idx ?? null)],
        },
      },
      this.#data,
      this.host,
    );
  }

  /** The dashed line of the day's opening, and a dot at the newest value. */
  #marks(plot, line, faint) {
    const { ctx, bbox } = plot;
    ctx.save();
    if (this.#base !== null) {
      const y = plot.valToPos(this.#base, "y", true);
      ctx.strokeStyle = faint;
      ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    const [time, value] = [this.#data[0].at(-1), this.#data[1].at(-1)];
    if (value !== undefined && value !== null) {
      ctx.fillStyle = line;
      ctx.beginPath();
      ctx.arc(
        plot.valToPos(time, "x", true),
        plot.valToPos(value, "y", true),
        3.5 * devicePixelRatio,
        0,
        7,
      );
      ctx.fill();
    }
    ctx.restore();
  }
}

/** Times below the chart; one that would be cut off at the left edge is left out. */
function labels(plot, times, _, __, step) {
  const format = step < 60 ? toSeconds : toMinutes;
  return times.map((time) =>
    plot.valToPos(time, "x") < LABEL_HALF ? "" : format.format(time * 1000),
  );
}

/** The range of the values with a margin, and with the base line when it is near. */
function addMargin(low, high, base) {
  if (low === null || high === null) return [0, 1];
  const span = Math.max(high - low, Math.abs(high) * 0.0005);
  if (base !== null && base > low - span * 2 && base < high + span * 2)
    [low, high] = [Math.min(low, base), Math.max(high, base)];
  const margin = Math.max(high - low, span) * 0.12;
  return [low - margin, high + margin];
}

function createGradient(plot, line) {
  const { top, height } = plot.bbox;
  const fill = plot.ctx.createLinearGradient(0, top, 0, top + height);
  fill.addColorStop(0, withAlpha(line, 0.22));
  fill.addColorStop(1, withAlpha(line, 0));
  return fill;
}

const withAlpha = (rgb, alpha) => rgb.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);

/**
 * A line of a few pixels, without axes.
 * @param {HTMLCanvasElement} canvas @param {(number|null)[]} values
 * @param {{stroke: string, fill?: boolean, low?: number, high?: number}} look
 */
export function spark(canvas, values, { stroke, fill = false, low, high }) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width) return;
  const scale = Math.min(devicePixelRatio, 2);
  if (canvas.width !== Math.round(width * scale))
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return;
  const [bottom, top] = [low ?? Math.min(...known), high ?? Math.max(...known)];
  const x = (i) => (i / (values.length - 1)) * (width - 3) + 1;
  const y = (value) => height - 2 - ((value - bottom) / (top - bottom || 1)) * (height - 4);
  pen.strokeStyle = themeColour(stroke);
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  for (const run of runs(values)) {
    pen.beginPath();
    run.forEach(([i, value]) => pen.lineTo(x(i), y(value)));
    pen.stroke();
    if (!fill) continue;
    pen.lineTo(x(run.at(-1)[0]), height);
    pen.lineTo(x(run[0][0]), height);
    pen.globalAlpha = 0.14;
    pen.fillStyle = pen.strokeStyle;
    pen.fill();
    pen.globalAlpha = 1;
  }
}

/** The parts without a gap. */
function runs(values) {
  const out = [[]];
  values.forEach((value, i) => (value === null ? out.push([]) : out.at(-1).push([i, value])));
  return out.filter((run) => run.length > 1);
}
