// The user of the page: a guest with a name, or an account of the platform or of an issuer.
import { ask } from "./dialogs.js";
import { byId, setText } from "./dom.js";
import { keepSentence, readItem, takeSentence, writeItem } from "./storage.js";
import { texts } from "./texts.js";

const NAMES = ["Maple", "Heron", "Juniper", "Robin", "Willow", "Otter"];
NAMES.push("Clover", "Wren", "Hazel", "Finch", "Sorrel", "Linden");
/** learn.microsoft.com/azure/app-service/configure-authentication-customize-sign-in-out */
const PLATFORM_SIGN_IN = "/.auth/login/aad?post_login_redirect_uri=";
const PLATFORM_SIGN_OUT = "/.auth/logout?post_logout_redirect_uri=/";
/** With these the stored session is of no use any more. Others say nothing about the user. */
const LOST_CODES = ["unauthenticated", "user_deleted"];

/** What the app wrote into the document: how it identifies its users, and at which issuer. */
const { identity = "guest", issuer, clientId, audience, scope } = document.documentElement.dataset;

export class SignIn {
  /** @type {import("./oidc.js").OpenIdConnect|null} */
  #issuer = null;

  /** @param {(name: string|null) => void} startApp */
  constructor(startApp) {
    this.startApp = startApp;
  }

  get isGuest() {
    return identity === "guest";
  }

  /** The proof of the identity, asked for at each request: another tab may have renewed it. */
  async session() {
    if (this.isGuest) return readItem("session")?.session ?? null;
    return this.#issuer ? this.#issuer.token() : null; // the platform's is a cookie
  }

  async start() {
    byId("name-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const name = byId("name").value.trim();
      if (name) this.startApp(name);
    });
    byId("sign-in").addEventListener("click", () => this.#signIn());
    byId("leave-access").addEventListener("click", () => byId("sign-out").click());
    if (identity === "oidc") return this.#resumeAtIssuer();
    if (!this.isGuest || readItem("session")) return this.startApp(null);
    this.#askForName();
  }

  /**
   * The server refuses this user, or the request, for good.
   * @param {Error & {code?: string}} error
   * @returns {boolean} whether it concerns the user, who leaves the conversation then
   */
  refused(error) {
    const isOfUser = ["banned", ...LOST_CODES].includes(error.code ?? "") || !readItem("session");
    if (error.code === "banned") this.#show("no-access");
    else if (!this.isGuest) this.#show("sign-in");
    else if (isOfUser) {
      writeItem("session", null);
      this.restart(error.message);
    }
    return isOfUser || !this.isGuest;
  }

  /** @param {() => void} signOut */
  confirmSignOut(signOut) {
    ask({
      title: texts.signOutQuestion,
      text: this.isGuest ? texts.signOutWarning : texts.signOutPlain,
      action: texts.signOut,
      submit: signOut,
    });
  }

  signedOut() {
    if (this.isGuest) this.leave("");
    else if (this.#issuer) this.#issuer.signOut().catch((error) => this.#fail(error));
    else location.assign(PLATFORM_SIGN_OUT);
  }

  /**
   * The same at the address of the lobby: the next guest does not open the conversation of this one.
   * @param {string} sentence why
   */
  leave(sentence) {
    history.replaceState(null, "", "/");
    this.restart(sentence);
  }

  /** Reloads the page without the user's data. @param {string} sentence why */
  restart(sentence) {
    keepSentence(sentence);
    location.reload();
  }

  #signIn() {
    if (this.#issuer) return this.#issuer.signIn().catch((error) => this.#fail(error));
    location.assign(PLATFORM_SIGN_IN + encodeURIComponent(location.pathname + location.search));
  }

  async #resumeAtIssuer() {
    const { OpenIdConnect } = await import("./oidc.js");
    byId("sign-in").hidden = !clientId; // without a client id there is no way to sign in from here
    this.#issuer = new OpenIdConnect({ issuer, clientId, audience, scope });
    try {
      if (await this.#issuer.resume()) return this.startApp(null);
    } catch (error) {
      this.#fail(error);
    }
    this.#show("sign-in");
  }

  #fail(/** @type {Error} */ error) {
    setText(byId("sign-in-error"), texts.signInFailed(error.message));
  }

  #askForName() {
    this.#show("name");
    const input = byId("name");
    input.value ||= NAMES[Math.floor(Math.random() * NAMES.length)];
    setText(byId("name-error"), takeSentence());
    input.focus();
    input.select();
  }

  #show(/** @type {"name" | "sign-in" | "no-access"} */ view) {
    document.documentElement.dataset.view = view;
  }
}
