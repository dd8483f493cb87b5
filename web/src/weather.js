// Draws the weather: a card for every city.
import { arrange, el, icon } from "./dom.js";
import { ago, fixed } from "./words.js";

/** WMO weather codes, as Open-Meteo gives them; other providers are read by their words. */
const SKIES = [
  ["storm", (code, words) => code >= 95 || /thunder|storm/.test(words)],
  [
    "snow",
    (code, words) =>
      (code >= 71 && code <= 77) || code === 85 || code === 86 || /snow|sleet|ice|hail/.test(words),
  ],
  ["rain", (code, words) => (code >= 51 && code <= 82) || /rain|drizzle|shower/.test(words)],
  ["fog", (code, words) => code === 45 || code === 48 || /fog|mist|haze/.test(words)],
  ["partly", (code, words) => code === 1 || code === 2 || /partly|mainly/.test(words)],
  ["cloud", (code, words) => code === 3 || /cloud|overcast/.test(words)],
  ["clear", () => true],
];

const skyOf = ({ code, condition }) =>
  SKIES.find(([, fits]) => fits(code <= 99 ? code : NaN, (condition ?? "").toLowerCase()))[0];

/** The providers' names; their terms ask for them to be named. */
const SOURCES = { "open-meteo": "by Open-Meteo.com", weatherapi: "by WeatherAPI.com" };

export class Weather {
  root = el("ul", { class: "cities" });

  draw({ frame }) {
    this.note = SOURCES[frame.data.source] ?? "";
    arrange(this.root, frame.data.cities.map(city));
  }
}

function city(now) {
  const isKnown = now.temperature_c !== null;
  const air = `${fixed(now.humidity_percent, 0)} % · ${fixed(now.wind_kph, 0)} km/h`;
  return el(
    "li",
    { class: "city" },
    el("h3", { title: now.city }, now.city),
    el(
      "p",
      { class: "degrees" },
      isKnown ? `${fixed(now.temperature_c, 0).replace("-", "−")}°` : "–",
    ),
    isKnown && icon(`sky-${skyOf(now)}`),
    el("p", { class: "quiet" }, isKnown ? now.condition : "No word yet"),
    isKnown &&
      el("p", { class: "quiet" }, el("span", { class: "aloud" }, "humidity and wind "), air),
    isKnown &&
      now.stale &&
      el(
        "p",
        { class: "quiet old" },
        now.age_seconds === null ? "stale" : `stale, ${ago(now.age_seconds)}`,
      ),
  );
}
