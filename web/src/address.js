// The page's address: the conversation and the message that it names.

/** @typedef {{key: string, seq: number|null, isValid: boolean}} Target */

export const LOBBY = "lobby";
const USER_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/**
 * `?room=lobby&seq=41` names a message of a room, `?user=ann-7f3kq2` to a direct conversation.
 * @param {string} search
 * @param {(name: string) => boolean} isRoomName
 * @returns {Target} the lobby, and not valid, for an address that leads nowhere
 */
export function readAddress(search, isRoomName) {
  const parameters = new URLSearchParams(search);
  const [room, user, seq] = ["room", "user", "seq"].map((name) => parameters.get(name));
  const isSeq = seq === null || /^[1-9]\d{0,15}$/.test(seq);
  const position = seq !== null && isSeq ? Number(seq) : null;
  if (room !== null && isRoomName(room)) return { key: room, seq: position, isValid: isSeq };
  if (user !== null && USER_ID.test(user)) return { key: `@${user}`, seq: position, isValid: isSeq };
  return { key: LOBBY, seq: null, isValid: room === null && user === null && isSeq };
}

/** The same address with another target. @param {string} href @param {string} key @param {number|null} [seq] */
export function addressOf(href, key, seq = null) {
  const url = new URL(href);
  url.hash = "";
  for (const name of ["room", "user", "seq"]) url.searchParams.delete(name);
  if (key.startsWith("@")) url.searchParams.set("user", key.slice(1));
  else if (key !== LOBBY || seq !== null) url.searchParams.set("room", key);
  if (seq !== null) url.searchParams.set("seq", String(seq));
  return url.href;
}
