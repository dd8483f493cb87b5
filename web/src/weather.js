// Draws the weather: a card for every city.
import { createElement, createIcon, hiddenText, setChildren } from "./dom.js";
import { formatAge, formatNumber } from "./format.js";
import { texts } from "./texts.js";

/** WMO weather codes, as Open-Meteo gives them; those of other providers are mapped by their description. */
const SKIES = [
  ["storm", (code, text) => code >= 95 || /thunder|storm/.test(text)],
  [
    "snow",
    (code, text) =>
      (code >= 71 && code <= 77) || code === 85 || code === 86 || /snow|sleet|ice|hail/.test(text),
  ],
  ["rain", (code, text) => (code >= 51 && code <= 82) || /rain|drizzle|shower/.test(text)],
  ["fog", (code, text) => code === 45 || code === 48 || /fog|mist|haze/.test(text)],
  ["partly", (code, text) => code === 1 || code === 2 || /partly|mainly/.test(text)],
  ["cloud", (code, text) => code === 3 || /cloud|overcast/.test(text)],
  ["clear", () => true],
];

const skyOf = ({ code, condition }) =>
  SKIES.find(([, fits]) => fits(code <= 99 ? code : NaN, (condition ?? "").toLowerCase()))[0];

/** The providers' names; their terms require it. */
const SOURCES = { "open-meteo": "Open-Meteo.com", weatherapi: "WeatherAPI.com" };

export class WeatherCard {
  root = createElement("ul", { class: "cities" });

  draw(frame) {
    const source = SOURCES[frame.data.source];
    this.note = source ? texts.dataBy(source) : "";
    setChildren(this.root, frame.data.cities.map(createCity));
  }
}

function createCity(now) {
  const isKnown = now.temperature_c !== null;
  const air = `${formatNumber(now.humidity_percent, 0)} % · ${formatNumber(now.wind_kph, 0)} km/h`;
  return createElement(
    "li",
    { class: "city" },
    createElement("h3", { title: now.city }, now.city),
    createElement(
      "p",
      { class: "degrees" },
      isKnown ? `${formatNumber(now.temperature_c, 0).replace("-", "−")}°` : texts.noValue,
    ),
    isKnown && createIcon(`sky-${skyOf(now)}`),
    createElement("p", { class: "quiet" }, isKnown ? now.condition : texts.noData),
    isKnown &&
      createElement("p", { class: "quiet" }, hiddenText(texts.humidityAndWind), air),
    isKnown &&
      now.stale &&
      createElement(
        "p",
        { class: "quiet old" },
        now.age_seconds === null ? texts.stale : texts.staleCity(formatAge(now.age_seconds)),
      ),
  );
}
