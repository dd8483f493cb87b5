// Formats names, times and numbers, all in the locale of texts.js.
import { LOCALE, texts } from "./texts.js";

/** What the client has learned of users, by their ids. */
let names = new Map();
let profiles = new Map();

/** @param {import("townsquare-client").Client} client */
export const useNames = (client) => void ([names, profiles] = [client.names, client.profiles]);

/** The displayed name of a user: the display name, or the id without its unique suffix. */
export const displayName = (userId) =>
  names.get(userId) ?? (userId.replace(/[-_][^-_]*$/, "") || userId);

/** Senders without an account: servers that write under no user's id, and users who were deleted. */
const NO_USERS = ["system", "deleted"];

/** Whether a sender can be written to and blocked. @param {string} userId */
export const isUser = (userId) => !NO_USERS.includes(userId);

/** The number of the colour that a user has chosen, or null. @returns {number|null} */
export const colourOf = (userId) => profiles.get(userId)?.colour ?? null;

export const statusOf = (userId) => profiles.get(userId)?.status ?? "";

const dateFormat = (options) => new Intl.DateTimeFormat(LOCALE, options);
const timeFormat = dateFormat({ hour: "2-digit", minute: "2-digit" });
const secondsFormat = dateFormat({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const fullFormat = dateFormat({ dateStyle: "full", timeStyle: "medium" });
const dayFormat = dateFormat({ weekday: "long", day: "numeric", month: "long" });
const yearFormat = dateFormat({ day: "numeric", month: "long", year: "numeric" });

export const formatTime = (time) => timeFormat.format(time);
export const formatSeconds = (time) => secondsFormat.format(time);
export const formatFullTime = (time) => fullFormat.format(time);
export const formatInteger = (n) => n.toLocaleString(LOCALE);

/** The end of a mute or removal: its time, with the day unless that is today. */
export function formatUntil(time, now = new Date()) {
  const isToday = midnight(time) === midnight(now);
  return isToday ? formatTime(time) : `${dayFormat.format(time)}, ${formatTime(time)}`;
}

/** Today, Yesterday, or the day itself. */
export function formatDay(time, now = new Date()) {
  const date = new Date(time);
  const daysAgo = Math.round((midnight(now) - midnight(date)) / 86_400_000);
  if (daysAgo === 0) return texts.today;
  if (daysAgo === 1) return texts.yesterday;
  return (date.getFullYear() === now.getFullYear() ? dayFormat : yearFormat).format(date);
}

const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

/** How long ago, short: "now", "12 s ago", "3 min ago". */
export function formatAge(seconds) {
  if (seconds < 1.5) return texts.now;
  if (seconds < 60) return texts.secondsAgo(Math.round(seconds));
  if (seconds < 3600) return texts.minutesAgo(Math.round(seconds / 60));
  if (seconds < 86_400) return texts.hoursAgo(Math.round(seconds / 3600));
  return texts.daysAgo(Math.round(seconds / 86_400));
}

/** 1536 -> "1.5 KB" */
export function formatBytes(n) {
  if (n === null || n === undefined) return texts.noValue;
  const units = ["B", "KB", "MB", "GB", "TB"];
  let power = 0;
  while (n >= 1000 && power < units.length - 1) {
    n /= 1024;
    power += 1;
  }
  return `${n >= 100 || power === 0 ? Math.round(n) : n.toFixed(1)} ${units[power]}`;
}

export const formatNumber = (n, digits) =>
  n === null || n === undefined
    ? texts.noValue
    : n.toLocaleString(LOCALE, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** "+1.20" or "−0.31", with a real minus sign. */
export const formatSigned = (n, digits = 2) =>
  n === null || n === undefined
    ? texts.noValue
    : `${n > 0 ? "+" : n < 0 ? "−" : ""}${formatNumber(Math.abs(n), digits)}`;
