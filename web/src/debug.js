// ?debug: the frames in and out, the connection's history, each room's position, and sending events.
import { createElement, oncePerFrame } from "./dom.js";
import { texts } from "./texts.js";

const MAX_FRAMES = 500;
const MAX_HISTORY = 50;
const words = texts.debug;

/** @param {import("townsquare-client").Client} client */
export function showDebugView(client) {
  const frames = [];
  const history = [];
  let [delay, isPaused, filter] = [null, false, ""];
  const status = createElement("pre", { class: "debug-status" });
  const list = createElement("pre", { class: "debug-frames", tabindex: "0", "aria-label": words.frames });
  const connections = createElement("pre", {
    class: "debug-history",
    tabindex: "0",
    "aria-label": words.history,
  });
  const input = createElement("input", { type: "search", placeholder: words.filter, "aria-label": words.filter });
  const pause = createElement("button", { class: "link" }, words.pause);
  const clear = createElement("button", { class: "link" }, words.clear);

  const draw = oncePerFrame(() => {
    status.textContent = [
      words.connection(client.connection.id ?? texts.noValue, client.state),
      words.delay(delay === null ? texts.noValue : `${delay} ms`),
      ...client.conversations.map(describeLog),
    ].join("\n");
    connections.textContent = history.join("\n");
    if (isPaused) return;
    const shown = frames.filter((line) => line.toLowerCase().includes(filter));
    list.textContent = shown.join("\n");
  });
  const add = (lines, max, line) => {
    lines.unshift(line);
    lines.length = Math.min(lines.length, max);
    draw();
  };

  input.addEventListener("input", () => {
    filter = input.value.toLowerCase();
    draw();
  });
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? words.resume : words.pause;
    draw();
  });
  clear.addEventListener("click", () => {
    frames.length = 0;
    draw();
  });
  client.on("socket", ({ time, event, data, code, reason }) => {
    const at = new Date(time).toISOString().slice(11, 23);
    if (event === "received") delay = delayOf(data) ?? delay;
    if (event === "received") add(frames, MAX_FRAMES, `${at} ← ${data}`);
    else if (event === "sent") add(frames, MAX_FRAMES, `${at} → ${data}`);
    else add(frames, MAX_FRAMES, `${at} ● ${event === "opened" ? words.opened : words.closed(code, reason)}`);
    if (event === "closed") add(history, MAX_HISTORY, `${at} ${words.closed(code, reason)}`);
  });
  client.on("state", (state, error) => {
    const at = new Date().toISOString().slice(11, 23);
    add(history, MAX_HISTORY, `${at} ${state}${error ? ` ${error.message}` : ""}`);
  });
  client.on("change", draw);

  const tools = createElement("p", { class: "debug-tools" }, input, pause, clear);
  const side = createElement("div", { class: "debug-side" }, status, connections, createSender(client));
  const main = createElement("div", { class: "debug-main" }, tools, list);
  document.body.append(createElement("aside", { class: "debug", "aria-label": words.title }, side, main));
  draw();
}

function describeLog({ key, log }) {
  const lag = log.head - log.last;
  const line = words.room(key, log.last, log.head, log.epoch ?? texts.noValue);
  return lag > 0 ? line + words.lag(lag) : line;
}

function delayOf(data) {
  const sentAt = Date.parse(JSON.parse(data).data?.timestamp);
  return sentAt ? Date.now() - sentAt : null;
}

/** A form that sends any event of the app. */
function createSender(client) {
  const event = createElement("input", { value: "typing", "aria-label": words.eventName });
  const data = createElement("input", { value: '{"room": "lobby"}', "aria-label": words.eventData });
  const outcome = createElement("output", {});
  const form = createElement(
    "form",
    { class: "debug-sender", "aria-label": words.sendTitle },
    event,
    data,
    createElement("button", { class: "link" }, words.send),
    outcome,
  );
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    outcome.textContent = "";
    let parsed;
    try {
      parsed = JSON.parse(data.value);
    } catch {
      outcome.textContent = words.invalidJson;
      return;
    }
    try {
      await client.sendEvent(event.value, parsed);
      outcome.textContent = words.acknowledged;
    } catch (error) {
      outcome.textContent = error.message;
    }
  });
  return form;
}
