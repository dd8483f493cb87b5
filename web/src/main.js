// Puts the page together: who is here, one connection, the rooms, the streams, and their views.
import "./css/app.css";
import { Compose } from "./compose.js";
import { Connection } from "./connection.js";
import * as debug from "./debug.js";
import { arrange, at, icon, monogram, say } from "./dom.js";
import { Live } from "./live.js";
import { Places } from "./places.js";
import { LOBBY, Rooms } from "./rooms.js";
import { KEEP, Session } from "./session.js";
import { Streams } from "./streams.js";
import { Talk } from "./talk.js";
import * as theme from "./theme.js";
import { count, nameOf } from "./words.js";

const NAMES = [
  "Maple",
  "Heron",
  "Juniper",
  "Robin",
  "Willow",
  "Otter",
  "Clover",
  "Wren",
  "Hazel",
  "Finch",
  "Sorrel",
  "Linden",
];
const NOTICE_LASTS = 7_000;
const SPOKEN_LENGTH = 200;

const session = new Session();
let wishedName = null;
let noticeTimer = 0;

const rooms = new Rooms(session, (event, data) => connection.send(event, data), {
  changed: () => drawRooms(),
  news: (place, entries) => announce(place, entries),
  caughtUp: (missed) =>
    notice(
      missed ? `Back. ${count(missed, "message")} came meanwhile.` : "Back. Nothing was missed.",
    ),
  trouble: (sentence) => notice(sentence),
});
const streams = new Streams(session, {
  changed: () => live.draw(),
  trouble: (sentence) => notice(sentence),
});
const connection = new Connection(negotiate, {
  state: (state, why) => drawState(state, why),
  opened: () => {
    rooms.connected(session.userId);
    streams.load().catch(() => {});
  },
  mended: () => {
    rooms.outbox.flushAll();
    notice("Back. Nothing was missed.");
  },
  frame: (frame) => rooms.take(frame) || streams.take(frame),
});
const places = new Places(rooms, go);
const talk = new Talk(rooms, go);
const compose = new Compose(rooms, () => talk.toNewest());
const live = new Live(streams);

async function negotiate() {
  const answer = await session.negotiate({ name: wishedName, groups: await streams.groups() });
  wishedName = null;
  return answer;
}

/** Goes to a conversation: the address bar keeps it, so that it can be shared and reloaded. */
function go(key) {
  rooms.open(key);
  show("talk");
  history.replaceState(
    null,
    "",
    key === LOBBY ? location.pathname + location.search : `#${encodeURIComponent(key)}`,
  );
  compose.turnTo(key);
}

function goToAddress() {
  try {
    go(decodeURIComponent(location.hash.slice(1)) || LOBBY);
  } catch {
    go(LOBBY);
  }
}

function comeIn() {
  at("welcome").hidden = true;
  at("town").hidden = false;
  rooms.me = session.userId;
  goToAddress();
  connection.start();
}

function askForName(sentence = "") {
  at("town").hidden = true;
  at("welcome").hidden = false;
  const input = at("name");
  input.value ||= NAMES[Math.floor(Math.random() * NAMES.length)];
  say(at("enter-trouble"), sentence);
  input.focus();
  input.select();
}

function signOut(sentence = "") {
  connection.stop();
  session.forget();
  rooms.forget();
  askForName(sentence);
}

function drawRooms() {
  places.draw();
  talk.draw();
  compose.turnTo(rooms.current.key);
  const { unread } = rooms;
  document.title = unread ? `(${unread > 99 ? "99+" : unread}) Townsquare` : "Townsquare";
  const badge = document.querySelector(".panes .badge");
  badge.hidden = !unread;
  say(badge, unread > 99 ? "99+" : String(unread));
}

const STATES = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  "signed out": "Signed out",
};

function drawState(state, why) {
  at("state").dataset.state = state;
  say(at("state"), STATES[state]);
  if (state === "live") {
    arrange(at("self"), [
      monogram(nameOf(session.userId), "small"),
      Object.assign(document.createElement("span"), {
        className: "label",
        textContent: nameOf(session.userId),
        title: session.userId,
      }),
    ]);
  }
  if (state === "reconnecting")
    notice(
      "The connection is lost. What you write is kept, and sent as soon as it is back.",
      Infinity,
    );
  if (state === "connecting" && why) notice(`No connection yet. ${why.message}`, Infinity);
  if (state === "live") notice("");
  if (state === "signed out" && why) signOut(why.message);
}

function notice(sentence, lasts = NOTICE_LASTS) {
  clearTimeout(noticeTimer);
  say(at("notice"), sentence);
  if (lasts !== Infinity) noticeTimer = setTimeout(() => say(at("notice"), ""), lasts);
}

/** For those who listen to the page instead of looking at it. */
function announce(place, entries) {
  const last = entries.at(-1);
  const where = place === rooms.current ? "" : ` in ${place.name}`;
  say(
    at("aloud"),
    entries.length === 1
      ? `${nameOf(last.from)}${where}: ${last.content.slice(0, SPOKEN_LENGTH)}`
      : `${count(entries.length, "new message")}${where}`,
  );
}

/** On a phone one part of the page is seen at a time. */
function show(pane) {
  at("town").dataset.pane = pane;
  at("show-live").setAttribute("aria-pressed", String(pane === "live"));
  for (const button of document.querySelectorAll(".panes button")) {
    if (button.dataset.show === pane) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  drawRooms();
  live.draw();
}

function drawTheme() {
  const dark = theme.isDark();
  at("theme").setAttribute("aria-pressed", String(dark));
  arrange(at("theme"), [icon(dark ? "sun" : "moon")]);
}

theme.begin();
theme.onChange(drawTheme);
drawTheme();
at("theme").addEventListener("click", theme.toggle);
at("out").addEventListener("click", () => signOut());
at("show-live").addEventListener("click", () =>
  show(at("town").dataset.pane === "live" ? "talk" : "live"),
);
for (const button of document.querySelectorAll(".panes button"))
  button.addEventListener("click", () => show(button.dataset.show));
at("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  wishedName = at("name").value.trim();
  if (wishedName) comeIn();
});
addEventListener("hashchange", goToAddress);
addEventListener(
  "storage",
  ({ key, newValue }) => key === KEEP && !newValue && signOut("You signed out in another tab."),
);
document.addEventListener("visibilitychange", drawRooms);
if (new URLSearchParams(location.search).has("debug")) debug.begin({ connection, rooms });

if (session.isKnown) comeIn();
else askForName();
