// Roles, muting, removing, reports, blocks and the directory, against the running app.
import { test } from "node:test";
import { asServer, assert, contents, newRoom, people, until } from "./people.mjs";

/** Ann owns the room, bob and cleo are in it. */
async function ownedRoom(context, settings = {}) {
  const person = people(context);
  const clients = ["ann", "bob", "cleo"].map((name) => person({ name }));
  const [ann, bob, cleo] = clients;
  await Promise.all(clients.map((client) => client.connected()));
  const name = newRoom();
  await asServer("PUT", `/api/rooms/${name}`, { ...settings, owners: [ann.userId] });
  await Promise.all(clients.map((client) => client.room(name).join()));
  return { ann, bob, cleo, rooms: clients.map((client) => client.room(name)), name };
}

test("roles are given by owners, and everybody in the room learns of them", async (context) => {
  const { ann, bob, cleo, rooms } = await ownedRoom(context);
  const [anns, bobs, cleos] = rooms;
  assert.deepEqual([anns.role, bobs.role, bobs.roleOf(ann.userId)], ["owner", "member", "owner"]);
  assert.deepEqual([anns.isOwner, anns.canModerate(bob.userId), bobs.canModerate(cleo.userId)], [true, true, false]);

  await assert.rejects(bobs.setRole(cleo.userId, "moderator"), { code: "forbidden" });
  assert.equal(bobs.error, null); // the room itself is not refused
  await anns.setRole(bob.userId, "moderator");

  await until([bobs, cleos], () => bobs.role === "moderator" && cleos.roleOf(bob.userId) === "moderator");
  assert.deepEqual([bobs.canModerate(cleo.userId), bobs.canModerate(ann.userId)], [true, false]);
  const { members } = await cleos.members();
  assert.deepEqual(members.map(({ role }) => role).sort(), ["moderator", "owner"]);
  await anns.setRole(bob.userId, "member");
  await until(cleos, () => cleos.roles.size === 1);
});

test("a muted user reads and does not write; moderators delete what others wrote", async (context) => {
  const { bob, rooms } = await ownedRoom(context);
  const [anns, bobs] = rooms;
  await bobs.send("to be deleted");
  await until(anns, () => anns.entries.length === 1);

  await anns.mute(bob.userId, { minutes: 5 });
  await until(bobs, () => bobs.mutedUntil !== null);
  await assert.rejects(bobs.send("not heard"), { code: "muted" });
  assert.ok(bobs.mutedUntil - Date.now() <= 5 * 60_000);
  await anns.delete(1);
  await until(bobs, () => bobs.entries[0].deleted);
  await anns.unmute(bob.userId);
  await until(bobs, () => bobs.mutedUntil === null);
  await bobs.send("heard");

  await until(anns, () => contents(anns).at(-1) === "heard");
});

test("who is removed is out, and does not join again by itself", async (context) => {
  const { bob, rooms } = await ownedRoom(context);
  const [anns, bobs] = rooms;

  await anns.remove(bob.userId, { minutes: 1 });
  await until([bob, bobs], () => bobs.error?.code === "removed");
  await until(anns, () => !anns.users.has(bob.userId));

  assert.deepEqual([bobs.isJoined, bobs.isWanted], [false, false]);
  assert.ok(bobs.removedUntil > new Date());
  await assert.rejects(bobs.join(), { code: "removed" });
});

test("who was removed and is admitted again is in the room like before", async (context) => {
  const { bob, rooms, name } = await ownedRoom(context);
  const [anns, bobs] = rooms;
  const path = `/api/rooms/${name}/members/${bob.userId}`;
  await asServer("PUT", `/api/rooms/${name}`, { private: true });
  await asServer("PUT", path, { role: "member" });
  await asServer("DELETE", path);
  await until(bobs, () => bobs.error !== null);
  await asServer("PUT", path, { role: "member" });

  bobs.requestJoin(); // as the page does from time to time

  await until(bobs, () => bobs.isJoined);
  assert.equal(bobs.isWanted, true);
  await anns.send("welcome back");
  await until(bobs, () => contents(bobs).at(-1) === "welcome back");
});

test("title and topic are changed by owners, and the directory lists the open room", async (context) => {
  const { ann, bob, rooms, name } = await ownedRoom(context);
  const [anns, bobs] = rooms;

  await assert.rejects(bobs.update({ title: "Mine" }), { code: "forbidden" });
  await anns.update({ title: "Market", topic: "What is sold today", listed: true });

  await until([bob, bobs], () => bobs.title === "Market");
  assert.deepEqual([bobs.topic, bobs.isListed, bobs.isPrivate], ["What is sold today", true, false]);
  let found, after;
  do {
    const page = await ann.directory({ after, limit: 50 });
    found = page.rooms.find(({ room }) => room === name);
    after = page.next;
  } while (!found && after);
  assert.deepEqual([found.title, found.topic], ["Market", "What is sold today"]);
});

test("room names fold case", async (context) => {
  const ann = people(context)({ name: "ann" });
  const name = newRoom();

  assert.equal(ann.room(name.toUpperCase()), ann.room(name));
  await ann.room(name.toUpperCase()).join();
  await ann.room(name).send("one room");

  await until(ann.room(name), () => ann.room(name).entries.length === 1);
});

test("a message is reported; an own one is not", async (context) => {
  const { bob, rooms } = await ownedRoom(context);
  const [anns, bobs] = rooms;
  await anns.send("reported");
  await until(bobs, () => bobs.entries.length === 1);

  await bobs.report(1, "It is rude.");
  await assert.rejects(anns.report(1, "mine"), { code: "invalid_target" });

  const { reports } = await asServer("GET", "/api/reports");
  const report = reports.find(({ reporter }) => reporter === bob.userId);
  assert.deepEqual([report.reason, report.seq, report.message.content], ["It is rude.", 1, "reported"]);
});

test("who is blocked reaches nobody directly, and it is known on every connection", async (context) => {
  const person = people(context);
  const [ann, bob] = [person({ name: "ann" }), person({ name: "bob" })];
  await Promise.all([ann.connected(), bob.connected()]);
  const second = person({ session: ann.session });
  await second.connected();

  await ann.block(bob.userId);
  await until([ann, second], () => [ann, second].every((one) => one.blockedUsers.has(bob.userId)));
  await assert.rejects(bob.direct(ann.userId).send("Hello?"), { code: "unreachable" });
  const third = person({ session: ann.session });
  await third.connected();
  assert.deepEqual((await third.profile()).blocked, [bob.userId]);
  await ann.unblock(bob.userId);
  await until(second, () => !second.blockedUsers.has(bob.userId));

  await bob.direct(ann.userId).send("Hello!");
});

test("unread mentions are counted, also those before the loaded messages", async (context) => {
  const { ann, bob, rooms, name } = await ownedRoom(context);
  const [anns, bobs] = rooms;
  await anns.send("first");
  await until(bobs, () => bobs.entries.length === 1);
  const second = people(context)({ session: bob.session });
  const reads = [];
  second.on("frame", (frame) => frame.type === "read" && reads.push(frame));
  await second.connected();
  bobs.markRead();
  await until(second, () => reads.length === 1);
  bob.close();
  await anns.send("for you", { mentions: [bob.userId] });
  for (let n = 0; n < 60; n++) anns.send(`message ${n}`);
  await until(anns, () => anns.entries.length === 62 && !anns.pending.length);

  await second.loadConversations();
  const room = second.room(name);
  await until([second, room], () => room.log.isStarted && room.mentions === 1);
  assert.equal(room.unread, 61);
  await anns.send("again", { mentions: [bob.userId] });
  await until(room, () => room.mentions === 2);
  room.markRead();

  assert.deepEqual([room.unread, room.mentions], [0, 0]);
  assert.equal(ann.room(name).mentions, 0);
});
