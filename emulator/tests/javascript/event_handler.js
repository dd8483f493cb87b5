// An event handler with the official Express middleware. It accepts every user except eve, counts
// the messages of each connection in the connection state, and prints each event as a JSON line.
import express from "express";
import { WebPubSubEventHandler } from "@azure/web-pubsub-express";

const print = (event, value = null) => console.log(JSON.stringify({ event, value }));

const handler = new WebPubSubEventHandler("chat", {
  path: "/events",
  allowedEndpoints: [process.argv[2]],
  handleConnect(request, response) {
    if (request.context.userId === "eve") return response.fail(401, "not allowed");
    response.setState("count", 0);
    response.success({ groups: ["lobby"] });
  },
  handleUserEvent(request, response) {
    const count = (request.context.states.count ?? 0) + 1;
    response.setState("count", count);
    response.success(JSON.stringify({ count, received: request.data }), "json");
  },
  onConnected: (request) => print("connected", request.context.userId),
  onDisconnected: (request) => print("disconnected", request.context.userId),
});

const app = express();
app.use(handler.getMiddleware());
const server = app.listen(0, "127.0.0.1", () => print("listening", server.address().port));
