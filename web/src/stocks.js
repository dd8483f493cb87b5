// Draws the stock prices: one chart, and a row for every symbol.
import { PriceChart, spark } from "./charts.js";
import { createElement, hiddenText, setAttribute, setChildren, setText } from "./dom.js";
import { formatNumber, formatSeconds, formatSigned } from "./format.js";
import { readItem, writeItem } from "./storage.js";
import { texts } from "./texts.js";

const SPARK_POINTS = 60;

const directionOf = (change) => (change > 0 ? "up" : change < 0 ? "down" : "flat");
const ARROW = { up: "▲", down: "▼", flat: "•" };
const SPOKEN = { up: texts.priceUp, down: texts.priceDown, flat: texts.priceFlat };
const STROKE = { up: "--up", down: "--down", flat: "--ink-3" };

export class StocksCard {
  #rows = new Map();
  #frame = null;
  #series = null;
  #pointed = null;

  constructor() {
    this.name = createElement("span", { class: "symbol" });
    this.price = createElement("span", { class: "price" });
    this.change = createElement("span", { class: "change" });
    this.when = createElement("span", { class: "quiet when" });
    this.plot = createElement("div", { class: "plot", role: "img" });
    this.list = createElement("ul", { class: "symbols" });
    this.root = createElement(
      "div",
      { class: "stocks" },
      createElement("p", { class: "quote" }, this.name, this.price, this.change, this.when),
      this.plot,
      this.list,
    );
    this.chart = new PriceChart(this.plot, (index) => this.#point(index));
    this.chosen = readItem("symbol");
  }

  draw(frame, series) {
    this.#frame = frame;
    this.#series = series;
    const { symbols } = frame.data;
    if (!symbols[this.chosen]) this.chosen = Object.keys(symbols)[0];
    setChildren(
      this.list,
      Object.keys(symbols).map((symbol) => this.#row(symbol).root),
    );
    for (const [symbol, quote] of Object.entries(symbols))
      this.#drawRow(this.#row(symbol), symbol, quote);
    this.#drawQuote();
    const { source } = frame.data;
    this.note = source === "simulator" ? texts.simulated : texts.dataBy(source);
    this.chart.draw(
      series.times,
      series.column(this.chosen),
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
      createElement("canvas", { "aria-hidden": "true" }),
      createElement("span", { class: "price" }),
      createElement("span", { class: "change" }),
    ];
    const button = createElement(
      "button",
      { onclick: () => this.#choose(symbol) },
      createElement("span", { class: "symbol" }, symbol),
      canvas,
      price,
      change,
    );
    return { root: createElement("li", {}, button), button, canvas, price, change };
  }

  #drawRow(row, symbol, quote) {
    const direction = directionOf(quote.change_percent);
    setAttribute(row.button, "aria-pressed", symbol === this.chosen);
    setText(row.price, formatNumber(quote.price, 2));
    this.#drawChange(row.change, quote);
    spark(row.canvas, this.#series.column(symbol).slice(-SPARK_POINTS), {
      stroke: STROKE[direction],
    });
  }

  #drawChange(node, { change_percent: percent }) {
    const direction = directionOf(percent);
    node.dataset.direction = direction;
    if (!node.firstChild)
      node.append(
        createElement("span", { "aria-hidden": "true" }),
        hiddenText(""),
        createElement("span"),
      );
    const [arrow, spoken, text] = node.children;
    setText(arrow, ARROW[direction]);
    setText(spoken, `${SPOKEN[direction]} `);
    setText(text, `${formatSigned(percent)} %`);
  }

  /** The quote above the chart: now, or where the pointer is. */
  #drawQuote() {
    const series = this.#series;
    const quote = this.#frame.data.symbols[this.chosen];
    const then = this.#pointed === null ? null : series.column(this.chosen)[this.#pointed];
    setText(this.name, this.chosen);
    setText(this.price, formatNumber(then ?? quote.price, 2));
    const shown =
      then === null || then === undefined
        ? quote
        : { change_percent: ((then - quote.open) / quote.open) * 100 };
    this.#drawChange(this.change, shown);
    setText(this.when, then ? formatSeconds(new Date(series.times[this.#pointed] * 1000)) : "");
    const label = texts.chartLabel(
      this.chosen,
      formatNumber(quote.price, 2),
      SPOKEN[directionOf(quote.change_percent)],
      formatSigned(quote.change_percent),
    );
    setAttribute(this.plot, "aria-label", label);
  }

  #point(index) {
    this.#pointed = index;
    if (this.#frame) this.#drawQuote();
  }

  #choose(symbol) {
    this.chosen = symbol;
    writeItem("symbol", symbol);
    this.draw(this.#frame, this.#series);
  }
}
