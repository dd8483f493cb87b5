// Builds the page's elements: text goes in as text, never as markup.

/**
 * An element with its attributes, listeners (`onclick`) and children.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node|string|number|null|undefined|false)} children
 * @returns {any}
 */
export function createElement(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(
    ...children
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map((child) => (child instanceof Node ? child : String(child))),
  );
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** An icon from the sprite in index.html; a text beside it has its meaning. */
export function createIcon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** Sets a text only if it differs, which avoids an unnecessary layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute only if it differs; null removes it. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/**
 * Makes `nodes` the children of `parent`, in order, and changes only what differs.
 * @param {Element} parent
 * @param {Node[]} nodes
 */
export function setChildren(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  let next = parent.firstChild;
  for (const node of nodes) {
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  }
}

/**
 * A function that runs at most once per animation frame, independent of the number of calls.
 * Browsers give a hidden tab no frames, so a hidden page updates its state and draws nothing.
 */
export function oncePerFrame(draw) {
  let isRequested = false;
  return () => {
    if (isRequested) return;
    isRequested = true;
    requestAnimationFrame(() => {
      isRequested = false;
      draw();
    });
  };
}

/** The server's palette: a number of it is a colour that a user can choose. */
export const COLOURS = 12;

/** A user's initial on the chosen colour, or on one that is always the same for the same name. */
export function createAvatar(name, colour, size = "") {
  const initial = [...name][0]?.toUpperCase() ?? "?";
  const avatar = createElement("span", { class: `avatar ${size}`, "aria-hidden": "true" }, initial);
  avatar.style.setProperty("--hue", String(colour === null ? hueOf(name) : hueOfColour(colour)));
  return avatar;
}

export function hueOf(name) {
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  return hue;
}

export const hueOfColour = (colour) => (colour * 360) / COLOURS;

/** The status text of a user, or nothing. @param {string} status */
export const createStatus = (status) =>
  status && createElement("span", { class: "quiet status", dir: "auto", title: status }, status);

/** Text for screen readers only. */
export const hiddenText = (text) => createElement("span", { class: "visually-hidden" }, text);
