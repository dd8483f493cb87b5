// The connection's state under dead networks, with a socket and a clock of the test's own.
import { test } from "node:test";
import { Connection, NotConnectedError } from "../src/connection.js";
import { ApiError } from "../src/http.js";
import { FakeClock, assert, runPendingTasks } from "./people.mjs";

/** A socket that does what the test says; `behaviour` says what a new one does by itself. */
function makeNetwork() {
  const sockets = [];
  const network = { sockets, answers: true, connects: true };
  network.Socket = class extends EventTarget {
    static OPEN = 1;
    readyState = 0;
    sent = [];
    constructor(url) {
      super();
      this.url = url;
      sockets.push(this);
      if (network.connects) queueMicrotask(() => this.open());
    }
    open() {
      this.readyState = 1;
      this.dispatchEvent(new Event("open"));
      if (network.answers && !this.url.includes("awps_reconnection_token"))
        this.receive({ type: "system", event: "connected", connectionId: `c${sockets.length}`, reconnectionToken: "t", userId: "ann" });
    }
    send(data) {
      const frame = JSON.parse(data);
      this.sent.push(frame);
      if (network.answers && frame.type === "ping") queueMicrotask(() => this.receive({ type: "pong" }));
    }
    receive(frame) {
      this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(frame) }));
    }
    close(code = 1005) {
      this.closeCode = code;
      this.readyState = 2; // closing; a dead network never answers
    }
    lose() {
      this.readyState = 3;
      this.dispatchEvent(Object.assign(new Event("close"), { code: 1006, reason: "" }));
    }
  };
  return network;
}

function makeConnection({ negotiate = async () => ({ url: "ws://hub/client?access_token=x" }) } = {}) {
  const network = makeNetwork();
  const clock = new FakeClock();
  const connection = new Connection({ negotiate, clock, webSocketClass: () => network.Socket });
  const states = [];
  connection.on("state", (state) => states.at(-1) !== state && states.push(state));
  return { network, clock, connection, states };
}

test("a half-open socket is detected within 35 s", async (context) => {
  const { network, clock, connection, states } = makeConnection();
  context.after(() => connection.close());
  connection.open();
  await runPendingTasks();
  assert.equal(connection.state, "live");

  network.answers = false;
  network.connects = false;
  await clock.advance(35_000);

  assert.notEqual(connection.state, "live");
  assert.deepEqual(states, ["connecting", "live", "reconnecting"]);
  network.answers = network.connects = true;
  await clock.advance(60_000);
  assert.equal(connection.state, "live");
});

test("a socket that answers pings stays live without other frames", async (context) => {
  const { network, clock, connection } = makeConnection();
  context.after(() => connection.close());
  connection.open();
  await runPendingTasks();

  await clock.advance(10 * 60_000);

  assert.equal(connection.state, "live");
  assert.equal(network.sockets.length, 1);
  const pings = network.sockets[0].sent.filter(({ type }) => type === "ping");
  assert.ok(pings.length >= 39 && pings.length <= 41, `${pings.length} pings`);
});

test("a handshake without a response is abandoned after 10 s and repeated", async (context) => {
  const { network, clock, connection } = makeConnection();
  context.after(() => connection.close());
  network.connects = false;

  connection.open();
  await clock.advance(10_000);
  network.connects = true;
  await clock.advance(1_000);

  assert.equal(connection.state, "live");
  assert.equal(network.sockets.length, 2);
});

test("a socket without a `connected` message is abandoned after 10 s", async (context) => {
  const { network, clock, connection } = makeConnection();
  context.after(() => connection.close());
  network.answers = false;

  connection.open();
  await clock.advance(10_000);
  network.answers = true;
  await clock.advance(2_000);

  assert.equal(connection.state, "live");
});

test("after a change of the network a live socket is kept and a dead one is abandoned", async (context) => {
  const { network, clock, connection } = makeConnection();
  context.after(() => connection.close());
  connection.open();
  await runPendingTasks();
  connection.check();
  await clock.advance(4_000);
  assert.equal(connection.state, "live");

  network.answers = false;
  connection.check();
  await clock.advance(4_000);

  assert.equal(connection.state, "reconnecting");
});

test("when the network is back, the next attempt starts without its delay", async (context) => {
  let isDown = true;
  const negotiate = async () => {
    if (isDown) throw new Error("unreachable");
    return { url: "ws://hub/client?access_token=x" };
  };
  const { clock, connection } = makeConnection({ negotiate });
  context.after(() => connection.close());
  connection.open();
  await clock.advance(5 * 60_000);
  assert.equal(connection.state, "connecting");

  isDown = false;
  connection.check();
  await runPendingTasks();

  assert.equal(connection.state, "live");
});

test("the next attempt waits for the retry_after_ms of the server", async (context) => {
  let calls = 0;
  const negotiate = async () => {
    calls += 1;
    if (calls === 1) throw new ApiError(429, { code: "rate_limited", retry: true, retry_after_ms: 20_000 });
    return { url: "ws://hub/client?access_token=x" };
  };
  const { clock, connection } = makeConnection({ negotiate });
  context.after(() => connection.close());
  connection.open();

  await clock.advance(19_000);
  connection.check();
  await runPendingTasks();
  assert.equal(calls, 1);
  await clock.advance(1_000);

  assert.equal(connection.state, "live");
});

test("a permanent error closes the connection and is emitted", async () => {
  const refusal = new ApiError(403, { code: "banned", message: "You are banned.", retry: false });
  const { connection } = makeConnection({ negotiate: () => Promise.reject(refusal) });
  let reason = null;
  connection.on("state", (state, error) => (reason = error));

  connection.open();
  await runPendingTasks();

  assert.equal(connection.state, "closed");
  assert.equal(reason, refusal);
});

test("an event without a connection, or whose connection is lost, is rejected", async (context) => {
  const { network, connection } = makeConnection();
  context.after(() => connection.close());
  await assert.rejects(connection.send("message", {}), NotConnectedError);
  connection.open();
  await runPendingTasks();

  const sent = connection.send("message", {});
  await runPendingTasks();
  network.sockets[0].lose();

  await assert.rejects(sent, NotConnectedError);
});

test("close() ends the connection in the service without a recovery", async () => {
  const { network, connection } = makeConnection();
  connection.open();
  await runPendingTasks();

  connection.close();

  assert.equal(network.sockets[0].closeCode, 1000);
  assert.equal(connection.state, "closed");
});
