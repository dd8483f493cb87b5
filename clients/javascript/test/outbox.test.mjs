// What was written and is not acknowledged: sent in order, again and again, stored once.
import { test } from "node:test";
import { Client } from "../src/client.js";
import { Outbox, OutboxFullError, MAX_PENDING_MESSAGES } from "../src/outbox.js";
import { OutboxStorage } from "../src/outbox-storage.js";
import { NotConnectedError } from "../src/connection.js";
import { FakeClock, MemoryStorage, assert, runPendingTasks } from "./people.mjs";

function makeOutbox(send, { clock = new FakeClock(), storage = null, userId = "ann-1" } = {}) {
  const outbox = new Outbox({
    send: (key, message) => send(message, key),
    changed: () => {},
    clock,
    storage: new OutboxStorage(storage),
  });
  outbox.restore(userId);
  return outbox;
}

const states = (outbox) => outbox.of("lobby").map(({ state }) => state);

test("messages are sent one at a time, in the order written", async () => {
  const sent = [];
  const acks = [];
  const outbox = makeOutbox(
    ({ content }) => (sent.push(content), new Promise((resolve) => acks.push(resolve))),
  );

  outbox.add("lobby", "first");
  outbox.add("lobby", "second");
  await runPendingTasks();
  assert.deepEqual(sent, ["first"]);
  acks[0]();
  await runPendingTasks();

  assert.deepEqual(sent, ["first", "second"]);
});

test("what a message carries is sent with it, and survives a restart", async () => {
  const storage = new MemoryStorage();
  const options = { replyTo: 7, mentions: ["bob-1"], meta: { mood: "good" } };
  makeOutbox(async () => { throw new NotConnectedError(); }, { storage }).add("lobby", "hello", options);
  await runPendingTasks();
  const sent = [];

  makeOutbox(async (message) => void sent.push(message), { storage }).flushAll();
  await runPendingTasks();

  const [{ content, reply_to, mentions, meta }] = sent;
  assert.deepEqual([content, reply_to, mentions, meta], ["hello", 7, ["bob-1"], { mood: "good" }]);
});

test("an unsent message is sent with the next connection and the same id", async () => {
  const ids = [];
  let isConnected = false;
  const outbox = makeOutbox(async ({ id }) => {
    ids.push(id);
    if (!isConnected) throw new NotConnectedError();
  });

  outbox.add("lobby", "hello");
  await runPendingTasks();
  assert.deepEqual(states(outbox), ["waiting"]);
  isConnected = true;
  outbox.flushAll();
  await runPendingTasks();

  assert.deepEqual(states(outbox), ["sent"]);
  assert.deepEqual(new Set(ids).size, 1);
  assert.equal(ids.length, 2);
});

test("a connection that is back before the loss is noticed does not leave a message behind", async () => {
  let tries = 0;
  const outbox = makeOutbox(async () => {
    tries += 1;
    if (tries > 1) return;
    outbox.flushAll();
    throw new NotConnectedError();
  });

  outbox.add("lobby", "hello");
  await runPendingTasks();

  assert.deepEqual(states(outbox), ["sent"]);
});

test("a message without an acknowledgement is sent again without a limit, at least every 30 s", async () => {
  const clock = new FakeClock();
  const times = [];
  const outbox = makeOutbox(
    async () => {
      times.push(clock.now());
      throw new Error("no acknowledgement");
    },
    { clock },
  );

  outbox.add("lobby", "hello");
  await clock.advance(60 * 60_000);

  assert.deepEqual(states(outbox), ["unconfirmed"]);
  const pauses = times.slice(1).map((time, index) => time - times[index]);
  assert.deepEqual(pauses.slice(0, 8), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.ok(times.length > 120);
  assert.equal(Math.max(...pauses), 30_000);
});

test("after a new connection all messages are sent without a delay", async () => {
  const clock = new FakeClock();
  let works = false;
  const outbox = makeOutbox(
    async () => {
      if (!works) throw new Error("no acknowledgement");
    },
    { clock },
  );
  outbox.add("lobby", "hello");
  await clock.advance(5 * 60_000);

  works = true;
  outbox.flushAll();
  await runPendingTasks();

  assert.deepEqual(states(outbox), ["sent"]);
});

test("a temporarily rejected message is sent again after retry_after_ms", async () => {
  const clock = new FakeClock();
  const times = [];
  const outbox = makeOutbox(
    async ({ id }) => {
      times.push(clock.now());
      if (times.length === 1)
        outbox.refuse({ id, code: "rate_limited", message: "Too many.", retry: true, retry_after_ms: 7000 });
    },
    { clock },
  );

  outbox.add("lobby", "hello");
  await runPendingTasks();
  const [{ state, code }] = outbox.of("lobby");
  await clock.advance(10_000);

  assert.deepEqual([state, code], ["delayed", "rate_limited"]);
  assert.equal(times[1] - times[0], 7000);
  assert.deepEqual(states(outbox), ["sent"]);
});

test("a rate limit delays each message by what it asks for, however many there are", async () => {
  const clock = new FakeClock();
  const [start, perSecond, burst] = [clock.now(), 2, 20];
  let [tokens, since] = [burst, start];
  const outbox = makeOutbox(
    async ({ id }) => {
      tokens = Math.min(burst, tokens + ((clock.now() - since) / 1000) * perSecond);
      since = clock.now();
      if (tokens >= 1) return void (tokens -= 1);
      const retry_after_ms = Math.ceil(((1 - tokens) / perSecond) * 1000);
      outbox.refuse({ id, code: "rate_limited", message: "Too many.", retry: true, retry_after_ms });
    },
    { clock },
  );

  for (let n = 0; n < 70; n++) outbox.add("lobby", String(n));
  await clock.advance(24_000);
  assert.ok(states(outbox).includes("delayed"));
  await clock.advance(2_000);

  assert.deepEqual(new Set(states(outbox)), new Set(["sent"]));
});

test("the delays begin again after an acknowledgement", async () => {
  const clock = new FakeClock();
  const times = [];
  const outbox = makeOutbox(
    async () => {
      if (times.push(clock.now()) !== 4) throw new Error("no acknowledgement");
    },
    { clock },
  );

  outbox.add("lobby", "one");
  outbox.add("lobby", "two");
  await clock.advance(5_000);

  const pauses = times.slice(1).map((time, index) => time - times[index]);
  assert.deepEqual(pauses.slice(0, 5), [500, 1000, 2000, 0, 500]);
});

test("a rejected message has its error, and the next one is sent", async () => {
  const outbox = makeOutbox(async ({ id, content }) => {
    if (content === "bad") outbox.refuse({ id, code: "moderated", message: "Not here.", retry: false });
  });

  const bad = outbox.add("lobby", "bad");
  const good = outbox.add("lobby", "good");

  await assert.rejects(bad, { message: "Not here.", code: "moderated" });
  await good;
  assert.deepEqual(states(outbox), ["failed", "sent"]);
  outbox.discard("lobby", outbox.of("lobby")[0].id);
  assert.deepEqual(states(outbox), ["sent"]);
});

test("a message in the log is not pending, even without an acknowledgement", async () => {
  const clock = new FakeClock();
  let tries = 0;
  const outbox = makeOutbox(
    async () => {
      tries += 1;
      throw new Error("no acknowledgement");
    },
    { clock },
  );
  const stored = outbox.add("lobby", "hello");
  await runPendingTasks();

  outbox.remove("lobby", [{ id: outbox.of("lobby")[0].id }]);
  await stored;
  await clock.advance(60_000);

  assert.deepEqual(outbox.of("lobby"), []);
  assert.equal(tries, 1);
});

test("unsent messages are restored after a reload, with their ids and in their order", async () => {
  const storage = new MemoryStorage();
  const offline = async () => {
    throw new NotConnectedError();
  };
  const before = makeOutbox(offline, { storage });
  for (const content of ["one", "two", "three"]) before.add("lobby", content);
  before.add("@bob-1", "alone");
  const ids = before.of("lobby").map(({ id }) => id);

  const sent = [];
  const after = makeOutbox(async (message) => void sent.push(message), { storage });
  after.flushAll();
  await runPendingTasks();

  assert.deepEqual(after.of("lobby").map(({ id }) => id), ids);
  assert.deepEqual(sent.map(({ content }) => content).sort(), ["alone", "one", "three", "two"]);
  assert.equal(storage.length, 0);
});

test("a message that was rejected for good is not sent again after a reload", async () => {
  const storage = new MemoryStorage();
  const before = makeOutbox(
    async ({ id }) => before.refuse({ id, code: "moderated", message: "Not here.", retry: false }),
    { storage },
  );
  before.add("lobby", "bad");
  await runPendingTasks();

  const sent = [];
  const after = makeOutbox(async (message) => void sent.push(message), { storage });
  after.flushAll();
  await runPendingTasks();

  assert.deepEqual(sent, []);
  const [{ id, state, code, reason }] = after.of("lobby");
  assert.deepEqual([state, code, reason], ["failed", "moderated", "Not here."]);

  // The user's wish to try again survives a reload as well.
  const offline = async () => {
    throw new NotConnectedError();
  };
  const again = makeOutbox(offline, { storage });
  again.retry("lobby", id);
  await runPendingTasks();

  assert.deepEqual(states(makeOutbox(offline, { storage })), ["waiting"]);
  again.discard("lobby", id);
  assert.deepEqual(makeOutbox(offline, { storage }).keys, []);
});

test("another user of the same browser does not send the messages of the first", () => {
  const storage = new MemoryStorage();
  const offline = async () => {
    throw new NotConnectedError();
  };
  makeOutbox(offline, { storage }).add("lobby", "from ann");

  assert.deepEqual(makeOutbox(offline, { storage, userId: "bob-1" }).keys, []);
  assert.deepEqual(makeOutbox(offline, { storage, userId: "ann-1" }).keys, ["lobby"]);
});

test("unreadable items of the storage are skipped", () => {
  const storage = new MemoryStorage();
  for (const [n, item] of ["", "{", "null", '{"key":1}', '{"key":"lobby","message":{}}'].entries())
    storage.setItem(`townsquare.outbox.ann-1.${n}`, item);

  assert.deepEqual(makeOutbox(async () => {}, { storage }).keys, []);
});

test("with a full storage messages are sent but not restored after a reload", async () => {
  const storage = new MemoryStorage();
  storage.setItem = () => {
    throw new Error("full");
  };
  const outbox = makeOutbox(async () => {}, { storage });

  await outbox.add("lobby", "hello");

  assert.deepEqual(states(outbox), ["sent"]);
});

test("the number of pending messages is bounded", () => {
  const outbox = makeOutbox(async () => {
    throw new NotConnectedError();
  });
  for (let n = 0; n < MAX_PENDING_MESSAGES; n++) outbox.add("lobby", String(n));

  assert.throws(() => outbox.add("lobby", "one more"), OutboxFullError);
  assert.equal(outbox.isFull, true);
  outbox.discardAll("lobby");
  assert.deepEqual([outbox.isFull, outbox.of("lobby")], [false, []]);
});

test("a message for a full outbox is rejected, which a caller may ignore", async () => {
  const room = new Client({ url: "http://localhost" }).room("lobby");
  for (let n = 0; n < MAX_PENDING_MESSAGES; n++) room.send(String(n));

  await assert.rejects(room.send("one more"), OutboxFullError);

  room.send("ignored");
  await runPendingTasks(); // no unhandled rejection
  assert.equal(room.pending.length, MAX_PENDING_MESSAGES);
});
