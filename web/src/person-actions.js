// The card of another user, and what one can do: write to them, block, mute, remove, change the role.
import { ask } from "./dialogs.js";
import { createAvatar, createElement } from "./dom.js";
import { colourOf, displayName, isUser, statusOf } from "./format.js";
import { createRoleBadge } from "./message-rows.js";
import { texts } from "./texts.js";

const MINUTES_OF = { hour: 60, day: 1_440, month: 43_200 };
const DURATIONS = Object.entries(MINUTES_OF).map(([name, minutes]) => [String(minutes), texts.durations[name]]);
const ROLES = ["member", "moderator", "owner"];

export class PersonActions {
  /** @param {import("./workspace.js").Workspace} workspace @param {(text: string) => void} notify */
  constructor(workspace, notify) {
    this.workspace = workspace;
    this.notify = notify;
  }

  /**
   * Opens a menu with what the user shows, and what can be done.
   * @param {import("./menu.js").Menu} menu @param {HTMLElement} opener @param {string} userId
   * @param {HTMLElement} [origin] what gets the focus afterwards
   */
  openCard(menu, opener, userId, origin = opener) {
    menu.open(opener, this.items(userId), {
      origin,
      header: this.#createCard(userId),
      label: texts.showProfile(displayName(userId)),
    });
  }

  #createCard(userId) {
    const { client, current } = this.workspace;
    const [name, status] = [displayName(userId), statusOf(userId)];
    const role = current.kind === "room" ? current.roleOf(userId) : "member";
    return createElement(
      "div",
      { class: "profile-card", id: "profile-card", role: "none" },
      createAvatar(name, colourOf(userId)),
      createElement(
        "span",
        {},
        createElement("b", {}, name, " ", role !== "member" && createRoleBadge(role)),
        status && !client.blockedUsers.has(userId) && createElement("span", { dir: "auto" }, status),
        createElement("span", { class: "quiet" }, userId),
      ),
    );
  }

  /**
   * The items of a menu about a user, in the open conversation.
   * @param {string} userId @returns {import("./menu.js").MenuItem[]}
   */
  items(userId) {
    const { client, current } = this.workspace;
    if (userId === client.userId || !isUser(userId)) return [];
    const name = displayName(userId);
    const items = [];
    if (current.key !== `@${userId}`)
      items.push({ text: texts.message1(name), act: () => this.workspace.open(`@${userId}`) });
    if (current.kind === "room") items.push(...this.#moderationItems(current, userId, name));
    items.push(
      client.blockedUsers.has(userId)
        ? { text: texts.unblock(name), act: () => this.#try(client.unblock(userId), texts.unblocked(name)) }
        : { text: texts.block(name), isDangerous: true, act: () => this.#block(userId, name) },
    );
    return items;
  }

  #moderationItems(room, userId, name) {
    const items = [];
    if (room.isOwner && room.canModerate(userId))
      items.push({ text: texts.changeRole(name), act: () => this.#changeRole(room, userId, name) });
    if (room.canModerate(userId))
      items.push(
        { text: texts.muteUser(name), act: () => this.#mute(room, userId, name) },
        { text: texts.removeUser(name), isDangerous: true, act: () => this.#remove(room, userId, name) },
      );
    return items;
  }

  #block(userId, name) {
    ask({
      title: texts.blockQuestion(name),
      text: texts.blockText,
      action: texts.blockAction,
      submit: () => this.workspace.client.block(userId),
    });
  }

  #mute(room, userId, name) {
    const { untilLifted, notMuted } = texts.durations;
    const choices = [...DURATIONS, ["unlimited", untilLifted], ["none", notMuted]];
    ask({
      title: texts.muteQuestion(name),
      text: texts.muteText,
      action: texts.muteAction,
      fields: [{ name: "minutes", label: texts.howLong, type: "choice", value: "60", choices }],
      submit: ({ minutes }) => {
        if (minutes === "none") return room.unmute(userId);
        return room.mute(userId, minutes === "unlimited" ? {} : { minutes: Number(minutes) });
      },
    });
  }

  #remove(room, userId, name) {
    const field = { name: "minutes", label: texts.howLong, type: "choice", value: "60", choices: DURATIONS };
    ask({
      title: texts.removeQuestion(name),
      text: room.isPrivate ? texts.removePrivateText : texts.removeText,
      action: texts.removeAction,
      fields: room.isPrivate ? [] : [field],
      submit: ({ minutes }) => room.remove(userId, { minutes: minutes ? Number(minutes) : undefined }),
    });
  }

  #changeRole(room, userId, name) {
    const choices = ROLES.map((role) => [role, texts.roles[role]]);
    const field = { name: "role", label: texts.role, type: "choice", value: room.roleOf(userId), choices };
    ask({
      title: texts.roleQuestion(name),
      text: texts.roleText,
      action: texts.save,
      fields: [field],
      submit: ({ role }) => room.setRole(userId, role),
    });
  }

  /** @param {Promise<unknown>} change @param {string} done */
  async #try(change, done) {
    try {
      await change;
      this.notify(done);
    } catch (error) {
      this.notify(texts.changeFailed(texts.refusals[error.code] ?? error.message));
    }
  }
}
