// Light or dark: as the system says, until the person says otherwise.

const KEEP = "townsquare.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;
const listeners = [];
let colours = new Map();

export const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

export function begin() {
  const kept = localStorage.getItem(KEEP);
  if (kept) root.dataset.theme = kept;
  system.addEventListener("change", changed);
}

/** The other theme; the choice is kept only while it differs from the system's. */
export function toggle() {
  const wanted = isDark() ? "light" : "dark";
  if ((wanted === "dark") === system.matches) {
    localStorage.removeItem(KEEP);
    delete root.dataset.theme;
  } else {
    localStorage.setItem(KEEP, wanted);
    root.dataset.theme = wanted;
  }
  changed();
}

export const onChange = (listener) => void listeners.push(listener);

/** A colour of the theme as it is now, "rgb(r, g, b)", for what is drawn by hand. */
export function colour(name) {
  if (!colours.has(name)) colours.set(name, resolved(name));
  return colours.get(name);
}

/** Only an element that wears the colour knows which side of light-dark() it has. */
function resolved(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  root.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function changed() {
  colours = new Map();
  for (const listener of listeners) listener();
}
