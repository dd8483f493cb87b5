// One connection to the hub: opens it, opens it again after a loss, and reports its state.
import { WebPubSubClient } from "@azure/web-pubsub-client";
import { Backoff } from "./backoff.js";
import { sleep } from "./clock.js";
import { Emitter } from "./emitter.js";
import { ApiError } from "./http.js";
import { Liveness } from "./liveness.js";
import { SocketFactory } from "./socket.js";

/** @typedef {"connecting" | "live" | "reconnecting" | "closed"} ConnectionState */

/** The service keeps a lost connection for 30 s; after that a new one is opened. */
const RECOVERY_TIMEOUT_MS = 40_000;
const ACK_TIMEOUT_MS = 20_000;
/** After a connection that lasted this long the next delay is short again. */
const STABLE_MS = 10_000;
/** A handshake that takes longer is abandoned when the network or the page comes back. */
const SLOW_HANDSHAKE_MS = 2_000;

/** There is no connection; waiting events are sent with the next one. */
export class NotConnectedError extends Error {
  constructor() {
    super("There is no connection now.");
    this.name = "NotConnectedError";
  }
}

/**
 * Events: `state (state, error?)`, `opened (connectionId)` for a new connection, `recovered` when a
 * lost one goes on without a loss, `frame (data)`, and `socket (event)` for diagnostics:
 * `{time, event: "opened" | "closed" | "received" | "sent", data?, code?, reason?}`.
 */
export class Connection extends Emitter {
  /** @type {ConnectionState} */
  state = "closed";
  /** @type {string|null} */
  id = null;
  /** @type {WebPubSubClient|null} */
  #client = null;
  /** @type {SocketFactory|null} */
  #sockets = null;
  /** Counts the attempts: what an attempt does after a later one began is ignored. */
  #attempt = 0;
  #openedAt = 0;
  /** How often a socket was lost: what was sent before has no acknowledgement any more. */
  #losses = 0;
  #isRecovering = false;
  /** @type {any} */
  #recoveryTimer = null;
  /** Aborted with the client in use: nothing is awaited from one that was left. */
  #lifetime = new AbortController();
  /** Aborted to end the delay before the next attempt. */
  #delay = new AbortController();

  /**
   * @param {object} options
   * @param {() => Promise<{url: string}>} options.negotiate
   * @param {import("./clock.js").Clock} options.clock
   * @param {() => typeof WebSocket} options.webSocketClass
   */
  constructor({ negotiate, clock, webSocketClass }) {
    super();
    this.negotiate = negotiate;
    this.clock = clock;
    this.webSocketClass = webSocketClass;
    this.backoff = new Backoff(clock);
    this.liveness = new Liveness(clock, {
      ping: () => this.#ping(),
      dead: () => this.#reopen(),
    });
  }

  open() {
    this.#setState(this.id ? "reconnecting" : "connecting");
    this.#run(++this.#attempt);
  }

  /** @param {Error} [error] why, when it was not wanted */
  close(error) {
    this.#attempt += 1;
    this.#drop();
    this.#delay.abort();
    this.id = null;
    this.#setState("closed", error);
  }

  /**
   * Sends an event and waits for its acknowledgement.
   * @param {string} event
   * @param {object} data
   * @throws {NotConnectedError} without a connection, or when it is lost before the acknowledgement
   */
  async send(event, data) {
    const client = this.#client;
    if (this.state !== "live" || !client) throw new NotConnectedError();
    const lifetime = this.#lifetime.signal;
    const losses = this.#losses;
    const timeout = new AbortController();
    const timer = this.clock.setTimeout(() => timeout.abort(), ACK_TIMEOUT_MS);
    try {
      const abortSignal = AbortSignal.any([lifetime, timeout.signal]);
      await client.sendEvent(event, data, "json", { abortSignal });
    } catch (error) {
      throw lifetime.aborted || losses !== this.#losses ? new NotConnectedError() : error;
    } finally {
      this.clock.clearTimeout(timer);
    }
  }

  /**
   * To be called when the network has changed or the page is visible again. Ends a delay, abandons a
   * slow handshake, and sends a ping on an open socket.
   */
  check() {
    this.#delay.abort();
    const socket = this.#sockets?.current;
    if (this.state === "live") this.liveness.probe();
    else if (socket && !socket.isOpen() && this.clock.now() - socket.createdAt > SLOW_HANDSHAKE_MS)
      socket.abandon(undefined, "the network changed");
  }

  async #run(/** @type {number} */ attempt) {
    while (attempt === this.#attempt) {
      try {
        return await this.#openClient(attempt);
      } catch (reason) {
        if (attempt !== this.#attempt) return;
        const error = reason instanceof Error ? reason : new Error("The connection failed.");
        if (error instanceof ApiError && error.isFinal) return this.close(error);
        this.#setState(this.id ? "reconnecting" : "connecting", error);
        await this.#wait(error instanceof ApiError ? error.retryAfterMs : 0);
      }
    }
  }

  async #openClient(/** @type {number} */ attempt) {
    const isCurrent = () => attempt === this.#attempt;
    const { url } = await this.negotiate();
    if (!isCurrent()) return;
    const sockets = this.#makeSockets(isCurrent);
    const client = createPubSubClient(url, sockets);
    client.on("connected", ({ connectionId }) => isCurrent() && this.#opened(connectionId));
    client.on("group-message", ({ message }) => isCurrent() && this.emit("frame", message.data));
    client.on("server-message", ({ message }) => isCurrent() && this.emit("frame", message.data));
    client.on("stopped", () => isCurrent() && this.#reopen());
    this.#sockets = sockets;
    this.#client = client;
    this.#lifetime = new AbortController();
    await client.start();
  }

  #makeSockets(/** @type {() => boolean} */ isCurrent) {
    /** @param {string} event @param {object} [details] */
    const report = (event, details) => this.emit("socket", { time: this.clock.now(), event, ...details });
    return new SocketFactory(this.webSocketClass(), this.clock, {
      opened: (socket) => {
        report("opened");
        // The service sends nothing when a connection is recovered: the pong shows that it works.
        if (this.#isRecovering && isCurrent()) socket.send('{"type":"ping"}');
      },
      closed: (_, details) => {
        report("closed", details);
        if (isCurrent()) this.#lost();
      },
      received: (_, data) => {
        report("received", { data });
        if (isCurrent()) this.#received();
      },
      sent: (_, data) => report("sent", { data }),
    });
  }

  #opened(/** @type {string} */ connectionId) {
    this.id = connectionId;
    this.#openedAt = this.clock.now();
    this.#endRecovery();
    this.liveness.start();
    this.#setState("live");
    this.emit("opened", connectionId);
  }

  /** The official client recovers a lost connection by itself; a frame on the new socket shows it. */
  #received() {
    this.liveness.received();
    if (!this.#isRecovering) return;
    this.#endRecovery();
    this.liveness.start();
    this.#setState("live");
    this.emit("recovered");
  }

  #lost() {
    if (this.state !== "live") return;
    this.liveness.stop();
    this.#losses += 1;
    this.#isRecovering = true;
    this.#recoveryTimer = this.clock.setTimeout(() => this.#reopen(), RECOVERY_TIMEOUT_MS);
    this.#setState("reconnecting");
  }

  #endRecovery() {
    this.#isRecovering = false;
    this.clock.clearTimeout(this.#recoveryTimer);
  }

  /** Leaves the client in use and opens a new connection after a delay. */
  async #reopen() {
    const attempt = ++this.#attempt;
    this.#drop();
    if (this.clock.now() - this.#openedAt > STABLE_MS) this.backoff.reset();
    this.#setState("reconnecting");
    await this.#wait();
    this.#run(attempt);
  }

  #drop() {
    this.liveness.stop();
    this.#endRecovery();
    this.#lifetime.abort();
    if (this.#client) this.#sockets?.dispose(this.#client);
    this.#client = this.#sockets = null;
  }

  #ping() {
    this.#sockets?.current?.send('{"type":"ping"}').catch(() => this.#reopen());
  }

  async #wait(retryAfterMs = 0) {
    this.#delay = new AbortController();
    // A delay that the server asked for is not cut short.
    const signal = retryAfterMs ? undefined : this.#delay.signal;
    await sleep(this.clock, this.backoff.next(retryAfterMs), signal);
  }

  #setState(/** @type {ConnectionState} */ state, /** @type {Error|undefined} */ error = undefined) {
    this.state = state;
    this.emit("state", state, error);
  }
}

/**
 * The official client, on sockets of ours.
 * @param {string} url @param {SocketFactory} sockets
 */
function createPubSubClient(url, sockets) {
  const client = new WebPubSubClient(url, {
    // New connections, retries and keep-alive are done by the callers of this function: they know
    // the position of each room and the messages without an acknowledgement.
    autoReconnect: false,
    autoRejoinGroups: false,
    messageRetryOptions: { maxRetries: 0 },
    keepAliveIntervalInMs: 0,
    keepAliveTimeoutInMs: 0,
  });
  // The one place where it makes its sockets; it has no public option for it.
  Object.assign(client, { _getWebSocketClientFactory: () => sockets });
  return client;
}
