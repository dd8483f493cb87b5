// Who is at this page, and the app's HTTP functions called in that name.

export const KEEP = "townsquare.session";
const ANSWER_WITHIN = 15_000;

/** What the app refuses, in its own words: {"error": {"code", "message", "retry", "retry_after_ms"}}. */
export class Refusal extends Error {
  constructor(status, error = {}) {
    super(error.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = error.code ?? "failed";
    this.retry = error.retry ?? status >= 500;
    this.retryAfter = error.retry_after_ms ?? 0;
  }

  /** Asking again in the same way will not help. */
  get isFinal() {
    return this.status >= 400 && this.status < 500 && this.status !== 429 && !this.retry;
  }
}

export class Session {
  /** @param {Storage} storage shared by all tabs of a browser: two tabs are one person. */
  constructor(storage = localStorage) {
    this.storage = storage;
    const kept = read(storage);
    this.userId = kept?.user_id ?? null;
    this.proof = kept?.session ?? null;
  }

  get isKnown() {
    return this.userId !== null;
  }

  /**
   * Asks for an address to connect to. A first call with a name makes a new person;
   * from then on the session that came back keeps them the same.
   * @param {{name?: string, groups: string[]}} wish
   */
  async negotiate({ name, groups }) {
    // Another tab may have come in meanwhile: be the same person there and here.
    const kept = read(this.storage);
    if (kept) [this.userId, this.proof] = [kept.user_id, kept.session];
    const answer = await this.post("/api/negotiate", { user_id: name ?? undefined, groups });
    this.userId = answer.user_id;
    this.proof = answer.session ?? this.proof;
    this.storage.setItem(KEEP, JSON.stringify({ user_id: this.userId, session: this.proof }));
    return answer;
  }

  forget() {
    this.storage.removeItem(KEEP);
    this.userId = this.proof = null;
  }

  get = (path) => this.#call("GET", path);
  post = (path, body = {}) => this.#call("POST", path, body);

  async #call(method, path, body) {
    const headers = this.proof ? { Authorization: `Bearer ${this.proof}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    const request = {
      method,
      headers,
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_WITHIN),
    };
    const response = await fetch(path, request).catch(() => {
      throw new Error("The server cannot be reached.");
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refusal(response.status, answer.error);
    return answer;
  }
}

function read(storage) {
  try {
    return JSON.parse(storage.getItem(KEEP));
  } catch {
    return null;
  }
}
