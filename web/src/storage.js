// The page's data in this browser: the session, preferences, drafts and joined rooms.
// The storage may be full or forbidden; then the page works without it until it is closed.

const PREFIX = "townsquare.";
/** @type {Map<string, string>} */
const fallback = new Map();

export const SESSION_KEY = `${PREFIX}session`;
/** A sentence that survives the reload which a sign-out is. */
const SENTENCE_KEY = `${PREFIX}sentence`;

/** The browser's storage, or null where it is forbidden: there, to read the property is an error. */
export const browserStorage = openStorage("localStorage");
const tabStorage = openStorage("sessionStorage");

/** @param {"localStorage" | "sessionStorage"} name @returns {Storage|null} */
function openStorage(name) {
  try {
    return window[name];
  } catch {
    return null;
  }
}

/** @param {string} name @returns {any} the parsed value, or null */
export function readItem(name) {
  try {
    return JSON.parse(fallback.get(name) ?? browserStorage?.getItem(PREFIX + name) ?? "null");
  } catch {
    return null;
  }
}

/** A sentence for the page after a reload, or nothing. @param {string} sentence */
export function keepSentence(sentence) {
  if (sentence) tabStorage?.setItem(SENTENCE_KEY, sentence);
}

/** The sentence that was kept, once. @returns {string} */
export function takeSentence() {
  const sentence = tabStorage?.getItem(SENTENCE_KEY) ?? "";
  tabStorage?.removeItem(SENTENCE_KEY);
  return sentence;
}

/** @param {string} name @param {any} value null removes it */
export function writeItem(name, value) {
  fallback.delete(name);
  if (value === null) return browserStorage?.removeItem(PREFIX + name);
  const text = JSON.stringify(value);
  try {
    if (browserStorage) browserStorage.setItem(PREFIX + name, text);
    else fallback.set(name, text);
  } catch {
    fallback.set(name, text); // the storage is full
  }
}

/** Calls `listener` when another tab changes the item. @param {string} name @param {() => void} listener */
export function onItemChange(name, listener) {
  addEventListener("storage", ({ key }) => (key === PREFIX + name || key === null) && listener());
}

/** Removes the data of the user, but not the preferences for the appearance of the page. */
export function forgetUser() {
  for (const name of ["session", "rooms", "muted"]) writeItem(name, null);
  removeItems("draft.");
  removeItems("outbox.");
}

function removeItems(prefix) {
  for (const name of fallback.keys()) if (name.startsWith(prefix)) fallback.delete(name);
  if (!browserStorage) return;
  const storage = browserStorage;
  const names = Array.from({ length: storage.length }, (_, index) => storage.key(index));
  for (const name of names) if (name?.startsWith(PREFIX + prefix)) storage.removeItem(name);
}
