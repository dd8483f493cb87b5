// A whole Townsquare client without any package: node web/examples/plain.mjs [app] [name] [text]
// Prints what is said in the lobby and every stock price; sends one message itself.
import { randomUUID } from "node:crypto";

const [app = "http://localhost:7071", name = "ann", text = "Hello!"] = process.argv.slice(2);
const ask = async (path, options) => (await fetch(`${app}${path}`, options)).json();

// 1. Ask the app for an address. `session` proves who we are in every other request.
const request = JSON.stringify({ user_id: name, groups: ["stocks"] });
const answer = await ask("/api/negotiate", { method: "POST", body: request });
const { url, user_id: me, session, error } = answer;
if (error) throw new Error(error.message);

// 2. Read the history with the session; ?before= and ?after= lead to other pages.
const headers = { Authorization: `Bearer ${session}` };
const { messages, head } = await ask("/api/rooms/lobby/history?limit=3", { headers });
console.log(`I am ${me}. ${head} messages so far:`, messages.map(({ content }) => content));

// 3. Connect. What we send is an event with an ackId; the service acknowledges it.
const socket = new WebSocket(url, "json.webpubsub.azure.v1");
let acks = 0;
function send(event, data) {
  socket.send(JSON.stringify({ type: "event", event, dataType: "json", data, ackId: ++acks }));
}

// 4. Receive. Every frame of the app is the `data` of a message and names its type.
const handlers = {
  joined: ({ room }) => send("message", { room, content: text, id: randomUUID() }),
  message: ({ seq, from, content }) => console.log(`#${seq} ${from}: ${content}`),
  messages: ({ messages }) => messages.forEach(handlers.message), // stored by one commit
  stock_update: ({ data }) => console.log("prices:", data.symbols),
  error: ({ event, message }) => console.error(`${event} was refused: ${message}`),
};
socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  if (frame.event === "connected") send("join", { room: "lobby" });
  if (frame.type === "message") handlers[frame.data.type]?.(frame.data);
  if (frame.type === "ack" && !frame.success) console.error("not acknowledged:", frame.error);
};
socket.onclose = ({ code }) => process.exit(code === 1000 ? 0 : 1);
