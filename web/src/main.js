// Puts the page together: the client, what is open, and the views.
import "./css/app.css";
import { Client } from "townsquare-client";
import { Composer } from "./composer.js";
import { ConversationMenu } from "./conversation-menu.js";
import { ConversationView } from "./conversation-view.js";
import { byId, createAvatar, createElement, createStatus, setAttribute, setChildren, setText } from "./dom.js";
import { colourOf, displayName, statusOf, useNames } from "./format.js";
import { Menu } from "./menu.js";
import { MessageMenu } from "./message-menu.js";
import { Notifications } from "./notifications.js";
import { Notices } from "./notices.js";
import { PersonActions } from "./person-actions.js";
import { editProfile } from "./profile.js";
import { Settings } from "./settings.js";
import { Sidebar, formatUnread } from "./sidebar.js";
import { SignIn } from "./sign-in.js";
import { SESSION_KEY, browserStorage, forgetUser, readItem, writeItem } from "./storage.js";
import { StreamPanel, isWanted } from "./stream-panel.js";
import { texts } from "./texts.js";
import { watchTheme } from "./theme.js";
import { Workspace } from "./workspace.js";

const STATES = {
  connecting: texts.stateConnecting,
  live: texts.stateLive,
  reconnecting: texts.stateReconnecting,
  closed: texts.stateClosed,
};

/** So long a sign-out waits for the server. */
const SIGN_OUT_TIMEOUT_MS = 3_000;

const notices = new Notices();
const notify = (text) => notices.show(text);
const signIn = new SignIn((name) => startApp(name));

/** @param {string|null} name of a new guest; null for a user who is known */
function startApp(name) {
  document.documentElement.dataset.view = "app";
  const client = new Client({
    name: name ?? undefined,
    userId: readItem("session")?.user_id,
    getSession: () => signIn.session(),
    streams: isWanted,
    storage: browserStorage,
  });
  useNames(client);
  const page = new Page(client);
  client.on("session", ({ userId, session }) => {
    if (signIn.isGuest) writeItem("session", { user_id: userId, session });
  });
  page.open();
  client.open();
}

class Page {
  /** @param {Client} client */
  constructor(client) {
    this.client = client;
    const workspace = new Workspace(client, {
      opened: (seq) => this.#opened(seq),
      changed: () => this.draw(),
      notify,
    });
    this.workspace = workspace;
    const menu = new Menu();
    const people = new PersonActions(workspace, notify);
    const messageMenu = new MessageMenu(workspace, menu, people, {
      notify,
      edit: (entry) => this.composer.edit(entry),
      reply: (entry) => this.composer.reply(entry),
    });
    this.sidebar = new Sidebar(workspace, menu, people);
    this.view = new ConversationView(workspace, notify, messageMenu, (message) =>
      this.composer.editPending(message),
    );
    new ConversationMenu(workspace, menu, people, notify);
    this.composer = new Composer(workspace, { sent: () => this.view.showNewest(), notify });
    this.notifications = new Notifications(workspace, notify);
    this.streams = new StreamPanel(client, notify);
    this.settings = new Settings(() => this.streams.draw());
    this.#observeClient();
    this.#observeWindow();
  }

  open() {
    this.workspace.openAddress();
    if (new URLSearchParams(location.search).has("debug"))
      import("./debug.js").then(({ showDebugView }) => showDebugView(this.client));
  }

  draw() {
    const { current, unread, muted } = this.workspace;
    this.sidebar.draw();
    this.view.draw();
    this.composer.draw();
    this.notifications.draw();
    this.#drawUser();
    const isMuted = muted.has(current.key);
    setAttribute(byId("mute"), "aria-pressed", isMuted);
    byId("mute").title = isMuted ? texts.unmute : texts.mute;
    const badge = document.querySelector(".panels .badge");
    badge.hidden = !unread;
    setText(badge, formatUnread(unread));
  }

  #opened(seq) {
    this.view.opened(seq);
    this.composer.opened();
    this.#showPanel("conversation");
  }

  #observeClient() {
    const { client } = this;
    client.on("state", (state, error) => this.#drawState(state, error));
    client.on("change", () => this.draw());
    client.on("caughtup", ({ missed }) =>
      notify(missed ? texts.backMissed(missed) : texts.backNothingMissed),
    );
    client.on("messages", (conversation, entries) => {
      const others = entries.filter(
        ({ from }) => from !== client.userId && !client.blockedUsers.has(from),
      );
      if (others.length) this.notifications.received(conversation, others);
    });
  }

  #observeWindow() {
    const { client } = this;
    byId("user").addEventListener("click", () => editProfile(client));
    byId("mute").addEventListener("click", () =>
      this.workspace.toggleMuted(this.workspace.current.key),
    );
    for (const button of document.querySelectorAll(".panels button"))
      button.addEventListener("click", () => this.#showPanel(button.dataset.show));
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") client.check();
      this.draw();
    });
    for (const event of ["online", "offline"])
      addEventListener(event, () => this.#drawState(client.state));
    // A closed tab closes its connection; a page that the browser restores opens it again.
    addEventListener("pagehide", () => client.close());
    addEventListener("pageshow", (event) => event.persisted && client.open());
    addEventListener("storage", ({ key, newValue }) => {
      if (key === SESSION_KEY && !newValue && signIn.isGuest) signIn.leave(texts.signedOutElsewhere);
    });
    byId("sign-out").addEventListener("click", () => signIn.confirmSignOut(() => this.#signOut()));
  }

  async #signOut() {
    const { client } = this;
    client.close();
    // Without the server, the user is signed out in this browser only. An account is signed out below.
    const ended = signIn.isGuest ? client.http.delete("/api/me/session").catch(() => {}) : null;
    client.forget();
    forgetUser();
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, SIGN_OUT_TIMEOUT_MS))]);
    signIn.signedOut();
  }

  #drawState(state, error) {
    byId("state").dataset.state = state;
    setText(byId("state"), STATES[state]);
    if (state === "live") {
      notices.clearPermanent();
      this.#drawUser();
    }
    if (state === "reconnecting")
      notices.showPermanent(navigator.onLine ? texts.connectionLost : texts.offline);
    if (state === "connecting" && error) notices.showPermanent(texts.notConnected(error.message));
    if (state === "closed" && error && !signIn.refused(error))
      notices.showPermanent(texts.notConnected(error.message));
  }

  #drawUser() {
    const { userId } = this.client;
    if (!userId) return;
    const [name, colour, status] = [displayName(userId), colourOf(userId), statusOf(userId)];
    const look = [name, colour, status].join("/");
    if (byId("user").dataset.look === look) return;
    byId("user").dataset.look = look;
    const label = createElement("span", { class: "label" }, name, createStatus(status));
    setChildren(byId("user"), [createAvatar(name, colour, "small"), label]);
  }

  /** On a phone one part of the page is seen at a time. */
  #showPanel(panel) {
    byId("app").dataset.panel = panel;
    for (const button of document.querySelectorAll(".panels button"))
      setAttribute(button, "aria-current", button.dataset.show === panel ? "true" : null);
    this.draw();
    this.streams.draw();
  }
}

watchTheme();
signIn.start();
