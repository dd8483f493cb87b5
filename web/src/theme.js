// Light or dark: the system's setting until the user chooses one; the same in all tabs.
import { onItemChange, readItem, writeItem } from "./storage.js";

const system = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;
const listeners = [];
let colours = new Map();

/** "system", "light" or "dark" */
export const chosenTheme = () => readItem("theme") ?? "system";

export function watchTheme() {
  system.addEventListener("change", changed);
  onItemChange("theme", apply);
  apply();
}

export function chooseTheme(theme) {
  writeItem("theme", theme === "system" ? null : theme);
  apply();
}

export const onThemeChange = (listener) => void listeners.push(listener);

/** A colour of the theme as it is now, "rgb(r, g, b)", for drawing on a canvas. */
export function themeColour(name) {
  if (!colours.has(name)) colours.set(name, resolveColour(name));
  return colours.get(name);
}

/** light-dark() is resolved only for an element that uses the colour. */
function resolveColour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  root.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function apply() {
  const theme = chosenTheme();
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  changed();
}

function changed() {
  colours = new Map();
  for (const listener of listeners) listener();
}
