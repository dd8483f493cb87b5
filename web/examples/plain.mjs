// A whole Townsquare client without any package: node web/examples/plain.mjs [app] [name] [text]
// Prints what is said in the lobby and every stock price; says one thing itself.
import { randomUUID } from "node:crypto";

const [app = "http://localhost:7071", name = "ann", text = "Hello!"] = process.argv.slice(2);
const ask = async (path, options) => (await fetch(`${app}${path}`, options)).json();

// 1. Ask the app for an address. `session` proves who we are in every other call.
const wish = JSON.stringify({ user_id: name, groups: ["stocks"] });
const admission = await ask("/api/negotiate", { method: "POST", body: wish });
const { url, user_id: me, session, error } = admission;
if (error) throw new Error(error.message);

// 2. Ask in our own name; history?before= and history?after= turn the pages.
const headers = { Authorization: `Bearer ${session}` };
const { messages, head } = await ask("/api/rooms/lobby/history?limit=3", { headers });
console.log(`I am ${me}. ${head} messages so far:`, messages.map(({ content }) => content));

// 3. Connect. Everything that we say is an event with an ackId; the service acks it.
const socket = new WebSocket(url, "json.webpubsub.azure.v1");
let acks = 0;
function say(event, data) {
  socket.send(JSON.stringify({ type: "event", event, dataType: "json", data, ackId: ++acks }));
}

// 4. Listen. Every frame of the app is the `data` of a message, and says its type.
const heard = {
  joined: ({ room }) => say("message", { room, content: text, id: randomUUID() }),
  message: ({ seq, from, content }) => console.log(`#${seq} ${from}: ${content}`),
  messages: ({ messages }) => messages.forEach(heard.message), // said at the same moment
  stock_update: ({ data }) => console.log("prices:", data.symbols),
  error: ({ event, message }) => console.error(`${event} was refused: ${message}`),
};
socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  if (frame.event === "connected") say("join", { room: "lobby" });
  if (frame.type === "message") heard[frame.data.type]?.(frame.data);
  if (frame.type === "ack" && !frame.success) console.error("not acknowledged:", frame.error);
};
socket.onclose = ({ code }) => process.exit(code === 1000 ? 0 : 1);
