// Signs in at an OpenID Connect issuer: authorization code with PKCE (RFC 7636), in this window.
// The tokens are stored for this tab, and renewed with the refresh token where the issuer gives one.

const TOKENS_KEY = "townsquare.oidc.tokens";
const REQUEST_KEY = "townsquare.oidc.request";
/** A token is renewed this long before it expires. */
const EXPIRY_MARGIN_MS = 60_000;

/** @typedef {{token: string, refreshToken: string|null, expiresAt: number}} Tokens */

export class OpenIdConnect {
  /** @type {Promise<any>|null} */
  #configuration = null;
  /** @type {Promise<void>|null} */
  #renewal = null;

  /** @param {{issuer: string, clientId: string, audience: string, scope: string}} options */
  constructor(options) {
    this.options = options;
  }

  get redirectUri() {
    return `${location.origin}/`;
  }

  /**
   * Reads the parameters with which the issuer redirected to this page.
   * @returns {Promise<boolean>} whether a user is signed in
   */
  async resume() {
    const parameters = new URLSearchParams(location.search);
    const request = readJson(REQUEST_KEY);
    if (request && parameters.get("state") === request.state) {
      sessionStorage.removeItem(REQUEST_KEY);
      history.replaceState(null, "", request.returnTo);
      const error = parameters.get("error_description") ?? parameters.get("error");
      if (error) throw new Error(error);
      await this.#exchange({
        grant_type: "authorization_code",
        code: parameters.get("code") ?? "",
        redirect_uri: this.redirectUri,
        code_verifier: request.verifier,
      });
    }
    return readJson(TOKENS_KEY) !== null;
  }

  /** Opens the sign-in page of the issuer. */
  async signIn() {
    const { authorization_endpoint: endpoint } = await this.#configure();
    const [state, verifier] = [randomText(), randomText()];
    const returnTo = location.pathname + location.search;
    sessionStorage.setItem(REQUEST_KEY, JSON.stringify({ state, verifier, returnTo }));
    const url = new URL(endpoint);
    const parameters = {
      response_type: "code",
      client_id: this.options.clientId,
      redirect_uri: this.redirectUri,
      scope: this.options.scope,
      state,
      code_challenge: await sha256(verifier),
      code_challenge_method: "S256",
    };
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    location.assign(url);
  }

  /** The token that the app verifies, or null if the user has to sign in again. */
  async token() {
    const tokens = readJson(TOKENS_KEY);
    if (!tokens || tokens.expiresAt - EXPIRY_MARGIN_MS > Date.now()) return tokens?.token ?? null;
    if (!tokens.refreshToken) return tokens.expiresAt > Date.now() ? tokens.token : null;
    this.#renewal ??= this.#exchange({
      grant_type: "refresh_token",
      refresh_token: tokens.refreshToken,
    }).finally(() => (this.#renewal = null));
    await this.#renewal;
    return readJson(TOKENS_KEY)?.token ?? null;
  }

  /** Deletes the tokens, and opens the issuer's sign-out if it has one. */
  async signOut() {
    sessionStorage.removeItem(TOKENS_KEY);
    const { end_session_endpoint: endpoint } = await this.#configure();
    if (!endpoint) return location.assign(this.redirectUri);
    const url = new URL(endpoint);
    url.searchParams.set("client_id", this.options.clientId);
    url.searchParams.set("post_logout_redirect_uri", this.redirectUri);
    location.assign(url);
  }

  #configure() {
    const address = `${this.options.issuer.replace(/\/+$/, "")}/.well-known/openid-configuration`;
    this.#configuration ??= fetch(address)
      .then((response) => {
        if (!response.ok) throw new Error(`The issuer returned status ${response.status}.`);
        return response.json();
      })
      .catch((error) => {
        this.#configuration = null; // the next call requests it again
        throw error;
      });
    return this.#configuration;
  }

  /** @param {Record<string, string>} grant */
  async #exchange(grant) {
    const { token_endpoint: endpoint } = await this.#configure();
    const body = new URLSearchParams({ ...grant, client_id: this.options.clientId });
    const response = await fetch(endpoint, { method: "POST", body });
    const result = await response.json().catch(() => ({}));
    if (!response.ok) {
      sessionStorage.removeItem(TOKENS_KEY);
      throw new Error(result.error_description ?? result.error ?? "The issuer gave no token.");
    }
    // The ID token is for this page; an access token is for the API where that is another audience.
    const isOwnAudience = this.options.audience === this.options.clientId;
    const tokens = {
      token: isOwnAudience ? result.id_token : result.access_token,
      refreshToken: result.refresh_token ?? grant.refresh_token ?? null,
      expiresAt: Date.now() + (result.expires_in ?? 300) * 1000,
    };
    sessionStorage.setItem(TOKENS_KEY, JSON.stringify(tokens));
  }
}

/** @param {string} key @returns {any} */
function readJson(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

const randomText = () => encode(crypto.getRandomValues(new Uint8Array(32)));

/** @param {string} text */
const sha256 = async (text) =>
  encode(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));

/** base64url @param {Uint8Array} bytes */
const encode = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
