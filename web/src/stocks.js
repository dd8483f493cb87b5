// Draws the stock prices: one chart, and a row for every symbol.
import { PriceChart, spark } from "./charts.js";
import { arrange, el, say } from "./dom.js";
import { clock, fixed, signed } from "./words.js";

const CHOSEN = "townsquare.symbol";
const SPARK_POINTS = 60;

const way = (change) => (change > 0 ? "up" : change < 0 ? "down" : "flat");
const ARROW = { up: "▲", down: "▼", flat: "•" };
const SPOKEN = { up: "up", down: "down", flat: "unchanged" };
const STROKE = { up: "--up", down: "--down", flat: "--ink-3" };

export class Stocks {
  #rows = new Map();
  #stream = null;
  #pointed = null;

  constructor() {
    this.name = el("span", { class: "symbol" });
    this.price = el("span", { class: "price" });
    this.change = el("span", { class: "change" });
    this.when = el("span", { class: "quiet when" });
    this.plot = el("div", { class: "plot", role: "img" });
    this.list = el("ul", { class: "symbols" });
    this.root = el(
      "div",
      { class: "stocks" },
      el("p", { class: "quote" }, this.name, this.price, this.change, this.when),
      this.plot,
      this.list,
    );
    this.chart = new PriceChart(this.plot, (index) => this.#point(index));
    this.chosen = localStorage.getItem(CHOSEN);
  }

  draw(stream) {
    this.#stream = stream;
    const { symbols } = stream.frame.data;
    if (!symbols[this.chosen]) this.chosen = Object.keys(symbols)[0];
    arrange(
      this.list,
      Object.keys(symbols).map((symbol) => this.#row(symbol).root),
    );
    for (const [symbol, quote] of Object.entries(symbols))
      this.#drawRow(this.#row(symbol), symbol, quote);
    this.#drawQuote();
    const { source } = stream.frame.data;
    this.note = source === "simulator" ? "simulated" : `by ${source}`;
    this.chart.draw(
      stream.series.times,
      stream.series.column(this.chosen),
      symbols[this.chosen].open ?? null,
    );
  }

  repaint() {
    this.chart.repaint();
  }

  #row(symbol) {
    if (!this.#rows.has(symbol)) this.#rows.set(symbol, this.#makeRow(symbol));
    return this.#rows.get(symbol);
  }

  #makeRow(symbol) {
    const [canvas, price, change] = [
      el("canvas", { "aria-hidden": "true" }),
      el("span", { class: "price" }),
      el("span", { class: "change" }),
    ];
    const button = el(
      "button",
      { onclick: () => this.#choose(symbol) },
      el("span", { class: "symbol" }, symbol),
      canvas,
      price,
      change,
    );
    return { root: el("li", {}, button), button, canvas, price, change };
  }

  #drawRow(row, symbol, quote) {
    const direction = way(quote.change_percent);
    row.button.setAttribute("aria-pressed", String(symbol === this.chosen));
    say(row.price, fixed(quote.price, 2));
    this.#drawChange(row.change, quote);
    spark(row.canvas, this.#stream.series.column(symbol).slice(-SPARK_POINTS), {
      stroke: STROKE[direction],
    });
  }

  #drawChange(node, { change_percent: percent }) {
    const direction = way(percent);
    node.dataset.way = direction;
    if (!node.firstChild)
      node.append(
        el("span", { "aria-hidden": "true" }),
        el("span", { class: "aloud" }),
        el("span"),
      );
    const [arrow, spoken, text] = node.children;
    say(arrow, ARROW[direction]);
    say(spoken, `${SPOKEN[direction]} `);
    say(text, `${signed(percent)} %`);
  }

  /** The quote above the chart: now, or where the pointer is. */
  #drawQuote() {
    const { frame, series } = this.#stream;
    const quote = frame.data.symbols[this.chosen];
    const then = this.#pointed === null ? null : series.column(this.chosen)[this.#pointed];
    say(this.name, this.chosen);
    say(this.price, fixed(then ?? quote.price, 2));
    const shown =
      then === null || then === undefined
        ? quote
        : { change_percent: ((then - quote.open) / quote.open) * 100 };
    this.#drawChange(this.change, shown);
    say(this.when, then ? clock(new Date(series.times[this.#pointed] * 1000)) : "");
    this.plot.setAttribute(
      "aria-label",
      `${this.chosen} over the last minutes, now ${fixed(quote.price, 2)}, ${SPOKEN[way(quote.change_percent)]} ${signed(quote.change_percent)} percent since the opening`,
    );
  }

  #point(index) {
    this.#pointed = index;
    if (this.#stream) this.#drawQuote();
  }

  #choose(symbol) {
    this.chosen = symbol;
    localStorage.setItem(CHOSEN, symbol);
    this.draw(this.#stream);
  }
}
