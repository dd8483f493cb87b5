// Says names, times and numbers the way people do.

/** The name a person chose: their id without the part that makes it theirs alone. */
export const nameOf = (userId) => userId.replace(/[-_][^-_]*$/, "") || userId;

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat(undefined, {
  weekday: "long",
  day: "numeric",
  month: "long",
});
const yearFormat = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "long",
  year: "numeric",
});

export const clock = (time) => clockFormat.format(time);
export const fullTime = (time) => fullFormat.format(time);

/** Today, Yesterday, or the day itself. */
export function day(time, now = new Date()) {
  const date = new Date(time);
  const daysAgo = Math.round((midnight(now) - midnight(date)) / 86_400_000);
  if (daysAgo === 0) return "Today";
  if (daysAgo === 1) return "Yesterday";
  return (date.getFullYear() === now.getFullYear() ? dayFormat : yearFormat).format(date);
}

const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

/** How long ago, in one short word: "now", "12 s ago", "3 min ago". */
export function ago(seconds) {
  if (seconds < 1.5) return "now";
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}

/** "ann", "ann and bob", "ann, bob and 3 others" */
export function list(names, most = 2) {
  if (names.length <= 1) return names[0] ?? "";
  if (names.length <= most) return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  const others = names.length - most;
  return `${names.slice(0, most).join(", ")} and ${others} other${others === 1 ? "" : "s"}`;
}

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString()} ${n === 1 ? one : many}`;

/** 1536 -> "1.5 KB" */
export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let power = 0;
  while (n >= 1000 && power < units.length - 1) {
    n /= 1024;
    power += 1;
  }
  return `${n >= 100 || power === 0 ? Math.round(n) : n.toFixed(1)} ${units[power]}`;
}

export const fixed = (n, digits) =>
  n === null || n === undefined
    ? "–"
    : n.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** "+1.20 %" or "−0.31 %", with a real minus sign. */
export const signed = (n, digits = 2) =>
  n === null || n === undefined
    ? "–"
    : `${n > 0 ? "+" : n < 0 ? "−" : ""}${fixed(Math.abs(n), digits)}`;
