// A browser with the official client. It does what standard input says and tells what it hears,
// one JSON object a line each.
import { createInterface } from "node:readline";
import { WebPubSubClient } from "@azure/web-pubsub-client";

const tell = (what, value = null) => console.log(JSON.stringify({ what, value }));

// A refusal is final in a test; the client would ask three times more, a second apart.
const client = new WebPubSubClient(process.argv[2], {
  messageRetryOptions: { maxRetries: 1, retryDelayInMs: 50 },
});
client.on("connected", (event) => tell("connected", event.connectionId));
client.on("disconnected", () => tell("disconnected"));
client.on("stopped", () => tell("stopped"));
client.on("group-message", (event) => tell("group", event.message.data));
client.on("server-message", (event) => tell("server", event.message.data));
client.onGroupStream(async (stream) => {
  try {
    for await (const piece of stream) tell("piece", piece.data);
    tell("end");
  } catch (error) {
    tell("broken", error.name);
  }
});

let stream;
const deeds = {
  join: ({ group }) => client.joinGroup(group),
  leave: ({ group }) => client.leaveGroup(group),
  send: ({ group, data }) => client.sendToGroup(group, data, "json"),
  event: ({ name, data }) => client.sendEvent(name, data, "json"),
  open: async ({ group }) => { stream = await client.openGroupStream(group); },
  write: ({ data }) => stream.write(data, "text"),
  end: () => stream.end(),
  abort: ({ message }) => stream.abort({ message }),
  stop: () => client.stop(),
};

await client.start();
for await (const line of createInterface({ input: process.stdin })) {
  const { deed, ...details } = JSON.parse(line);
  try {
    await deeds[deed](details);
    tell("done", deed);
  } catch (error) {
    tell("failed", error.errorDetail?.name ?? error.name);
  }
}
