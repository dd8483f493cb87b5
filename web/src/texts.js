// All texts of the page, and the locale of its dates and numbers. A translation replaces this file.

export const LOCALE = "en-GB";

const rules = new Intl.PluralRules(LOCALE);
const number = new Intl.NumberFormat(LOCALE);
/** "1 message", "1,000 messages" */
const plural = (count, one, other) =>
  `${number.format(count)} ${rules.select(count) === "one" ? one : other}`;
const messages = (count) => plural(count, "new message", "new messages");

/** The texts of index.html, which the build puts into it. */
export const html = {
  title: "Townsquare",
  description: "Live rooms and live data.",
  brand: "townsquare",
  nameQuestion: "What’s your name?",
  nameHint: "You join the lobby as a guest. No account, nothing to install.",
  nameLabel: "Your name",
  join: "Join",
  signInTitle: "Sign in to join",
  signInHint: "This site asks its users to sign in.",
  signIn: "Sign in",
  noAccessTitle: "You don’t have access.",
  signOut: "Sign out",
  cancel: "Cancel",
  signOutQuestion: "Sign out?",
  signOutWarning:
    "You are a guest. If you sign out, this identity is lost, and your direct messages with it.",
  skipToMessage: "Skip to the message field",
  sidebar: "Rooms and people",
  filter: "Filter rooms and people",
  filterHint: "Filter (Ctrl+K)",
  rooms: "Rooms",
  joinRoom: "Join or create a room",
  directMessages: "Direct messages",
  online: "Online",
  unreadBelow: "Unread below",
  unreadAbove: "Unread above",
  settings: "Settings",
  theme: "Theme",
  themeSystem: "System",
  themeLight: "Light",
  themeDark: "Dark",
  notifications: "Notifications",
  notifyNone: "Off",
  notifyMentions: "Direct messages and mentions",
  notifyAll: "All messages",
  sound: "Play a sound",
  showStreams: "Show live data",
  messages: "Messages",
  leave: "Leave",
  mute: "Mute this room",
  liveData: "Live data",
  message: "Message",
  people: "People in this room",
  send: "Send",
  panels: "Panels",
  panelRooms: "Rooms",
  panelMessages: "Messages",
  panelStreams: "Live data",
  noScript: "Townsquare needs JavaScript.",
};

export const texts = {
  ...html,

  // The connection
  stateConnecting: "Connecting",
  stateLive: "Live",
  stateReconnecting: "Reconnecting",
  stateClosed: "Signed out",
  connectionLost: "The connection is lost. Your messages will be sent when it is back.",
  offline: "You are offline. Your messages will be sent when you are online again.",
  notConnected: (reason) => `No connection yet. ${reason}`,
  backNothingMissed: "You’re back. You didn’t miss anything.",
  backMissed: (count) => `${messages(count)} while you were offline.`,
  signedOutElsewhere: "You signed out in another tab.",

  // Rooms and people
  invalidRoomName: "A room name has up to 64 letters, digits, hyphens and underscores.",
  you: " (you)",
  unread: " unread",
  morePeople: (count) => `and ${number.format(count)} more`,
  noMatch: "Nothing found",
  collapse: (section) => `Collapse ${section}`,
  expand: (section) => `Expand ${section}`,
  message1: (name) => `Message ${name}`,
  messageUser: (name, userId) => `Message ${name} (${userId})`,

  // A conversation
  peopleOnline: (count) => plural(count, "person online", "people online"),
  directOnline: "Direct conversation · online",
  directOffline: "Direct conversation · offline",
  direct: "Direct conversation",
  loading: "Loading messages…",
  loadingEarlier: "Loading earlier messages…",
  noMessages: "No messages yet. Say hello!",
  beginning: (name) => `This is the beginning of ${name}.`,
  beginningDirect: (name) => `This is the beginning of your conversation with ${name}.`,
  noAccess: "You don’t have access.",
  noSuchRoom: "This room doesn’t exist or is private.",
  noSuchUser: "This person doesn’t exist.",
  refused: (message) => `This conversation can’t be opened. ${message}`,
  loadFailed: (reason) => `Earlier messages couldn’t be loaded. ${reason}`,
  newest: "Newest messages",
  newMessages: messages,
  newDivider: "New",
  typing: (names) => {
    const list = listNames(names);
    return names.length === 1 ? `${list} is typing…` : `${list} are typing…`;
  },
  joined: (name) => `${name} joined`,
  left: (name) => `${name} left`,
  announcement: (name, room, content) => `${name}${room ? ` in ${room}` : ""}: ${content}`,
  announcementMany: (count, room) => `${messages(count)}${room ? ` in ${room}` : ""}`,

  // A message
  own: "You",
  showAll: "Show all",
  actions: "Message actions",
  copyLink: "Copy link",
  copyText: "Copy text",
  linkCopied: "The link is copied.",
  textCopied: "The text is copied.",
  copyFailed: "The browser doesn’t allow copying here.",
  sending: "Sending",
  sent: "Sent",
  unconfirmed: "Not confirmed yet",
  notSent: (reason) => `Not sent. ${reason}`,
  retry: "Try again",
  discard: "Discard",
  tooFast: "You’re sending too fast. Your messages will be sent in a moment.",
  tooLong: (count) => `${number.format(count)} characters too many`,
  charactersLeft: (count) => `${number.format(count)} characters left`,
  outboxFull: "Too many messages are waiting to be sent.",
  badLink: "This link doesn’t lead to a room.",
  noSuchMessage: "This message doesn’t exist or is no longer stored.",
  copiedMessage: (time, name, content) => `[${time}] ${name}: ${content}`,

  edit: "Edit",
  delete: "Delete",
  edited: "edited",
  deletedMessage: "This message was deleted.",
  editing: "You are editing a message. Press Escape to cancel.",
  changeFailed: (reason) => `This could not be changed. ${reason}`,
  reaction: (emoji, count) => `${emoji} ${plural(count, "person", "people")}`,
  reactWith: (emoji) => `React with ${emoji}`,

  // Refusals
  refusals: {
    empty_content: "The message is empty.",
    content_too_long: "The message is too long.",
    unknown_room: "This room doesn’t exist or is private.",
    unknown_user: "This person doesn’t exist.",
    unreachable: "This person can’t be reached.",
    direct_to_self: "You can’t send a direct message to yourself.",
    banned: "You don’t have access.",
    forbidden: "You don’t have access.",
    conflict: "It was edited elsewhere meanwhile.",
    too_many_rooms: "You are in too many rooms. Leave one first.",
  },

  // Sign-in and notifications
  signInFailed: (reason) => `The sign-in failed. ${reason}`,
  signOutPlain: "You can sign in again at any time.",
  notificationTitle: (name, room) => (room ? `${name} in ${room}` : name),
  notificationsBlocked: "The browser blocks notifications for this site.",
  unmute: "Unmute this room",
  pageTitle: (unread, room) => `${unread ? `(${unread}) ` : ""}${room} · Townsquare`,
  unreadMax: "99+",

  // Data streams
  subscribe: (title) => `Receive ${title}`,
  paused: "paused",
  pausedSince: (ago) => `paused · ${ago}`,
  staleSince: (ago) => `stale · ${ago}`,
  stale: "stale",
  staleCity: (ago) => `stale, ${ago}`,
  noData: "No data yet",
  unavailable: (reason) => `Unavailable: ${reason}`,
  switchedOff: "Switched off",
  subscribeFailed: (title, reason) => `${title} couldn’t be switched on. ${reason}`,
  unsubscribeFailed: (title, reason) => `${title} couldn’t be switched off. ${reason}`,
  simulated: "simulated",
  dataBy: (source) => `by ${source}`,
  priceUp: "up",
  priceDown: "down",
  priceFlat: "unchanged",
  chartLabel: (symbol, price, direction, change) =>
    `${symbol} over the last minutes, now ${price}, ${direction} ${change} percent since the opening`,
  processor: "Processor",
  memory: "Memory",
  disk: "Disk",
  network: "Network",
  load: (value) => `load ${value}`,
  usedOf: (used, total) => `${used} of ${total}`,
  percentFull: (percent, total) => `${percent} of ${total} full`,
  metricsNote: (instance, minutes) => `${instance}, last ${number.format(minutes)} min`,
  humidityAndWind: "humidity and wind ",
  noValue: "–",

  // Times
  today: "Today",
  yesterday: "Yesterday",
  now: "now",
  secondsAgo: (count) => `${number.format(count)} s ago`,
  minutesAgo: (count) => `${number.format(count)} min ago`,
  hoursAgo: (count) => `${number.format(count)} h ago`,
  daysAgo: (count) => `${number.format(count)} d ago`,

  // The debug view
  debug: {
    title: "Debug",
    filter: "Filter frames",
    pause: "Pause",
    resume: "Resume",
    clear: "Clear",
    sendTitle: "Send an event",
    eventName: "Event",
    eventData: "Data (JSON)",
    send: "Send event",
    connection: (id, state) => `connection ${id} ${state}`,
    delay: (milliseconds) => `delay from the server ${milliseconds} (both clocks)`,
    room: (name, last, head, epoch) => `${name} ${last}/${head} epoch ${epoch}`,
    lag: (count) => ` lag ${count}`,
    history: "Connection history",
    frames: "Frames",
    invalidJson: "The data is not valid JSON.",
    acknowledged: "acknowledged",
    opened: "open",
    closed: (code, reason) => `closed ${code} ${reason}`,
  },
};

/** "Ann", "Ann and Bob", "Ann, Bob and 3 others" */
export function listNames(names, max = 2) {
  if (names.length <= 1) return names[0] ?? "";
  if (names.length <= max) return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  return `${names.slice(0, max).join(", ")} and ${plural(names.length - max, "other", "others")}`;
}
