// Notices a connection that looks open and is dead: a half-open socket.

/** After so long without a frame the service is asked for a pong. */
export const SILENCE_MS = 15_000;
/** Without any frame in this time after the ping, the connection is dead. */
export const PONG_TIMEOUT_MS = 10_000;
/** The same when there is a reason to doubt: the page woke up, or the network changed. */
const QUICK_PONG_TIMEOUT_MS = 4_000;

export class Liveness {
  #receivedAt = 0;
  /** @type {any} */
  #timer = null;
  #isWaiting = false;

  /**
   * @param {import("./clock.js").Clock} clock
   * @param {{ping: () => void, dead: () => void}} actions
   */
  constructor(clock, actions) {
    this.clock = clock;
    this.actions = actions;
  }

  /** The connection is open from now on. */
  start() {
    this.#receivedAt = this.clock.now();
    this.#isWaiting = false;
    this.#schedule(SILENCE_MS);
  }

  stop() {
    this.clock.clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** To be called for each received frame. */
  received() {
    if (this.#timer === null) return;
    this.#receivedAt = this.clock.now();
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#schedule(SILENCE_MS);
  }

  /** Sends a ping now; the pong is expected soon. */
  probe() {
    if (this.#timer !== null) this.#ping(QUICK_PONG_TIMEOUT_MS);
  }

  #check() {
    const silence = this.clock.now() - this.#receivedAt;
    if (silence < SILENCE_MS) this.#schedule(SILENCE_MS - silence);
    else this.#ping(PONG_TIMEOUT_MS);
  }

  /** @param {number} timeoutMs */
  #ping(timeoutMs) {
    this.#isWaiting = true;
    this.#schedule(timeoutMs, () => this.#giveUp());
    this.actions.ping();
  }

  #giveUp() {
    this.stop();
    this.actions.dead();
  }

  #schedule(/** @type {number} */ milliseconds, action = () => this.#check()) {
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(action, milliseconds);
  }
}
