// Rooms and direct conversations against the running app.
import { test } from "node:test";
import { systemClock } from "../src/clock.js";
import { MAX_PENDING_MESSAGES, OutboxFullError } from "../src/outbox.js";
import { asServer, assert, contents, newRoom, people, until } from "./people.mjs";

test("a message is delivered to all users in the room, once and in order", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  const received = [];
  bob.room(name).on("message", ({ content }) => received.push(content));
  await Promise.all([ann.room(name).join(), bob.room(name).join()]);

  for (let n = 0; n < 20; n++) ann.room(name).send(`message ${n}`);
  await until([bob, bob.room(name)], () => received.length === 20);

  const expected = Array.from({ length: 20 }, (_, n) => `message ${n}`);
  assert.deepEqual(received, expected);
  assert.deepEqual(contents(bob.room(name)), expected);
  await until(ann.room(name), () => ann.room(name).pending.length === 0);
});

test("send resolves when the message is stored", async (context) => {
  const ann = people(context)({ name: "ann" });
  const room = ann.room(newRoom());
  await room.join();

  const { id } = await room.send("stored");

  const page = await room.history();
  assert.deepEqual([page.messages[0].id, page.messages[0].content], [id, "stored"]);
});

test("send rejects with the server's code, and the message stays pending", async (context) => {
  const ann = people(context)({ name: "ann" });
  const room = ann.room(newRoom());
  await room.join();

  await assert.rejects(room.send("\u200b"), { code: "empty_content" });

  assert.equal(room.pending[0].state, "failed");
  ann.outbox.discard(room.key, room.pending[0].id);
  assert.deepEqual(room.pending, []);
});

test("a late joiner has the newest page and loads earlier ones", async (context) => {
  const person = people(context);
  const ann = person({ name: "ann" });
  const name = newRoom();
  await ann.room(name).join();
  await Promise.all(Array.from({ length: 120 }, (_, n) => ann.room(name).send(`message ${n}`)));

  const room = person({ name: "bob" }).room(name);
  await room.join();
  assert.equal(room.entries.length, 50);
  while (room.log.hasMore) await room.loadEarlier();

  assert.deepEqual(
    contents(room),
    Array.from({ length: 120 }, (_, n) => `message ${n}`),
  );
});

test("the users in the room and typing users are known", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  await ann.room(name).join();
  await bob.room(name).join();
  await until(ann, () => ann.room(name).users.has(bob.userId));

  bob.room(name).typing();
  await until(ann, () => ann.room(name).typingUsers.has(bob.userId));
  bob.room(name).leave();

  await until(ann, () => !ann.room(name).users.has(bob.userId));
  assert.equal(ann.room(name).userCount, 1);
});

test("a room that is left on one connection is left on all", async (context) => {
  const person = people(context);
  const ann = person({ name: "ann" });
  const name = newRoom();
  await ann.room(name).join();
  const again = person({ session: ann.session });
  await again.room(name).join();
  const left = [];
  again.on("left", (room) => left.push(room.name));

  ann.room(name).leave();
  await until(again, () => !again.rooms.has(name));

  assert.deepEqual(left, [name]);
  const { rooms } = await again.http.get("/api/rooms");
  assert.deepEqual(rooms, []);
  await ann.room(name).join();
  ann.room(name).leave();
  await ann.room(name).join();
  assert.ok(ann.room(name).isJoined);
});

test("all connections of two users have their direct messages", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  await Promise.all([ann.connected(), bob.connected()]);

  await ann.direct(bob.userId).send("Hello bob");
  await until(bob, () => contents(bob.direct(ann.userId)).length === 1);
  await bob.direct(ann.userId).send("Hello ann");
  const again = person({ session: ann.session });
  await again.connected();
  await again.direct(bob.userId).load();

  assert.equal(again.userId, ann.userId);
  assert.deepEqual(contents(again.direct(bob.userId)), ["Hello bob", "Hello ann"]);
});

test("whether the other user is connected is asked again, and shown by their frames", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  await Promise.all([ann.room(name).join(), bob.connected()]);
  const direct = ann.direct(bob.userId);
  await direct.load();
  assert.equal(direct.isOnline, true);

  bob.close();
  const deadline = Date.now() + 30_000;
  while (direct.isOnline && Date.now() < deadline) await direct.loadOnline();
  assert.equal(direct.isOnline, false);
  ann.room(name).presenceChanged([{ event: "joined", user_id: bob.userId }]);
  assert.equal(direct.isOnline, true);
  await direct.loadOnline();
  assert.equal(direct.isOnline, false);
  const again = person({ session: bob.session });
  await again.connected();
  await again.direct(ann.userId).send("Here I am");

  await until(ann, () => direct.isOnline);
});

test("a first direct message is emitted, and counts as unread", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  await Promise.all([ann.connected(), bob.connected()]);
  const received = [];
  bob.on("messages", (conversation, entries) => received.push(...entries));

  await ann.direct(bob.userId).send("Hello bob");
  await until(bob, () => received.length === 1);

  assert.equal(received[0].content, "Hello bob");
  assert.equal(bob.direct(ann.userId).unread, 1);
});

test("direct messages from before the first received one are loaded, and each is emitted once", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  await Promise.all([ann.connected(), bob.connected()]);
  for (const text of ["one", "two", "three"]) await ann.direct(bob.userId).send(text);
  bob.close();
  const again = person({ session: bob.session });
  await again.connected();
  await again.loadConversations();
  const direct = again.direct(ann.userId);
  const received = [];
  direct.on("message", ({ content }) => received.push(content));

  await ann.direct(bob.userId).send("four");
  await until([again, direct], () => direct.entries.length === 1);
  assert.deepEqual([direct.unread, direct.isLoaded, direct.log.hasMore], [4, false, true]);
  const loading = direct.load();
  await ann.direct(bob.userId).send("five");
  await loading;

  await until([again, direct], () => direct.entries.length === 5);
  assert.deepEqual(contents(direct), ["one", "two", "three", "four", "five"]);
  assert.deepEqual([direct.unread, direct.isLoaded, direct.log.hasMore], [5, true, false]);
  assert.deepEqual(received, ["four", "five"]);
});

test("who sends a message has read what is before it, and the server learns it at once", async (context) => {
  const person = people(context);
  // A client that is closed within the interval of the read marker.
  const clock = { ...systemClock, setTimeout: (run, ms) => (ms === 800 ? null : setTimeout(run, ms)) };
  const [ann, bob] = [person({ name: "ann", clock }), person({ name: "bob" })];
  const name = newRoom();
  await Promise.all([ann.room(name).join(), bob.room(name).join()]);
  const second = person({ session: ann.session });
  await second.connected();
  const reads = [];
  second.on("frame", ({ type, room, to, seq }) => type === "read" && reads.push([room ?? to, seq]));
  await bob.room(name).send("Hello?");
  await until(ann, () => ann.room(name).unread === 1);

  await ann.room(name).send("Hello bob");
  await ann.direct(bob.userId).send("Between us");

  await until(second, () => reads.length === 2);
  assert.deepEqual(new Map(reads), new Map([[name, 2], [bob.userId, 1]]));
  assert.equal(ann.room(name).unread, 0);
});

test("the rooms of a user with more than 100 direct conversations are joined", async (context) => {
  const person = people(context);
  const ann = person({ name: "ann" });
  const name = newRoom();
  await ann.room(name).join();
  const senders = Array.from({ length: 101 }, (_, n) => `fan-${n}`);
  const write = (from) => asServer("POST", `/api/users/${ann.userId}/message`, { from, content: "hello" });
  while (senders.length) await Promise.all(senders.splice(0, 20).map(write));
  const again = person({ session: ann.session });
  await again.connected();

  await again.loadConversations();

  assert.equal(again.directs.size, 101);
  await until([again, again.room(name)], () => again.room(name).isJoined);
});

test("edits, deletes and reactions are delivered to all users and late joiners", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  const [anns, bobs] = [ann.room(name), bob.room(name)];
  await Promise.all([anns.join(), bobs.join()]);
  for (const text of ["first", "second", "third"]) await anns.send(text);
  await until([ann, bob], () => anns.entries.length === 3 && bobs.entries.length === 3);

  await anns.edit(1, "first, edited");
  await anns.delete(2);
  await bobs.react(3, "👍");
  await assert.rejects(bobs.edit(1, "not mine"));
  await anns.send("fourth");
  const isDone = (room) => room.entries.length === 4 && room.entries[2].reactions?.["👍"] === 1;
  await until([ann, bob], () => isDone(anns) && isDone(bobs));
  const late = person({ name: "cleo" });
  await late.room(name).join();

  for (const room of [anns, bobs, late.room(name)]) {
    assert.deepEqual(contents(room), ["first, edited", "", "third", "fourth"]);
    assert.equal(room.entries[1].deleted, true);
    assert.equal(room.entries[2].reactions["👍"], 1);
    assert.equal(room.log.hasGap, false);
  }
  assert.deepEqual(bobs.entries[2].mine, ["👍"]);
  await bobs.react(3, "👍", false);
  await until(ann, () => !anns.entries[2].reactions["👍"]);
});

test("a reply, mentions and metadata reach everybody; the answered message is fetched", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  const [anns, bobs] = [ann.room(name), bob.room(name)];
  await Promise.all([anns.join(), bobs.join()]);
  await anns.send("the first");
  for (let n = 0; n < 70; n++) anns.send(`message ${n}`);
  await until(bobs, () => bobs.entries.length === 71);

  await bobs.send("an answer", { replyTo: 1, mentions: [ann.userId], meta: { mood: "good" } });
  await until(anns, () => anns.entries.length === 72);

  const answer = anns.entries.at(-1);
  assert.deepEqual([answer.reply_to, answer.mentions], [1, [ann.userId]]);
  assert.deepEqual(answer.meta, { mood: "good" });
  assert.deepEqual([anns.unread, anns.mentions, bobs.mentions], [1, 1, 0]);
  const late = person({ name: "cleo" }).room(name);
  await late.join();
  assert.equal(late.log.find(1), undefined);
  assert.equal(late.message(1), undefined); // it is asked for
  await until(late, () => late.message(1));
  assert.equal(late.message(1).content, "the first");
  assert.equal(late.entries.length, 50);

  await anns.edit(1, "the first, edited");
  await until(late, () => late.message(1).content === "the first, edited");
  await anns.delete(1);
  await until(late, () => late.message(1).deleted);
  await until(late, () => late.message(72 + 1) === null); // an edit is no message
});

test("a message beyond the log is missing until it is written", async (context) => {
  const room = people(context)({ name: "ann" }).room(newRoom());
  await room.join();
  await room.send("one");
  await until(room, () => room.entries.length === 1);

  assert.equal(room.message(2), null);
  await room.send("two");

  await until(room, () => room.message(2)?.content === "two");
});

test("a name is changed on the open connection, and the others get it", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  const [anns, bobs] = [ann.room(name), bob.room(name)];
  await Promise.all([anns.join(), bobs.join()]);
  const [{ session, userId }, connection] = [ann, ann.connection.id];

  await ann.updateProfile({ name: "Анна" });

  await until(bob, () => bob.nameOf(userId) === "Анна");
  const { event, name: now, nameBefore } = bobs.notices.at(-1);
  assert.deepEqual([event, now, nameBefore], ["renamed", "Анна", "ann"]);
  assert.deepEqual([ann.userId, ann.connection.id], [userId, connection]);
  assert.notEqual(ann.session, session);
  assert.equal((await ann.profile()).name, "Анна");
  await anns.send("Здравствуйте");
  await until(bobs, () => bobs.entries.length === 1);
  assert.equal(bobs.entries[0].name, "Анна");
  await assert.rejects(ann.updateProfile({ name: "\u200b" }), { code: "invalid_name" });
});

test("the status and colour of users come with the roster and when they change", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  await ann.room(name).join();
  await bob.connected();
  await bob.updateProfile({ status: "on holiday", colour: 4 });
  const shown = () => ann.profiles.get(bob.userId);

  await bob.room(name).join();
  await until(ann, () => shown()?.status === "on holiday");
  assert.deepEqual(shown(), { status: "on holiday", colour: 4 });
  assert.deepEqual(bob.profiles.get(ann.userId), { status: "", colour: null });

  await bob.updateProfile({ status: "", colour: 0 });
  await until(ann, () => shown().colour === 0);
  assert.deepEqual(shown(), { status: "", colour: 0 });
  await ann.room(name).loadUsers();
  assert.deepEqual(shown(), { status: "", colour: 0 });
});

test("what is unread before the loaded messages is counted by the server", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  const [anns, bobs] = [ann.room(name), bob.room(name)];
  await Promise.all([anns.join(), bobs.join()]);
  await anns.send("read by bob");
  await until(bobs, () => bobs.entries.length === 1);
  const second = person({ session: bob.session });
  await second.connected();
  const reads = [];
  second.on("frame", (frame) => frame.type === "read" && reads.push(frame.seq));
  bobs.markRead();
  await until(second, () => reads.length === 1);
  bob.close();
  for (let n = 0; n < 80; n++) anns.send(`message ${n}`);
  await until(anns, () => anns.entries.length === 81 && !anns.pending.length);
  for (let n = 0; n < 10; n++) await anns.react(2 + n, "👍");

  await second.loadConversations();
  const room = second.room(name);
  await until([second, room], () => room.log.isStarted && room.summary);

  assert.equal(room.entries.length, 50);
  assert.equal(room.unread, 80); // the ten reactions are no messages
  await anns.send("one more");
  await until(room, () => room.unread === 81);
});

test("display names of any script are known beside the ids", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "José García" }), person({ name: "张伟" })];
  const name = newRoom();
  await Promise.all([ann.room(name).join(), bob.room(name).join()]);
  await bob.room(name).send("Hello");
  await until(ann, () => ann.room(name).entries.length === 1);

  assert.equal(ann.nameOf(bob.userId), "张伟");
  assert.equal(ann.nameOf(ann.userId), "José García");
});

test("unread counts messages of others until any connection marks them as read", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  await Promise.all([ann.room(name).join(), bob.room(name).join()]);
  const second = person({ session: bob.session });
  await second.room(name).join();

  await ann.room(name).send("one");
  await ann.room(name).send("two");
  await until([bob, second], () => bob.room(name).unread === 2 && second.room(name).unread === 2);
  bob.room(name).markRead();

  await until(second, () => second.room(name).unread === 0);
  assert.equal(ann.room(name).unread, 0);
});

test("an invalid room name is rejected before a request", (context) => {
  const ann = people(context)({ name: "ann" });

  for (const name of ["", "two words", "-", "x".repeat(65), "é"])
    assert.throws(() => ann.room(name), TypeError);
});

test("an invalid session closes the client", async (context) => {
  const ann = people(context)({ session: "forged" });

  await assert.rejects(ann.connected(), { code: "unauthenticated", status: 401 });
  assert.equal(ann.state, "closed");
});

test("an edit changes whom a message mentions, also for who missed the edit", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const name = newRoom();
  const [anns, bobs] = [ann.room(name), bob.room(name)];
  await Promise.all([anns.join(), bobs.join()]);
  await anns.send("hello");
  await until(bobs, () => bobs.entries.length === 1);

  await anns.edit(1, "hello @bob", { mentions: [bob.userId] });
  await until(bobs, () => bobs.mentions === 1);
  assert.deepEqual(bobs.entries[0].mentions, [bob.userId]);
  bob.close();
  await anns.edit(1, "hello");
  bob.open();

  await until(bobs, () => bobs.entries[0].revision === 2);
  assert.deepEqual([bobs.entries[0].mentions, bobs.mentions], [[], 0]);
});

test("a notice after a change belongs to the message before it", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  const room = ann.room(newRoom());
  await room.join();
  await room.send("hello");
  await room.react(1, "👍");
  await until(room, () => room.log.last === 2);

  await bob.room(room.name).join();

  await until(room, () => room.notices.length === 1);
  assert.equal(room.notices[0].after, 1);
});

test("a message that exceeds the number of pending ones is rejected", async (context) => {
  const ann = people(context)({ name: "ann" });
  ann.close();
  for (let n = 0; n < MAX_PENDING_MESSAGES; n++) ann.room("lobby").send(String(n));

  await assert.rejects(ann.room("lobby").send("one more"), OutboxFullError);
});
