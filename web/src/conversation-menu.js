// The menu of the open conversation: link, settings of a room, leaving it, what concerns a user.
import { LOBBY, addressOf } from "./address.js";
import { ask } from "./dialogs.js";
import { byId } from "./dom.js";
import { texts } from "./texts.js";

const MAX_TITLE_CHARACTERS = 80;
const MAX_TOPIC_CHARACTERS = 500;

export class ConversationMenu {
  /**
   * @param {import("./workspace.js").Workspace} workspace
   * @param {import("./menu.js").Menu} menu
   * @param {import("./person-actions.js").PersonActions} people
   * @param {(text: string) => void} notify
   */
  constructor(workspace, menu, people, notify) {
    this.workspace = workspace;
    this.people = people;
    this.notify = notify;
    const button = byId("conversation-menu");
    button.addEventListener("click", () => menu.open(button, this.#items()));
  }

  #items() {
    const { current } = this.workspace;
    const copyLink = { text: texts.copyRoomLink, act: () => this.#copyLink(current) };
    if (current.kind === "direct") return [copyLink, ...this.people.items(current.userId)];
    const settings = { text: texts.roomSettings, act: () => this.#editRoom(current) };
    const leave = { text: texts.leave, isDangerous: true, act: () => this.workspace.leave() };
    return [copyLink, current.isOwner && settings, current.key !== LOBBY && leave].filter(Boolean);
  }

  #editRoom(room) {
    ask({
      title: texts.roomSettingsTitle(room.name),
      action: texts.save,
      fields: [
        { name: "title", label: texts.roomTitle, type: "text", value: room.title, maxLength: MAX_TITLE_CHARACTERS },
        { name: "topic", label: texts.roomTopic, type: "long", value: room.topic, maxLength: MAX_TOPIC_CHARACTERS },
        { name: "listed", label: texts.roomListed, type: "switch", value: room.isListed },
        { name: "private", label: texts.roomPrivate, type: "switch", value: room.isPrivate },
      ],
      submit: (changes) => room.update(changes),
    });
  }

  async #copyLink({ key }) {
    try {
      await navigator.clipboard.writeText(addressOf(location.href, key));
      this.notify(texts.linkCopied);
    } catch {
      this.notify(texts.copyFailed);
    }
  }
}
