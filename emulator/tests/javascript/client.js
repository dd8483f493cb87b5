// A client with the official library. It runs the commands of standard input and prints what it
// receives; both are one JSON object a line.
import { createInterface } from "node:readline";
import { WebPubSubClient } from "@azure/web-pubsub-client";

const print = (event, value = null) => console.log(JSON.stringify({ event, value }));

// By default the client repeats a rejected request three times, a second apart.
const client = new WebPubSubClient(process.argv[2], {
  messageRetryOptions: { maxRetries: 1, retryDelayInMs: 50 },
});
client.on("connected", (event) => print("connected", event.connectionId));
client.on("disconnected", () => print("disconnected"));
client.on("stopped", () => print("stopped"));
client.on("group-message", (event) => print("group", event.message.data));
client.on("server-message", (event) => print("server", event.message.data));
client.onGroupStream(async (stream) => {
  try {
    for await (const part of stream) print("part", part.data);
    print("end");
  } catch (error) {
    print("aborted", error.name);
  }
});

let stream;
const commands = {
  join: ({ group }) => client.joinGroup(group),
  leave: ({ group }) => client.leaveGroup(group),
  send: ({ group, data }) => client.sendToGroup(group, data, "json"),
  event: ({ name, data }) => client.sendEvent(name, data, "json"),
  invoke: ({ name, data }) => client.invokeEvent(name, data, "json"),
  open: async ({ group }) => { stream = await client.openGroupStream(group); },
  write: ({ data }) => stream.write(data, "text"),
  end: () => stream.end(),
  abort: ({ message }) => stream.abort({ message }),
  stop: () => client.stop(),
};

await client.start();
for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...details } = JSON.parse(line);
  try {
    await commands[command](details);
    print("done", command);
  } catch (error) {
    print("failed", error.errorDetail?.name ?? error.name);
  }
}
