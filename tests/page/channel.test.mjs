// One conversation's log: order, holes, repeats, and logs that were started anew.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Channel } from "../../web/src/channel.js";

const said = (seq, content = `message ${seq}`) => ({
  seq,
  id: `id${seq}`,
  from: "ann-1",
  content,
  timestamp: "2026-11-21T10:00:00.000Z",
});
const between = (first, last) =>
  Array.from({ length: last - first + 1 }, (_, i) => said(first + i));
const seqs = (entries) => entries.map((entry) => entry.seq);

function started(first, last) {
  const channel = new Channel();
  channel.start({ epoch: "e1", head: last, messages: between(first, last) });
  return channel;
}

test("messages are kept in the order of the log, however they come", () => {
  const channel = started(1, 2);

  channel.receive("e1", [said(5)]);
  channel.receive("e1", [said(4)]);
  const fresh = channel.receive("e1", [said(3)]);

  assert.deepEqual(seqs(fresh), [3, 4, 5]);
  assert.deepEqual(seqs(channel.entries), [1, 2, 3, 4, 5]);
});

test("a message that comes again is dropped", () => {
  const channel = started(1, 3);

  const fresh = channel.receive("e1", [said(2), said(3), said(4), said(4)]);

  assert.deepEqual(seqs(fresh), [4]);
  assert.deepEqual(seqs(channel.entries), [1, 2, 3, 4]);
});

test("what comes after a hole waits until the hole is filled", () => {
  const channel = started(1, 2);

  const early = channel.receive("e1", [said(4)]);

  assert.deepEqual(early, []);
  assert.equal(channel.hasHole, true);
  channel.receive("e1", [said(3)]);
  assert.equal(channel.hasHole, false);
  assert.equal(channel.last, 4);
});

test("a newer head without its messages is a hole", () => {
  const channel = started(1, 2);

  channel.head = 9;

  assert.equal(channel.hasHole, true);
  assert.equal(channel.last, 2);
});

test("a hole that nobody can fill is skipped, and nothing after it is lost", () => {
  const channel = started(1, 2);
  channel.receive("e1", [said(7), said(8)]);

  const fresh = channel.skipHole();

  assert.deepEqual(seqs(fresh), [7, 8]);
  assert.equal(channel.hasHole, false);
});

test("a message of another epoch does not enter", () => {
  const channel = started(1, 2);

  const fresh = channel.receive("e2", [said(3)]);

  assert.deepEqual(fresh, []);
  assert.deepEqual(seqs(channel.entries), [1, 2]);
});

test("starting anew forgets the old log", () => {
  const channel = started(1, 9);
  channel.receive("e1", [said(12)]);

  channel.start({ epoch: "e2", head: 2, messages: between(1, 2) });

  assert.deepEqual(seqs(channel.entries), [1, 2]);
  assert.equal(channel.hasHole, false);
});

test("what came while the newest page was on its way is kept", () => {
  const channel = started(1, 3);
  channel.receive("e1", [said(4), said(5)]);

  channel.start({ epoch: "e1", head: 4, messages: between(2, 4) });

  assert.deepEqual(seqs(channel.entries), [2, 3, 4, 5]);
});

test("older pages go before what is here, once", () => {
  const channel = started(51, 60);

  channel.earlier("e1", between(31, 50), true);
  channel.earlier("e1", between(41, 50), true);

  assert.deepEqual(seqs(channel.entries), seqs(between(31, 60)));
});

test("the beginning of the log is known when no page comes before", () => {
  const channel = started(51, 60);
  assert.equal(channel.more, true);

  channel.earlier("e1", between(1, 50), false);

  assert.equal(channel.more, false);
});

test("an empty room begins with its first message", () => {
  const channel = new Channel();
  channel.start({ epoch: "", head: 0, messages: [] });

  const fresh = channel.receive("e1", [said(1)]);

  assert.deepEqual(seqs(fresh), [1]);
  assert.equal(channel.epoch, "e1");
  assert.equal(channel.more, false);
});

test("any order and any repeats give the same log", () => {
  const random = (seed) => () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let seed = 1; seed <= 200; seed++) {
    const next = random(seed);
    const channel = started(1, 1);
    const frames = [...between(2, 30), ...between(2, 30)].sort(() => next() - 0.5);

    for (const frame of frames) channel.receive("e1", [frame]);

    assert.deepEqual(seqs(channel.entries), seqs(between(1, 30)));
  }
});
