// Many rooms and a server that limits joins, on a clock of the test's own.
import { test } from "node:test";
import { JoinQueue } from "../src/join-queue.js";
import { FakeClock, assert, runPendingTasks } from "./people.mjs";

/** Takes `burst` joins at once and then one each half second, as the app does. */
function makeServer(clock, { burst, latencyMs = 20 }) {
  const server = { joined: [], rejections: 0, parallel: 0, mostParallel: 0 };
  let [tokens, since] = [burst, clock.now()];
  server.join = async (room, queue) => {
    server.mostParallel = Math.max(server.mostParallel, (server.parallel += 1));
    await new Promise((resolve) => clock.setTimeout(resolve, latencyMs));
    server.parallel -= 1;
    tokens = Math.min(burst, tokens + (clock.now() - since) / 500);
    since = clock.now();
    if (tokens >= 1) {
      tokens -= 1;
      return server.joined.push(room.name);
    }
    server.rejections += 1;
    queue.delay(room, (1 - tokens) * 500 + 1);
  };
  return server;
}

function makeRooms(count, server, queue) {
  return Array.from({ length: count }, (_, n) => {
    const room = { name: `room-${n}`, isLeft: false, sendJoin: () => server.join(room, queue) };
    return room;
  });
}

for (const count of [1, 20, 50, 200])
  test(`${count} rooms are joined with few rejections, in their order`, async () => {
    const clock = new FakeClock();
    const queue = new JoinQueue(clock);
    const server = makeServer(clock, { burst: 20 });
    const rooms = makeRooms(count, server, queue);

    queue.restart(rooms);
    await clock.advance(2_000 + count * 600);

    assert.equal(server.joined.length, count);
    assert.equal(server.joined[0], "room-0");
    assert.ok(server.rejections <= 8 + count / 10, `${server.rejections} rejections`);
    assert.ok(server.mostParallel <= 8);
  });

test("a room that is opened is joined next, one that was left is not, and a new connection begins anew", async () => {
  const clock = new FakeClock();
  const queue = new JoinQueue(clock);
  const server = makeServer(clock, { burst: 10 });
  const rooms = makeRooms(40, server, queue);
  queue.restart(rooms);
  await clock.advance(1_000);
  rooms[30].isLeft = true;

  queue.add(rooms[39]);
  await clock.advance(1_200);
  assert.ok(server.joined.includes("room-39"));
  await clock.advance(20_000);
  assert.equal(server.joined.length, 39);
  assert.ok(!server.joined.includes("room-30"));

  queue.restart(rooms.slice(0, 3));
  await clock.advance(5_000);
  await runPendingTasks();
  assert.equal(server.joined.length, 42);
});
