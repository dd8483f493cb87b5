// The WebSocket below the official client, observed and with a deadline for its handshake.
//
// The official client recovers a broken connection without an event and waits for a
// handshake as long as the platform does, which can be minutes. So it gets this class as its
// socket: it reports events and can be abandoned.

/**
 * @typedef {object} SocketObserver
 * @property {(socket: ObservedSocket) => void} opened
 * @property {(socket: ObservedSocket, event: {code: number, reason: string}) => void} closed
 * @property {(socket: ObservedSocket, data: string) => void} received
 * @property {(socket: ObservedSocket, data: string) => void} sent
 */

/** From the call of `new WebSocket` to the first frame of the service. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
const NORMAL_CLOSURE = 1000;
const ABNORMAL_CLOSURE = 1006;

/** Makes the sockets of one official client, one after the other, until it is disposed of. */
export class SocketFactory {
  /** @type {ObservedSocket|null} */
  current = null;
  #isDisposed = false;

  /**
   * @param {typeof WebSocket} WebSocketClass
   * @param {import("./clock.js").Clock} clock
   * @param {SocketObserver} observer
   */
  constructor(WebSocketClass, clock, observer) {
    this.WebSocketClass = WebSocketClass;
    this.clock = clock;
    this.observer = observer;
  }

  /** @param {string} url @param {string} protocol */
  create(url, protocol) {
    if (this.#isDisposed) throw new Error("The connection was closed by its owner.");
    const socket = new this.WebSocketClass(url, protocol);
    this.current = new ObservedSocket(socket, this.clock, this.observer);
    return this.current;
  }

  /**
   * Stops the official client. After a normal closure the service does not keep the
   * connection for a recovery; the client itself would close without a code.
   * @param {{stop: () => void}} client
   */
  dispose(client) {
    this.#isDisposed = true;
    if (this.current) this.current.closeCode = NORMAL_CLOSURE;
    client.stop();
    this.current?.abandon(NORMAL_CLOSURE, "closed by the client");
  }
}

/** What the official client expects of a socket (its `WebSocketClientLike`). */
export class ObservedSocket {
  isFinished = false;
  /** The code to close with when none is given. @type {number|undefined} */
  closeCode = undefined;
  /** @type {() => void} */
  #onopen = () => {};
  /** @type {(code: number, reason: string) => void} */
  #onclose = () => {};
  /** @type {(error: any) => void} */
  #onerror = () => {};
  /** @type {(data: any) => void} */
  #onmessage = () => {};

  /**
   * @param {WebSocket} socket
   * @param {import("./clock.js").Clock} clock
   * @param {SocketObserver} observer
   */
  constructor(socket, clock, observer) {
    this.socket = socket;
    this.clock = clock;
    this.observer = observer;
    this.createdAt = clock.now();
    socket.binaryType = "arraybuffer";
    this.handshakeTimer = clock.setTimeout(
      () => this.abandon(undefined, "the handshake got no response"),
      HANDSHAKE_TIMEOUT_MS,
    );
    socket.addEventListener("open", () => this.#opened());
    socket.addEventListener("message", (event) => this.#received(event.data));
    socket.addEventListener("error", (event) => !this.isFinished && this.#onerror(event));
    socket.addEventListener("close", ({ code, reason }) => this.#finish(code, reason));
  }

  onopen = (/** @type {() => void} */ listener) => void (this.#onopen = listener);
  onclose = (/** @type {(code: number, reason: string) => void} */ listener) =>
    void (this.#onclose = listener);
  onerror = (/** @type {(error: any) => void} */ listener) => void (this.#onerror = listener);
  onmessage = (/** @type {(data: any) => void} */ listener) => void (this.#onmessage = listener);

  isOpen() {
    return !this.isFinished && this.socket.readyState === 1;
  }

  /** @param {string} data */
  async send(data) {
    this.socket.send(data);
    this.observer.sent(this, data);
  }

  /** @param {number} [code] @param {string} [reason] */
  close(code = this.closeCode, reason) {
    if (code === undefined) this.socket.close();
    else this.socket.close(code, reason);
  }

  /**
   * Abandons the socket without waiting for the closing handshake, which a dead network blocks.
   * @param {number} [code] @param {string} [reason]
   */
  abandon(code, reason = "") {
    if (this.isFinished) return;
    if (code === undefined) this.socket.close();
    else this.socket.close(code, reason);
    this.#finish(code ?? ABNORMAL_CLOSURE, reason);
  }

  #opened() {
    if (this.isFinished) return;
    this.observer.opened(this);
    this.#onopen();
  }

  /** @param {string} data */
  #received(data) {
    if (this.isFinished) return;
    this.clock.clearTimeout(this.handshakeTimer);
    this.observer.received(this, data);
    this.#onmessage(data);
  }

  /** @param {number} code @param {string} reason */
  #finish(code, reason) {
    if (this.isFinished) return;
    this.isFinished = true;
    this.clock.clearTimeout(this.handshakeTimer);
    this.observer.closed(this, { code, reason });
    this.#onclose(code, reason);
  }
}
