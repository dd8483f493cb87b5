// An event handler with the official Express middleware. It lets everybody in but eve, counts
// what each connection said in the connection's state, and tells what happens on standard output.
import express from "express";
import { WebPubSubEventHandler } from "@azure/web-pubsub-express";

const tell = (what, value = null) => console.log(JSON.stringify({ what, value }));

const handler = new WebPubSubEventHandler("chat", {
  path: "/events",
  allowedEndpoints: [process.argv[2]],
  handleConnect(request, response) {
    if (request.context.userId === "eve") return response.fail(401, "not you");
    response.setState("said", 0);
    response.success({ groups: ["lobby"] });
  },
  handleUserEvent(request, response) {
    const said = (request.context.states.said ?? 0) + 1;
    response.setState("said", said);
    response.success(JSON.stringify({ said, heard: request.data }), "json");
  },
  onConnected: (request) => tell("connected", request.context.userId),
  onDisconnected: (request) => tell("disconnected", request.context.userId),
});

const app = express();
app.use(handler.getMiddleware());
const server = app.listen(0, "127.0.0.1", () => tell("listening", server.address().port));
