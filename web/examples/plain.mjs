// A whole Townsquare client without any package: node web/examples/plain.mjs [app] [name] [text]
// Prints what is said in the lobby and every stock price; says one thing itself.
import { randomUUID } from "node:crypto";

const [app = "http://localhost:7071", name = "ann", text = "Hello from forty lines."] = process.argv.slice(2);

// 1. Ask the app for an address. `session` proves who we are in every other call.
const answer = await fetch(`${app}/api/negotiate`, {
  method: "POST",
  body: JSON.stringify({ user_id: name, groups: ["stocks"] }),
});
const { url, user_id: me, session, error } = await answer.json();
if (error) throw new Error(error.message);
const { streams } = await (await fetch(`${app}/api/streams`)).json();
console.log(`I am ${me}. There are ${streams.map((stream) => stream.name).join(", ")}.`);

// 2. Connect. Everything that we say is an event with an ackId; the service acks it.
const socket = new WebSocket(url, "json.webpubsub.azure.v1");
let acks = 0;
const event = (event, data) => socket.send(JSON.stringify({ type: "event", event, dataType: "json", data, ackId: ++acks }));

// 3. Listen. Every frame of the app is the `data` of a message, and says its type.
const heard = {
  joined: ({ room, count, messages }) => {
    console.log(`${room}: ${count} here, ${messages.length} messages before me`);
    event("message", { room, content: text, id: randomUUID() }); // the same id again is no second message
  },
  message: ({ seq, from, content }) => console.log(`#${seq} ${from}: ${content}`),
  messages: ({ messages }) => messages.forEach(heard.message), // said at the same moment
  stock_update: ({ data }) => console.log(Object.entries(data.symbols).map(([symbol, { price }]) => `${symbol} ${price}`).join("  ")),
  error: ({ event, message }) => console.error(`${event} was refused: ${message}`),
};
socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  if (frame.type === "system" && frame.event === "connected") event("join", { room: "lobby" });
  if (frame.type === "message") heard[frame.data.type]?.(frame.data);
  if (frame.type === "ack" && !frame.success) console.error(`not acknowledged: ${frame.error.message}`);
};
socket.onclose = ({ code }) => process.exit(code === 1000 ? 0 : 1);

// 4. Ask for more than the newest page, in our own name: history?before=, history?after=.
const page = await fetch(`${app}/api/rooms/lobby/history?limit=3`, { headers: { Authorization: `Bearer ${session}` } });
console.log("the last words:", (await page.json()).messages.map(({ content }) => content));
