// ?debug: the frames as they come, the connection's id, each room's seq, the delay from the server.
import { el, perFrame } from "./dom.js";
import { watch } from "./socket.js";

const KEPT = 200;

export function begin({ connection, rooms }) {
  const frames = [];
  let delay = null;
  const head = el("pre", { class: "debug-head" });
  const tail = el("pre", { class: "debug-frames", tabindex: "0", "aria-label": "Frames" });
  document.body.append(el("aside", { class: "debug", "aria-label": "Debug" }, head, tail));

  const draw = perFrame(() => {
    const seqs = [...rooms.places.values()].map(
      ({ key, log }) => `${key} ${log.last}/${log.head} epoch ${log.epoch ?? "–"}`,
    );
    head.textContent = [
      `connection ${connection.id ?? "–"} ${connection.state}`,
      `delay ${delay === null ? "–" : `${delay} ms (both clocks)`}`,
      ...seqs,
    ].join("\n");
    tail.textContent = frames.join("\n");
  });
  const add = (sign, data) => {
    frames.unshift(`${new Date().toISOString().slice(11, 23)} ${sign} ${data}`);
    frames.length = Math.min(frames.length, KEPT);
    draw();
  };
  watch({
    opened: () => add("●", "open"),
    closed: (_, { code, reason }) => add("○", `closed ${code} ${reason}`),
    said: (_, data) => add("→", data),
    heard: (_, data) => {
      const sentAt = Date.parse(JSON.parse(data).data?.timestamp);
      if (sentAt) delay = Date.now() - sentAt;
      add("←", data);
    },
  });
}
