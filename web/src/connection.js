// One live connection to the hub, kept alive: says its state, mends itself, wakes up right.
import { WebPubSubClient } from "@azure/web-pubsub-client";
import { NotConnected } from "./outbox.js";
import { Refusal } from "./session.js";
import { watch } from "./socket.js";

/** @typedef {"connecting" | "live" | "reconnecting" | "signed out"} State */

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
/** The service keeps a lost connection's place for 30 s; after that, start anew. */
const GIVE_UP_MENDING = 40_000;
const ACK_WITHIN = 20_000;
/** A socket that was silent this long is asked whether it still lives, when somebody looks. */
const SILENCE = 10_000;
const PONG_WITHIN = 4_000;
/** A connection that lasted this long was a good one: the next pause is short again. */
const STEADY = 10_000;

export class Connection {
  /** @type {State} */
  state = "signed out";
  id = null;
  #client = null;
  #socket = null;
  #token = null;
  #turn = 0;
  #failures = 0;
  #openedAt = 0;
  #heardAt = 0;
  #lostAt = 0;
  /** Ends with the client that is in use: nothing is awaited from one that was left. */
  #life = new AbortController();
  #wake = () => {};

  /**
   * @param {() => Promise<{url: string}>} negotiate
   * @param {{state: (state: State, why?: Error) => void, opened: (connectionId: string) => void, mended: () => void, frame: (data: any) => void}} hear
   */
  constructor(negotiate, hear) {
    this.negotiate = negotiate;
    this.hear = hear;
    watch({
      heard: (socket) => socket === this.#socket && this.#heard(),
      opened: (socket) =>
        tokenOf(socket) === this.#token ? (this.#socket = socket) : leave(socket),
      closed: (socket) => socket === this.#socket && this.#lost(),
    });
    const check = () => document.visibilityState === "visible" && this.check();
    document.addEventListener("visibilitychange", check);
    addEventListener("online", check);
    // A closed tab says goodbye; a page that the browser kept and shows again comes back.
    addEventListener("pagehide", () => {
      this.#turn += 1;
      this.#drop();
    });
    addEventListener(
      "pageshow",
      (event) => event.persisted && this.state !== "signed out" && this.start(),
    );
    setInterval(() => this.#watchdog(), 5_000);
  }

  start() {
    this.#set(this.id ? "reconnecting" : "connecting");
    this.#run(++this.#turn);
  }

  stop() {
    this.#turn += 1;
    this.#drop();
    this.id = null;
    this.#set("signed out");
  }

  /** Sends an event; done when it is acknowledged, NotConnected when there is no connection for it. */
  async send(event, data) {
    if (this.state !== "live") throw new NotConnected();
    const life = this.#life.signal;
    const abortSignal = AbortSignal.any([life, AbortSignal.timeout(ACK_WITHIN)]);
    try {
      await this.#client.sendEvent(event, data, "json", { abortSignal });
    } catch (error) {
      throw life.aborted || this.state !== "live" ? new NotConnected() : error;
    }
  }

  /** After a sleep a socket can look open and be dead. Ask it; without an answer, take a new one. */
  async check() {
    this.#wake();
    if (this.state !== "live" || Date.now() - this.#heardAt < SILENCE) return;
    const [socket, askedAt] = [this.#socket, Date.now()];
    try {
      socket.send('{"type":"ping"}');
    } catch {
      return this.#anew();
    }
    await pause(PONG_WITHIN);
    if (socket === this.#socket && this.state === "live" && this.#heardAt < askedAt) this.#anew();
  }

  async #run(turn) {
    while (turn === this.#turn) {
      try {
        return await this.#open(turn);
      } catch (why) {
        if (turn !== this.#turn) return;
        if (why instanceof Refusal && why.isFinal) return this.#refused(why);
        this.#set(this.id ? "reconnecting" : "connecting", why);
        await this.#pauseAfter(why);
      }
    }
  }

  async #open(turn) {
    const client = new WebPubSubClient(
      { getClientAccessUrl: () => this.#address() },
      // We start anew ourselves: only we know to wait with jitter, and where each room left off.
      { autoReconnect: false, autoRejoinGroups: false, messageRetryOptions: { maxRetries: 0 } },
    );
    const isOurs = () => turn === this.#turn;
    client.on("connected", ({ connectionId }) =>
      isOurs() ? this.#opened(connectionId) : client.stop(),
    );
    client.on("group-message", ({ message }) => isOurs() && this.#frame(message.data));
    client.on("server-message", ({ message }) => isOurs() && this.#frame(message.data));
    client.on("stopped", () => isOurs() && this.#anew());
    this.#client = client;
    this.#life = new AbortController();
    await client.start();
  }

  /** The client would swallow an error of ours. */
  #frame(data) {
    try {
      this.hear.frame(data);
    } catch (error) {
      reportError(error);
    }
  }

  async #address() {
    const { url } = await this.negotiate();
    this.#token = tokenOf({ url });
    return url;
  }

  #opened(connectionId) {
    this.id = connectionId;
    this.#openedAt = Date.now();
    this.#lostAt = 0;
    this.#set("live");
    this.hear.opened(connectionId);
  }

  /** The client mended the old connection when a frame comes on a new socket without a `connected`. */
  #heard() {
    this.#heardAt = Date.now();
    if (this.state !== "reconnecting" || !this.#lostAt) return;
    this.#lostAt = 0;
    this.#set("live");
    this.hear.mended();
  }

  #lost() {
    if (this.state !== "live") return;
    this.#lostAt = Date.now();
    this.#set("reconnecting");
  }

  /** Leaves the old client to itself and takes a new connection. */
  #anew() {
    this.#drop();
    this.#lostAt = 0;
    if (Date.now() - this.#openedAt > STEADY) this.#failures = 0;
    this.#set("reconnecting");
    const turn = ++this.#turn;
    this.#pauseAfter().then(() => this.#run(turn));
  }

  #refused(why) {
    this.stop();
    this.#set("signed out", why);
  }

  #drop() {
    this.#life.abort();
    if (this.#socket) this.#socket.leaving = true;
    this.#client?.stop();
    this.#client = this.#socket = this.#token = null;
  }

  /** A connection attempt can hang for minutes on a network that swallows packets. */
  #watchdog() {
    if (this.#lostAt && Date.now() - this.#lostAt > GIVE_UP_MENDING) this.#anew();
  }

  /** Half to all of a pause that doubles, so that a thousand pages do not return at once. */
  async #pauseAfter(why) {
    const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures++);
    const wait = Math.max(why?.retryAfter ?? 0, longest * (0.5 + Math.random() / 2));
    await Promise.race([
      pause(wait),
      why?.retryAfter ? never : new Promise((done) => (this.#wake = done)),
    ]);
  }

  #set(state, why) {
    this.state = state;
    this.hear.state(state, why);
  }
}

/** An old client that goes on mending what we left is known by its token. */
const tokenOf = (socket) => new URL(socket.url).searchParams.get("access_token");

function leave(socket) {
  socket.leaving = true;
  socket.close();
}

const never = new Promise(() => {});
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
