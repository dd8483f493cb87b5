// Notifies the user while the page is hidden: notifications, sound, title, icon.
import { byId } from "./dom.js";
import { displayName } from "./format.js";
import { nameOf } from "./conversation-view.js";
import { plainText } from "./message-text.js";
import { formatUnread } from "./sidebar.js";
import { readItem, writeItem } from "./storage.js";
import { texts } from "./texts.js";

const MAX_TEXT_LENGTH = 200;

export class Notifications {
  #iconHref = byId("page-icon").href;
  #drawnCount = 0;

  /** @param {import("./workspace.js").Workspace} workspace @param {(text: string) => void} notify */
  constructor(workspace, notify) {
    this.workspace = workspace;
    this.notify = notify;
    this.select = byId("notifications");
    this.select.value = readItem("notifications") ?? "none";
    this.select.addEventListener("change", () => this.#choose(this.select.value));
    byId("sound").checked = readItem("sound") ?? false;
    byId("sound").addEventListener("change", () => writeItem("sound", byId("sound").checked));
  }

  /** To be called for new messages of others. */
  received(conversation, entries) {
    this.#announce(conversation, entries);
    if (document.visibilityState === "visible" || this.workspace.muted.has(conversation.key)) return;
    const wanted = entries.filter((entry) => this.#isWanted(conversation, entry));
    if (!wanted.length) return;
    this.#show(conversation, wanted.at(-1));
    if (byId("sound").checked) playTone();
  }

  /** The title names the room and the count; the icon has the count too. */
  draw() {
    const { unread, current } = this.workspace;
    document.title = texts.pageTitle(unread ? formatUnread(unread) : "", nameOf(current));
    if (unread === this.#drawnCount) return;
    this.#drawnCount = unread;
    byId("page-icon").href = unread ? badgeIcon(formatUnread(unread)) : this.#iconHref;
  }

  #isWanted(conversation, { mentions }) {
    const choice = readItem("notifications") ?? "none";
    if (choice === "all") return true;
    const isMention = mentions?.includes(this.workspace.client.userId);
    return choice === "mentions" && (conversation.kind === "direct" || isMention);
  }

  /** The permission is asked for when the user chooses notifications, not before. */
  async #choose(choice) {
    const isGranted =
      choice === "none" || (globalThis.Notification && (await Notification.requestPermission()) === "granted");
    if (!isGranted) {
      this.select.value = "none";
      this.notify(texts.notificationsBlocked);
    }
    writeItem("notifications", this.select.value);
  }

  #show(conversation, { from, content }) {
    if (globalThis.Notification?.permission !== "granted") return;
    const room = conversation.kind === "room" ? nameOf(conversation) : "";
    const notification = new Notification(texts.notificationTitle(displayName(from), room), {
      body: plainText(content).slice(0, MAX_TEXT_LENGTH),
      tag: conversation.key,
      icon: this.#iconHref,
    });
    notification.onclick = () => {
      window.focus();
      this.workspace.open(conversation.key);
      notification.close();
    };
  }

  /** For screen readers. */
  #announce(conversation, entries) {
    const { from, content } = entries.at(-1);
    const room = conversation === this.workspace.current ? "" : nameOf(conversation);
    byId("announcements").textContent =
      entries.length === 1
        ? texts.announcement(displayName(from), room, plainText(content).slice(0, MAX_TEXT_LENGTH))
        : texts.announcementMany(entries.length, room);
  }
}

/** The page's icon with a number on it. */
function badgeIcon(count) {
  const size = count.length > 1 ? 16 : 20;
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#a8442a"/>` +
    `<text x="16" y="23" font-family="sans-serif" font-size="${size}" font-weight="700" text-anchor="middle" fill="#fff">${count}</text></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

/** A short tone, made here: no file is loaded for it. */
function playTone() {
  const audio = new AudioContext();
  const [oscillator, volume] = [audio.createOscillator(), audio.createGain()];
  oscillator.frequency.value = 660;
  volume.gain.setValueAtTime(0.08, audio.currentTime);
  volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + 0.25);
  oscillator.connect(volume).connect(audio.destination);
  oscillator.start();
  oscillator.stop(audio.currentTime + 0.25);
  oscillator.onended = () => audio.close();
}
