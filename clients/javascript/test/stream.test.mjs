// Data streams against the running app.
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { asServer, assert, newRoom, people, until } from "./people.mjs";

test("a requested stream has its last frame at once and then new ones", async (context) => {
  const ann = people(context)({ name: "ann", streams: ["stock-prices"] });
  const stocks = ann.stream("stock-prices");
  await until(ann, () => stocks.frame);
  const first = stocks.frame.tick;

  await until(ann, () => stocks.frame.tick > first);

  assert.ok(Object.keys(stocks.frame.data.symbols).length >= 2);
  assert.equal(stocks.isStale, false);
  assert.ok(stocks.ageSeconds < 30);
  assert.equal(ann.stream("weather").isSubscribed, false);
});

test("a stream can be subscribed to and unsubscribed from while connected", async (context) => {
  const ann = people(context)({ name: "ann" });
  await ann.connected();
  const metrics = ann.stream("system-metrics");

  await metrics.subscribe();
  await until(ann, () => metrics.frame);
  const first = metrics.frame.tick;
  await until(ann, () => metrics.frame.tick > first);
  await metrics.unsubscribe();

  assert.equal(metrics.isSubscribed, false);
});

test("the history of a stream has its recorded frames, oldest first", async (context) => {
  const ann = people(context)({ name: "ann", streams: ["stock-prices"] });
  const stocks = ann.stream("stock-prices");
  await until(ann, () => stocks.frame);
  const first = stocks.frame;
  await until(ann, () => stocks.frame.tick >= first.tick + 2);

  const { points } = await stocks.history({ since: new Date(first.timestamp), points: 300 });

  assert.equal(points[0].timestamp, first.timestamp);
  assert.deepEqual(points[0].data.symbols.AAPL.price, first.data.symbols.AAPL.price);
  const times = points.map(({ timestamp }) => timestamp);
  assert.deepEqual(times, [...times].sort());
  assert.deepEqual((await stocks.history({ until: new Date(0), since: new Date(-1) }).catch((e) => e)).code, "invalid_request");
});

test("an unknown stream is rejected", async (context) => {
  const ann = people(context)({ name: "ann" });
  await ann.connected();

  await assert.rejects(ann.stream("nothing").subscribe(), { code: "unknown_stream" });
});

test("a client goes on without a stream that was deleted", async (context) => {
  const ann = people(context)({ name: "ann", streams: ["stock-prices"] });
  const name = `sensor-${randomUUID()}`;
  await asServer("PUT", `/api/streams/${name}`, { title: "Sensor" });
  const [sensor, room] = [ann.stream(name), ann.room(newRoom())];
  await room.join();
  await sensor.subscribe();
  await ann.streams.load();
  const { userId } = ann;

  await asServer("DELETE", `/api/streams/${name}`);
  ann.close();
  ann.open();
  await room.send("still here");

  assert.deepEqual([ann.userId, sensor.group, sensor.isSubscribed], [userId, null, false]);
  assert.equal(ann.stream("stock-prices").isSubscribed, true);
});
