// Looks up the profiles of authors who are not in the room: the roster does not have them.

const LOOKUP_DELAY_MS = 200;
/** The server returns so many at once. */
const MAX_IDS = 50;

export class AuthorProfiles {
  /** Since the connection was opened. @type {Set<string>} */
  #requested = new Set();
  /** @type {string[]} */
  #waiting = [];

  /** @param {import("townsquare-client").Client} client */
  constructor(client) {
    this.client = client;
    client.on("opened", () => this.#requested.clear());
  }

  /** @param {string} userId */
  request(userId) {
    if (this.client.profiles.has(userId) || this.#requested.has(userId)) return;
    this.#requested.add(userId);
    if (this.#waiting.push(userId) === 1) setTimeout(() => this.#lookUp(), LOOKUP_DELAY_MS);
  }

  async #lookUp() {
    // The roster may have come meanwhile.
    const wanted = this.#waiting.splice(0).filter((userId) => !this.client.profiles.has(userId));
    for (let start = 0; start < wanted.length; start += MAX_IDS) {
      const ids = wanted.slice(start, start + MAX_IDS);
      const response = await this.client.http
        .get(`/api/users?${new URLSearchParams({ ids: ids.join(",") })}`)
        .catch(() => null); // it is requested again with the next connection
      if (!response) return;
      this.client.learnProfiles([...ids.map((userId) => ({ user_id: userId })), ...response.users]);
      this.client.emit("change");
    }
  }
}
