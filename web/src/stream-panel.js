// The panel of live data: a card for each stream, with its age and its switch.
import { byId, createElement, createIcon, oncePerFrame, setAttribute, setChildren, setText } from "./dom.js";
import { formatAge } from "./format.js";
import { MetricsCard } from "./metrics.js";
import { StocksCard } from "./stocks.js";
import { onItemChange, readItem, writeItem } from "./storage.js";
import { StreamSeries } from "./stream-series.js";
import { texts } from "./texts.js";
import { onThemeChange } from "./theme.js";
import { WeatherCard } from "./weather.js";

/** How often a stream that has no frame is asked about. */
const STATUS_INTERVAL_MS = 30_000;

/** Who draws which type of frame. A stream of another type is shown as names and values. */
const CARDS = { stock_update: StocksCard, system_metrics: MetricsCard, weather_update: WeatherCard };
const ORDER = ["stock-prices", "system-metrics", "weather"];
const rank = ({ stream }) => ORDER.indexOf(stream.name) + 1 || ORDER.length + 1;

/** The groups of the streams that were switched off in this browser. */
const switchedOff = () => readItem("streams-off") ?? [];

/** Whether a listed stream is to be received at first. */
export const isWanted = (stream) => !switchedOff().includes(stream.group);

export class StreamPanel {
  #cards = new Map();
  #series = new StreamSeries((stream) => this.#cards.get(stream.name)?.repaintLines());

  /** @param {import("townsquare-client").Client} client @param {(text: string) => void} notify */
  constructor(client, notify) {
    this.client = client;
    this.notify = notify;
    this.draw = oncePerFrame(() => this.#draw());
    client.on("stream", (stream) => {
      this.#series.update(stream);
      this.draw();
    });
    client.on("opened", () => this.#series.reload(client.streams.all.values()));
    setInterval(() => document.visibilityState === "visible" && this.#drawAges(), 1_000);
    setInterval(() => document.visibilityState === "visible" && this.#loadStatuses(), STATUS_INTERVAL_MS);
    onThemeChange(() => this.#repaint());
    onItemChange("streams-off", () => this.#followOtherTabs());
    new ResizeObserver(() => this.#repaint()).observe(byId("streams"));
  }

  #draw() {
    const listed = [...this.client.streams.all.values()].filter((stream) => stream.group !== null);
    for (const stream of listed)
      if (!this.#cards.has(stream.name)) this.#cards.set(stream.name, this.#createCard(stream));
    const cards = listed
      .map((stream) => /** @type {StreamCard} */ (this.#cards.get(stream.name)))
      .sort((a, b) => rank(a) - rank(b));
    setChildren(
      byId("streams"),
      cards.map((card) => card.root),
    );
    for (const card of cards) card.draw();
  }

  #createCard(stream) {
    return new StreamCard(stream, this.#series, () => this.#toggle(stream));
  }

  async #toggle(stream) {
    const wanted = !stream.isSubscribed;
    try {
      await (wanted ? stream.subscribe() : stream.unsubscribe());
      const others = switchedOff().filter((group) => group !== stream.group);
      writeItem("streams-off", wanted ? others : [...others, stream.group]);
    } catch (error) {
      const text = wanted ? texts.subscribeFailed : texts.unsubscribeFailed;
      this.notify(text(stream.title, error.message));
    }
  }

  /** A subscription is the user's, so what one tab switches off is off in all of them. */
  #followOtherTabs() {
    for (const stream of this.client.streams.all.values()) {
      stream.isSubscribed = isWanted(stream);
      stream.changed();
    }
  }

  /** A stream that was never read sends nothing: its reason is asked for. */
  #loadStatuses() {
    for (const stream of this.client.streams.all.values())
      if (stream.group !== null && !stream.frame) stream.loadStatus().catch(() => {});
  }

  /** Colours and sizes are read when something is drawn. */
  #repaint() {
    for (const card of this.#cards.values()) card.repaint();
    this.draw();
  }

  #drawAges() {
    for (const card of this.#cards.values()) card.drawAge();
  }
}

class StreamCard {
  #content = null;
  #drawn = null;
  #empty = createElement("p", { class: "quiet empty" }, createIcon("live"), createElement("span"));

  constructor(stream, series, toggle) {
    this.stream = stream;
    this.series = series;
    const titleId = `stream-${stream.name}`;
    this.note = createElement("span", { class: "quiet note" });
    this.age = createElement("span", { class: "age" });
    this.switch = createElement("button", {
      class: "switch",
      role: "switch",
      "aria-label": texts.subscribe(stream.title),
      title: texts.subscribe(stream.title),
      onclick: toggle,
    });
    this.body = createElement("div", { class: "card-body" });
    this.root = createElement(
      "section",
      { class: "card", "aria-labelledby": titleId, "data-stream": stream.name },
      createElement(
        "header",
        {},
        createElement("h2", { id: titleId, title: stream.description }, stream.title),
        this.note,
        this.age,
        this.switch,
      ),
      this.body,
    );
  }

  draw() {
    const { stream } = this;
    setAttribute(this.switch, "aria-checked", stream.isSubscribed);
    this.switch.disabled = stream.isBusy;
    this.drawAge();
    if (!stream.frame || !hasValues(stream.frame)) return this.#drawEmpty();
    if (this.#drawn === stream.frame || !this.root.clientWidth) return;
    this.#content ??= new (CARDS[stream.frame.type] ?? PlainCard)();
    setChildren(this.body, [this.#content.root]);
    this.#content.draw(stream.frame, this.series.update(stream));
    setText(this.note, this.#content.note ?? "");
    this.#drawn = stream.frame;
  }

  drawAge() {
    const { stream } = this;
    const age = formatAge(stream.ageSeconds);
    const isKnown = stream.frame && hasValues(stream.frame);
    const look = !stream.isSubscribed ? "off" : !isKnown ? "none" : stream.isStale ? "stale" : "fresh";
    this.root.dataset.look = look;
    if (look === "off") setText(this.age, isKnown ? texts.pausedSince(age) : texts.paused);
    else setText(this.age, look === "none" ? "" : look === "stale" ? texts.staleSince(age) : age);
    setAttribute(this.age, "title", (look === "stale" && stream.status?.problem) || null);
  }

  repaint() {
    this.#drawn = null;
    this.#content?.repaint?.();
  }

  /** The same frame, with other lines. */
  repaintLines() {
    this.#drawn = null;
    this.draw();
  }

  /** A stream that has no values yet shows why, when the server gives a reason. */
  #drawEmpty() {
    const { isSubscribed, status } = this.stream;
    const reason = status?.problem ? texts.unavailable(status.problem) : texts.noData;
    setText(this.#empty.lastChild, isSubscribed ? reason : texts.switchedOff);
    setChildren(this.body, [this.#empty]);
    this.#drawn = null;
  }
}

/** Whether the source was ever read: a frame can be without any value. */
function hasValues({ data, type }) {
  if (type === "weather_update") return data.cities.some((city) => city.temperature_c !== null);
  if (type === "stock_update") return Object.values(data.symbols).some(({ price }) => price !== null);
  return true;
}

/** A stream that this page has no drawing for: names and values. */
class PlainCard {
  root = createElement("dl", { class: "plain-values" });

  draw(frame) {
    const format = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
    setChildren(
      this.root,
      Object.entries(frame.data ?? {}).flatMap(([name, value]) => [
        createElement("dt", {}, name),
        createElement("dd", {}, format(value)),
      ]),
    );
    // A part that scrolls is reached with the keyboard.
    const { scrollHeight, clientHeight } = this.root;
    setAttribute(this.root, "tabindex", scrollHeight > clientHeight ? "0" : null);
  }
}
