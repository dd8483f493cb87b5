// The app's HTTP functions, called with a session.

const REQUEST_TIMEOUT_MS = 15_000;

/** An error response of the app: {"error": {"code", "message", "retry", "retry_after_ms"}}. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {{code?: string, message?: string, retry?: boolean, retry_after_ms?: number}} [error]
   */
  constructor(status, error = {}) {
    super(error.message ?? `The server returned status ${status}.`);
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

/** The server sent no response. */
export class NetworkError extends Error {
  constructor() {
    super("The server cannot be reached.");
    this.name = "NetworkError";
  }
}

/** The server responds, but a page of this origin may not read the response (CORS). */
export class OriginError extends NetworkError {
  /** @param {string} origin */
  constructor(origin) {
    super();
    this.name = "OriginError";
    this.message = `Pages of ${origin} may not call this app: see its setting ALLOWED_ORIGINS.`;
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

  /** @param {string} path @param {object} [body] @returns {Promise<any>} */
  put = (path, body = {}) => this.#request("PUT", path, body);

  /** @param {string} path @param {object} body @returns {Promise<any>} */
  patch = (path, body) => this.#request("PATCH", path, body);

  /** @param {string} path @returns {Promise<any>} */
  delete = (path) => this.#request("DELETE", path);

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
    }).catch(async () => {
      throw (await this.#findRefusedOrigin()) ?? new NetworkError();
    });
    const content = await response.json().catch(() => ({}));
    if (!response.ok) throw new ApiError(response.status, content.error);
    return content;
  }

  /** A browser hides why a request failed. One whose response is not read needs no permission. */
  async #findRefusedOrigin() {
    const own = globalThis.location?.origin;
    if (!own || new URL(this.url || own, own).origin === own) return null;
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const response = fetch(`${this.url}/api/health`, { mode: "no-cors", signal });
    return response.then(() => new OriginError(own)).catch(() => null);
  }
}
