// The live side of the page: a card for every stream, with its age and its switch.
import { at, arrange, el, icon, perFrame, say } from "./dom.js";
import { Metrics } from "./metrics.js";
import { Stocks } from "./stocks.js";
import { onChange } from "./theme.js";
import { Weather } from "./weather.js";
import { ago } from "./words.js";

/** Who draws which kind of frame. A stream of another kind is shown as it comes. */
const FACES = { stock_update: Stocks, system_metrics: Metrics, weather_update: Weather };
const ORDER = ["stock-prices", "system-metrics", "weather"];
const rank = ({ stream }) => ORDER.indexOf(stream.name) + 1 || ORDER.length + 1;

export class Live {
  #cards = new Map();

  /** @param {import("./streams.js").Streams} streams */
  constructor(streams) {
    this.streams = streams;
    this.draw = perFrame(() => this.#draw());
    setInterval(() => document.visibilityState === "visible" && this.#ages(), 1_000);
    onChange(() => this.#repaint());
    new ResizeObserver(() => this.#repaint()).observe(at("live"));
  }

  #draw() {
    for (const stream of this.streams.all.values()) {
      if (!this.#cards.has(stream.name))
        this.#cards.set(stream.name, new Card(stream, () => this.streams.toggle(stream)));
    }
    const cards = [...this.#cards.values()].sort((a, b) => rank(a) - rank(b));
    arrange(
      at("live"),
      cards.map((card) => card.root),
    );
    for (const card of cards) card.draw();
  }

  /** Colours and sizes are read when something is drawn. */
  #repaint() {
    for (const card of this.#cards.values()) card.repaint();
    this.draw();
  }

  #ages() {
    for (const card of this.#cards.values()) card.drawAge();
  }
}

class Card {
  #face = null;
  #drawn = null;

  constructor(stream, toggle) {
    this.stream = stream;
    const titleId = `stream-${stream.name}`;
    this.note = el("span", { class: "quiet note" });
    this.age = el("span", { class: "age" });
    this.switch = el("button", {
      class: "switch",
      role: "switch",
      "aria-label": `Listen to ${stream.title}`,
      onclick: toggle,
    });
    this.body = el("div", { class: "card-body" });
    this.root = el(
      "section",
      { class: "card", "aria-labelledby": titleId, "data-stream": stream.name },
      el(
        "header",
        {},
        el("h2", { id: titleId, title: stream.description }, stream.title),
        this.note,
        this.age,
        this.switch,
      ),
      this.body,
    );
  }

  draw() {
    const { stream } = this;
    this.switch.setAttribute("aria-checked", String(stream.isOn));
    this.switch.toggleAttribute("disabled", stream.isBusy);
    this.drawAge();
    if (!stream.frame) return arrange(this.body, [this.#empty()]);
    if (this.#drawn === stream.frame || !this.root.clientWidth) return;
    this.#face ??= new (FACES[stream.frame.type] ?? AsItComes)();
    arrange(this.body, [this.#face.root]);
    this.#face.draw(stream);
    say(this.note, this.#face.note ?? "");
    this.#drawn = stream.frame;
  }

  drawAge() {
    const { stream } = this;
    const look = !stream.isOn ? "off" : !stream.frame ? "none" : stream.isStale ? "stale" : "fresh";
    this.root.dataset.look = look;
    if (look === "off")
      return say(this.age, stream.frame ? `paused · ${ago(stream.age)}` : "paused");
    say(
      this.age,
      look === "none" ? "" : look === "stale" ? `stale · ${ago(stream.age)}` : ago(stream.age),
    );
  }

  repaint() {
    this.#drawn = null;
    this.#face?.repaint?.();
  }

  #empty() {
    this.nothing ??= el("p", { class: "quiet empty" }, icon("live"), el("span"));
    say(
      this.nothing.lastChild,
      this.stream.isOn ? "Waiting for the first data…" : "Switch it on to listen.",
    );
    return this.nothing;
  }
}

/** A stream that this page has no drawing for: names and values. */
class AsItComes {
  root = el("dl", { class: "plainly" });

  draw({ frame }) {
    const shown = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
    arrange(
      this.root,
      Object.entries(frame.data ?? {}).flatMap(([name, value]) => [
        el("dt", {}, name),
        el("dd", {}, shown(value)),
      ]),
    );
  }
}
