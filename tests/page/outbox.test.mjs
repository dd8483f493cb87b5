// What was written and is not yet acknowledged: sent in order, again and again, never twice.
import assert from "node:assert/strict";
import { test } from "node:test";
import { NotConnected, Outbox } from "../../web/src/outbox.js";

const settled = () => new Promise((done) => setImmediate(done));

test("messages go one at a time, in the order written", async () => {
  const sent = [];
  const acks = [];
  const outbox = new Outbox(
    (_, { content }) => (sent.push(content), new Promise((done) => acks.push(done))),
    () => {},
  );

  outbox.post("lobby", "first");
  outbox.post("lobby", "second");
  await settled();
  assert.deepEqual(sent, ["first"]);
  acks[0]();
  await settled();

  assert.deepEqual(sent, ["first", "second"]);
});

test("what could not be sent goes again, with the same id", async () => {
  const ids = [];
  let isConnected = false;
  const send = async (_, { id }) => {
    ids.push(id);
    if (!isConnected) throw new NotConnected();
  };
  const outbox = new Outbox(send, () => {});

  outbox.post("lobby", "hello");
  await settled();
  assert.equal(outbox.of("lobby")[0].state, "waiting");
  isConnected = true;
  outbox.flushAll();
  await settled();

  assert.equal(outbox.of("lobby")[0].state, "sent");
  assert.equal(ids.length, 2);
  assert.equal(ids[0], ids[1]);
});

test("a refused message says why and stays until its writer decides", async () => {
  const outbox = new Outbox(
    async (_, { id }) => outbox.refused({ id, message: "Too long.", retry: false }),
    () => {},
  );

  outbox.post("lobby", "hello");
  await settled();

  const [message] = outbox.of("lobby");
  assert.deepEqual([message.state, message.reason, message.retry], ["failed", "Too long.", false]);
  outbox.discard("lobby", message.id);
  assert.deepEqual(outbox.of("lobby"), []);
});

test("a message that the log has is no longer on its way", async () => {
  const outbox = new Outbox(
    async () => {},
    () => {},
  );
  outbox.post("lobby", "hello");
  await settled();

  outbox.arrived("lobby", [{ id: outbox.of("lobby")[0].id }]);

  assert.deepEqual(outbox.of("lobby"), []);
});

test("a message that the server did not take is tried again, and then fails with a reason", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let tries = 0;
  const outbox = new Outbox(
    async () => ((tries += 1), Promise.reject(new Error("no ack"))),
    () => {},
  );

  outbox.post("lobby", "hello");
  for (let n = 0; n < 10; n++) {
    await settled();
    context.mock.timers.tick(20_000);
  }
  await settled();

  assert.equal(tries, 4);
  assert.deepEqual([outbox.of("lobby")[0].state, outbox.of("lobby")[0].retry], ["failed", true]);
});
