// The browser's WebSocket, watched.
//
// The official client mends a broken connection without telling anyone, and that is what a person
// looking at the page wants to know. So the build gives the client this class for its WebSocket:
// the same one, with somebody looking on. ?debug shows what is seen here.

/** @typedef {{opened?: (socket: WebSocket) => void, closed?: (socket: WebSocket, event: CloseEvent) => void, heard?: (socket: WebSocket, data: string) => void, said?: (socket: WebSocket, data: string) => void}} Watcher */

/** @type {Set<Watcher>} */
const watchers = new Set();

/** @param {Watcher} watcher */
export const watch = (watcher) => void watchers.add(watcher);

class WatchedWebSocket extends globalThis.WebSocket {
  /** Set when the person goes: tells the service not to keep the place for the usual 30 s. */
  leaving = false;

  constructor(url, protocols) {
    super(url, protocols);
    this.addEventListener("open", () => watchers.forEach((w) => w.opened?.(this)));
    this.addEventListener("close", (event) => watchers.forEach((w) => w.closed?.(this, event)));
    this.addEventListener("message", (event) =>
      watchers.forEach((w) => w.heard?.(this, event.data)),
    );
  }

  send(data) {
    super.send(data);
    watchers.forEach((w) => w.said?.(this, data));
  }

  close(code, reason) {
    // The client closes without a status, which the service takes for a lost network.
    super.close(code ?? (this.leaving ? 1000 : undefined), reason);
  }
}

export { WatchedWebSocket as WebSocket };
