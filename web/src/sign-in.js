// Who uses this page: a guest with a name, or somebody whom the platform or an issuer signs in.
import { byId, setText } from "./dom.js";
import { readItem } from "./storage.js";
import { texts } from "./texts.js";

const NAMES = ["Maple", "Heron", "Juniper", "Robin", "Willow", "Otter"];
NAMES.push("Clover", "Wren", "Hazel", "Finch", "Sorrel", "Linden");
/** App Service Authentication's addresses: learn.microsoft.com/azure/app-service/configure-authentication-customize-sign-in-out */
const PLATFORM_SIGN_IN = "/.auth/login/aad?post_login_redirect_uri=";
const PLATFORM_SIGN_OUT = "/.auth/logout?post_logout_redirect_uri=/";
/** A sentence that survives the reload which a sign-out is. */
const SENTENCE_KEY = "townsquare.sentence";

export class SignIn {
  /** How the app knows its users: "guest", "easyauth" or "oidc". */
  mode = document.documentElement.dataset.identity ?? "guest";

  /** @param {(name: string|null) => void} startApp */
  constructor(startApp) {
    this.startApp = startApp;
  }

  get isGuest() {
    return this.mode === "guest";
  }

  /** The proof of the identity, asked for at each request: another tab may have renewed it. */
  session() {
    return this.isGuest ? (readItem("session")?.session ?? null) : null;
  }

  start() {
    byId("name-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const name = byId("name").value.trim();
      if (name) this.startApp(name);
    });
    byId("sign-in").addEventListener("click", () =>
      location.assign(PLATFORM_SIGN_IN + encodeURIComponent(location.pathname + location.search)),
    );
    byId("leave-access").addEventListener("click", () => byId("sign-out").click());
    if (!this.isGuest || readItem("session")) return this.startApp(null);
    this.#askForName();
  }

  /** The server refuses this user for good. @param {Error & {code?: string, status?: number}} error */
  refused(error) {
    if (error.code === "banned" || error.code === "barred") return this.#show("no-access");
    if (!this.isGuest) return this.#show("sign-in");
    localStorage.removeItem("townsquare.session");
    this.restart(error.message);
  }

  /** @param {() => void} signOut */
  confirmSignOut(signOut) {
    const dialog = byId("sign-out-dialog");
    setText(byId("sign-out-text"), this.isGuest ? texts.signOutWarning : texts.signOutPlain);
    dialog.onclose = () => dialog.returnValue === "sign-out" && signOut();
    dialog.returnValue = "";
    dialog.showModal();
  }

  signedOut() {
    if (this.isGuest) this.restart("");
    else location.assign(PLATFORM_SIGN_OUT);
  }

  /** Begins anew with nothing in memory. @param {string} sentence why */
  restart(sentence) {
    if (sentence) sessionStorage.setItem(SENTENCE_KEY, sentence);
    location.reload();
  }

  #askForName() {
    this.#show("name");
    const input = byId("name");
    input.value ||= NAMES[Math.floor(Math.random() * NAMES.length)];
    setText(byId("name-error"), sessionStorage.getItem(SENTENCE_KEY) ?? "");
    sessionStorage.removeItem(SENTENCE_KEY);
    input.focus();
    input.select();
  }

  #show(/** @type {"name" | "sign-in" | "no-access"} */ view) {
    document.documentElement.dataset.view = view;
  }
}
