// Losses against the running app: through a network of the test's own between client and service.
import { test } from "node:test";
import { MemoryStorage, assert, contents, newRoom, people, until, url } from "./people.mjs";

/** A WebSocket class whose sockets a test can cut, silence, and keep from being opened. */
function makeNetwork() {
  const network = { isDown: false, forgets: false, sockets: new Set() };
  network.WebSocket = class extends WebSocket {
    constructor(url, protocols) {
      const address = new URL(url);
      if (network.isDown) address.pathname = "/nothing-is-here";
      // The service keeps a lost connection for 30 s; later it does not know its token any more.
      if (network.forgets && address.searchParams.has("awps_reconnection_token"))
        address.searchParams.set("awps_reconnection_token", "expired");
      super(address, protocols);
      network.sockets.add(this);
      this.addEventListener("message", (event) => this.isSilent && event.stopImmediatePropagation());
    }
    send(data) {
      if (!this.isSilent) super.send(data);
    }
  };
  network.cut = () => {
    network.isDown = true;
    for (const socket of network.sockets) socket.close(4000, "cut");
  };
  network.silence = () => {
    for (const socket of network.sockets) socket.isSilent = true;
  };
  network.restore = ({ afterLong = false } = {}) => {
    network.isDown = false;
    network.forgets = afterLong;
  };
  return network;
}

for (const afterLong of [false, true]) {
  test(`a cut connection goes on without a loss, ${afterLong ? "also after a long time" : "soon"}`, async (context) => {
    const person = people(context);
    const network = makeNetwork();
    const ann = person({ name: "ann", WebSocket: network.WebSocket });
    const bob = person({ name: "bob" });
    const name = newRoom();
    await Promise.all([ann.room(name).join(), bob.room(name).join()]);
    await bob.room(name).send("before");
    await until(ann, () => ann.room(name).entries.length === 1);

    network.cut();
    await until(ann, () => ann.state === "reconnecting");
    const written = ann.room(name).send("written without a connection");
    for (const text of ["one", "two", "three"]) await bob.room(name).send(text);
    let missed = null;
    ann.on("caughtup", (summary) => (missed = summary.missed));
    network.restore({ afterLong });
    await written;

    const expected = ["before", "one", "two", "three", "written without a connection"];
    await until([ann, bob], () => [ann, bob].every((one) => contents(one.room(name)).length === 5));
    assert.deepEqual(contents(ann.room(name)), expected);
    assert.deepEqual(contents(bob.room(name)), expected);
    assert.deepEqual(ann.room(name).pending, []);
    assert.equal(missed, afterLong ? 3 : 0);
  });
}

/** Resolves when the client could not send so many events of a name. */
function untilNotSent(client, name, count = 1) {
  const send = client.sendEvent.bind(client);
  return new Promise((resolve) => {
    client.sendEvent = (event, data) =>
      send(event, data).catch((error) => {
        if (event === name && !(count -= 1)) resolve();
        throw error;
      });
  });
}

for (const afterLong of [false, true]) {
  test(`a read marker without a connection is sent with it, ${afterLong ? "also after a long time" : "soon"}`, async (context) => {
    const person = people(context);
    const network = makeNetwork();
    const [ann, bob] = [person({ name: "ann", WebSocket: network.WebSocket }), person({ name: "bob" })];
    await Promise.all([ann.connected(), bob.connected()]);
    const [room, direct] = [ann.room(newRoom()), ann.direct(bob.userId)];
    await Promise.all([room.join(), bob.room(room.name).join(), direct.load()]);
    await Promise.all([bob.room(room.name).send("unread"), bob.direct(ann.userId).send("unread")]);
    await until(ann, () => room.entries.length && direct.entries.length);

    network.cut();
    await until(ann, () => ann.state === "reconnecting");
    const notSent = untilNotSent(ann, "read", 2);
    room.markRead();
    direct.markRead();
    await notSent;
    const read = [];
    ann.on("frame", (frame) => frame.type === "read" && read.push(frame.room ?? frame.to));
    network.restore({ afterLong });

    await until(ann, () => read.includes(room.name) && read.includes(bob.userId));
    const { rooms, direct: directs } = await ann.http.get("/api/rooms");
    assert.deepEqual([...rooms, ...directs].map(({ unread }) => unread), [0, 0]);
  });
}

test("a read marker that is refused for now is sent again", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const room = ann.room(newRoom());
  await Promise.all([room.join(), bob.room(room.name).join()]);
  await bob.room(room.name).send("unread");
  await until(ann, () => room.entries.length === 1);
  const refused = [];
  ann.on("error", ({ event, code }) => refused.push([event, code]));
  const send = ann.sendEvent.bind(ann);
  const exhaustLimit = async () => {
    const reads = Array.from({ length: 130 }, () => send("read", { room: room.name, seq: 0 }));
    await Promise.all(reads);
  };
  ann.sendEvent = async (event, data) => {
    if (event === "read" && !refused.length) await exhaustLimit();
    return send(event, data);
  };
  let isRead = false;
  ann.on("frame", ({ type, seq }) => (isRead ||= type === "read" && seq === 1));

  room.markRead();

  await until(ann, () => isRead);
  assert.deepEqual(refused[0], ["read", "rate_limited"]);
});

test("unsent messages are sent after a reload", async (context) => {
  const person = people(context);
  const [storage, network, name] = [new MemoryStorage(), makeNetwork(), newRoom()];
  const before = person({ name: "ann", storage, WebSocket: network.WebSocket });
  await before.room(name).join();
  network.cut();
  await until(before, () => before.state === "reconnecting");
  before.room(name).send("one");
  before.room(name).send("two");
  before.close();

  const after = person({ session: before.session, storage });
  await until(after, () => after.rooms.has(name) && contents(after.room(name)).length === 2);

  assert.deepEqual(contents(after.room(name)), ["one", "two"]);
  assert.equal(storage.length, 0);
});

test("an acknowledgement that is lost does not store a message twice", async (context) => {
  const person = people(context);
  const network = makeNetwork();
  const ann = person({ name: "ann", WebSocket: network.WebSocket });
  const name = newRoom();
  await ann.room(name).join();

  for (let n = 0; n < 10; n++) {
    const sent = ann.room(name).send(`message ${n}`);
    for (const socket of network.sockets) socket.close(4000, "cut");
    await sent;
  }

  const page = await ann.room(name).history();
  assert.deepEqual(
    page.messages.map(({ content }) => content),
    Array.from({ length: 10 }, (_, n) => `message ${n}`),
  );
});

test("a lost frame at the end of a quiet room is noticed by the server's heartbeat", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  await Promise.all([ann.room(name).join(), bob.room(name).join()]);
  await bob.room(name).send("received");
  await until(ann, () => ann.room(name).entries.length === 1);
  const room = ann.room(name);
  const receive = room.receive;
  room.receive = () => {}; // the frame is lost
  await bob.room(name).send("lost");
  await bob.room(name).send("lost too");
  room.receive = receive;

  await publish(name, { type: "head", room: name, epoch: room.log.epoch, seq: 3, members: 2 });

  await until(ann, () => room.entries.length === 3);
  assert.deepEqual(contents(room), ["received", "lost", "lost too"]);
});

test("a heartbeat of another epoch resets the log", async (context) => {
  const ann = people(context)({ name: "ann" });
  const name = newRoom();
  const room = ann.room(name);
  await room.join();
  await room.send("stored");
  await until(ann, () => room.entries.length === 1);
  room.log.epoch = "an older one";
  let resets = 0;
  room.on("reset", () => (resets += 1));

  const { epoch } = await room.history();
  await publish(name, { type: "head", room: name, epoch, seq: 1, members: 1 });

  await until(ann, () => resets === 1 && room.log.epoch === epoch);
  assert.deepEqual(contents(room), ["stored"]);
});

test("entries that are not stored any more are skipped with few requests", async (context) => {
  const ann = people(context)({ name: "ann" });
  const name = newRoom();
  const room = ann.room(name);
  await room.join();
  for (const text of ["one", "two"]) await room.send(text);
  await until(ann, () => room.entries.length === 2);
  const history = room.history.bind(room);
  let requests = 0;
  room.history = async (query) => {
    const page = await history({ limit: 1 }); // with the epoch and the form of a page
    const entry = { ...page.messages[0], seq: 5, id: "5", content: "five" };
    if ((requests += 1) > 5) throw new Error("too many requests");
    return { ...page, head: 5, messages: query.after < 5 ? [entry] : [] };
  };

  room.compareHead(room.log.epoch, 5);

  await until(ann, () => room.log.last === 5);
  assert.deepEqual(contents(room), ["one", "two", "five"]);
  assert.equal(requests, 1);
});

test("a log restored under its old epoch is reset by the first differing message", async (context) => {
  const person = people(context);
  const ann = person({ name: "ann" });
  const room = ann.room(newRoom());
  await room.join();
  await room.send("stored");
  await until(ann, () => room.entries.length === 1);
  let resets = 0;
  room.on("reset", () => (resets += 1));
  const other = { ...room.entries[0], id: "another", content: "of the restored log" };

  room.receive(room.log.epoch, [other]);

  await until(ann, () => resets === 1);
  assert.deepEqual(contents(room), ["stored"]);
});

test("a heartbeat with another number of members reloads the roster", async (context) => {
  const ann = people(context)({ name: "ann" });
  const name = newRoom();
  const room = ann.room(name);
  await room.join();
  room.presenceChanged([{ event: "joined", user_id: "ghost-1" }]);
  assert.equal(room.userCount, 2);

  await publish(name, { type: "head", room: name, epoch: "", seq: 0, members: 1 });

  await until(ann, () => !room.users.has("ghost-1"));
  assert.equal(room.userCount, 1);
});

test("joins and leaves of several users arrive in one frame", async (context) => {
  const ann = people(context)({ name: "ann" });
  const name = newRoom();
  const room = ann.room(name);
  await room.join();
  const seen = [];
  room.on("presence", ({ event, userId }) => seen.push(`${userId} ${event}`));

  await publish(name, {
    type: "presence",
    room: name,
    changes: [
      { event: "joined", user_id: "bob-1", name: "Bob" },
      { event: "joined", user_id: "cem-1", name: "Cem" },
      { event: "renamed", user_id: "cem-1", name: "Cemre" },
      { event: "left", user_id: "bob-1", name: "Bob" },
    ],
  });

  await until(ann, () => room.users.has("cem-1"));
  assert.deepEqual(seen, ["bob-1 joined", "cem-1 joined", "bob-1 left"]);
  assert.equal(room.userCount, 2);
  assert.deepEqual(
    room.notices.map(({ userId, event }) => `${userId} ${event}`).slice(-4),
    ["bob-1 joined", "cem-1 joined", "cem-1 renamed", "bob-1 left"],
  );
  const { name: now, nameBefore } = room.notices.at(-2);
  assert.deepEqual([nameBefore, now], ["Cem", "Cemre"]);
  assert.equal(ann.names.get("cem-1"), "Cemre");
});

/** Publishes a frame to a room's group, as the app's timer does. */
async function publish(room, frame) {
  const response = await fetch(`${url}/api/publish?group=room.${room}`, {
    method: "POST",
    body: JSON.stringify(frame),
  });
  assert.equal(response.status, 200, await response.text());
}

for (const afterLong of [false, true]) {
  test(`a room that is left without a connection stays left, ${afterLong ? "also on a new one" : "on the recovered one"}`, async (context) => {
    const person = people(context);
    const network = makeNetwork();
    const [ann, bob] = [person({ name: "ann", WebSocket: network.WebSocket }), person({ name: "bob" })];
    const [name, other] = [newRoom(), newRoom()];
    await Promise.all([ann.room(name).join(), ann.room(other).join(), bob.room(name).join()]);
    const unread = bob.room(name);
    await unread.send("unread");
    await until(ann, () => ann.room(name).entries.length === 1);
    ann.on("opened", () => ann.loadConversations()); // as the page does

    network.cut();
    await until(ann, () => ann.state === "reconnecting");
    const unsent = ann.room(name).send("never sent");
    ann.room(name).leave();
    network.restore({ afterLong });

    await assert.rejects(unsent);
    await until(ann, () => ann.state === "live" && ann.room(other).isJoined);
    const listed = async () => (await ann.http.get("/api/rooms")).rooms.map(({ room }) => room);
    const end = Date.now() + 30_000;
    while ((await listed()).includes(name)) assert.ok(Date.now() < end, "the server still lists the room");
    assert.deepEqual([[...ann.rooms.keys()], contents(unread)], [[other], ["unread"]]);
    await ann.room(name).join(); // nothing keeps it from being joined again
    assert.deepEqual((await listed()).sort(), [name, other].sort());
  });
}

test("a room that is opened without a connection is joined when the connection is recovered", async (context) => {
  const network = makeNetwork();
  const ann = people(context)({ name: "ann", WebSocket: network.WebSocket });
  await ann.room(newRoom()).join();
  network.cut();
  await until(ann, () => ann.state === "reconnecting");

  const joined = ann.room(newRoom()).join();
  network.restore();

  await joined;
});
