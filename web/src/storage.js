// The page's data in this browser: the session, preferences, drafts and joined rooms.
// The storage may be full or forbidden; then the page works without it until it is closed.

const PREFIX = "townsquare.";
/** @type {Map<string, string>} */
const fallback = new Map();

export const SESSION_KEY = `${PREFIX}session`;

/** @param {string} name @returns {any} the parsed value, or null */
export function readItem(name) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name) ?? fallback.get(name) ?? "null");
  } catch {
    return null;
  }
}

/** @param {string} name @param {any} value null removes it */
export function writeItem(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    if (value === null) fallback.delete(name);
    else fallback.set(name, JSON.stringify(value));
  }
}

/** Calls `listener` when another tab changes the item. @param {string} name @param {() => void} listener */
export function onItemChange(name, listener) {
  addEventListener("storage", ({ key }) => (key === PREFIX + name || key === null) && listener());
}

/** Removes the data of the user, but not the preferences for the appearance of the page. */
export function forgetUser() {
  for (const name of ["session", "rooms", "muted"]) writeItem(name, null);
  removeItems(`${PREFIX}draft.`);
  removeItems(`${PREFIX}outbox.`);
}

function removeItems(prefix) {
  try {
    const names = Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index));
    for (const name of names) if (name?.startsWith(prefix)) localStorage.removeItem(name);
  } catch {
    // The storage is disabled, so it has no data.
  }
}
