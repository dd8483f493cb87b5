// Exponential back-off with jitter.

const FIRST_DELAY_MS = 500;
export const MAX_DELAY_MS = 30_000;

export class Backoff {
  #attempts = 0;

  /** @param {import("./clock.js").Clock} clock */
  constructor(clock) {
    this.clock = clock;
  }

  /**
   * The next delay: half to all of a time that doubles up to 30 s, so that many clients do not
   * come back at the same moment. It is never shorter than what the server asks for.
   * @param {number} [retryAfterMs]
   */
  next(retryAfterMs = 0) {
    const longest = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts);
    this.#attempts = Math.min(this.#attempts + 1, 16);
    return Math.max(retryAfterMs, longest * (0.5 + this.clock.random() / 2));
  }

  reset() {
    this.#attempts = 0;
  }
}
