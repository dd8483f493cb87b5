// The app's HTTP functions, called with a session.

const REQUEST_TIMEOUT_MS = 15_000;

/** An error answer of the app: {"error": {"code", "message", "retry", "retry_after_ms"}}. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {{code?: string, message?: string, retry?: boolean, retry_after_ms?: number}} [error]
   */
  constructor(status, error = {}) {
    super(error.message ?? `The server answered with status ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.code = error.code ?? "unknown";
    this.retry = error.retry ?? (status >= 500 || status === 429);
    this.retryAfterMs = error.retry_after_ms ?? 0;
  }

  /** Whether the same request will be refused again. */
  get isFinal() {
    return this.status >= 400 && this.status < 500 && this.status !== 429 && !this.retry;
  }
}

/** The server gave no answer. */
export class NetworkError extends Error {
  constructor() {
    super("The server cannot be reached.");
    this.name = "NetworkError";
  }
}

export class HttpClient {
  /**
   * @param {string} url the app's address; empty for the page's own origin
   * @param {() => Promise<string|null>} getSession
   */
  constructor(url, getSession) {
    this.url = url.replace(/\/+$/, "");
    this.getSession = getSession;
  }

  /** @param {string} path @returns {Promise<any>} */
  get = (path) => this.#request("GET", path);

  /** @param {string} path @param {object} [body] @returns {Promise<any>} */
  post = (path, body = {}) => this.#request("POST", path, body);

  /** @param {string} method @param {string} path @param {object} [body] */
  async #request(method, path, body) {
    const session = await this.getSession();
    /** @type {Record<string, string>} */
    const headers = session ? { Authorization: `Bearer ${session}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers,
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    }).catch(() => {
      throw new NetworkError();
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new ApiError(response.status, answer.error);
    return answer;
  }
}
