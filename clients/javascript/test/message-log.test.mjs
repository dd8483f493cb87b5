// One conversation's log: order, gaps, repeats, and logs that were started anew.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageLog } from "../src/message-log.js";

const entry = (seq, content = `message ${seq}`) => ({
  seq,
  id: `id${seq}`,
  from: "ann-1",
  content,
  timestamp: "2026-11-21T10:00:00.000Z",
});
const between = (first, last) =>
  Array.from({ length: last - first + 1 }, (_, i) => entry(first + i));
const seqs = (entries) => entries.map((entry) => entry.seq);

function started(first, last) {
  const log = new MessageLog();
  log.start({ epoch: "e1", head: last, messages: between(first, last) });
  return log;
}

test("messages are in the order of the log, independent of their arrival", () => {
  const log = started(1, 2);

  log.receive("e1", [entry(5)]);
  log.receive("e1", [entry(4)]);
  const fresh = log.receive("e1", [entry(3)]);

  assert.deepEqual(seqs(fresh), [3, 4, 5]);
  assert.deepEqual(seqs(log.entries), [1, 2, 3, 4, 5]);
});

test("a repeated message is dropped", () => {
  const log = started(1, 3);

  const fresh = log.receive("e1", [entry(2), entry(3), entry(4), entry(4)]);

  assert.deepEqual(seqs(fresh), [4]);
  assert.deepEqual(seqs(log.entries), [1, 2, 3, 4]);
});

test("entries after a gap wait until the gap is filled", () => {
  const log = started(1, 2);

  const early = log.receive("e1", [entry(4)]);

  assert.deepEqual(early, []);
  assert.equal(log.hasGap, true);
  log.receive("e1", [entry(3)]);
  assert.equal(log.hasGap, false);
  assert.equal(log.last, 4);
});

test("a newer head without its messages is a gap", () => {
  const log = started(1, 2);

  log.head = 9;

  assert.equal(log.hasGap, true);
  assert.equal(log.last, 2);
});

test("a gap that cannot be filled is skipped, and later entries are not lost", () => {
  const log = started(1, 2);
  log.receive("e1", [entry(7), entry(8)]);

  const fresh = log.skipGap();

  assert.deepEqual(seqs(fresh), [7, 8]);
  assert.equal(log.hasGap, false);
});

test("a message of another epoch is dropped", () => {
  const log = started(1, 2);

  const fresh = log.receive("e2", [entry(3)]);

  assert.deepEqual(fresh, []);
  assert.deepEqual(seqs(log.entries), [1, 2]);
});

test("a reset removes the old log", () => {
  const log = started(1, 9);
  log.receive("e1", [entry(12)]);

  log.start({ epoch: "e2", head: 2, messages: between(1, 2) });

  assert.deepEqual(seqs(log.entries), [1, 2]);
  assert.equal(log.hasGap, false);
});

test("entries that arrive while the newest page is being read stay in the log", () => {
  const log = started(1, 3);
  log.expectPage();
  log.receive("e1", [entry(4), entry(5)]);

  const fresh = log.start({ epoch: "e1", head: 4, messages: between(2, 4) });

  assert.deepEqual(seqs(fresh), [5]);
  assert.deepEqual(seqs(log.entries), [2, 3, 4, 5]);
});

test("entries that arrive before the first page stay in the log when they continue it", () => {
  const log = new MessageLog();
  log.expectPage();
  log.receive("e1", [entry(3)]);

  log.start({ epoch: "e1", head: 2, messages: between(1, 2) });

  assert.deepEqual(seqs(log.entries), [1, 2, 3]);
});

test("the first entry of an empty log stays when it arrives before the empty page", () => {
  const log = new MessageLog();
  log.expectPage();
  log.receive("e1", [entry(1)]);

  const fresh = log.start({ epoch: "", head: 0, messages: [] });

  assert.deepEqual(seqs(fresh), [1]);
  assert.equal(log.epoch, "e1");
});

test("an empty page keeps the entries of the newest epoch only", () => {
  const log = started(1, 9);
  log.expectPage();
  log.receive("e1", [entry(10)]);
  log.receive("e2", [entry(1)]);

  log.start({ epoch: "", head: 0, messages: [] });

  assert.deepEqual(seqs(log.entries), [1]);
  assert.equal(log.epoch, "e2");
});

test("a page that is no continuation drops everything above its head", () => {
  const log = started(1, 9);
  log.receive("e1", [entry(12)]);
  log.expectPage();

  log.start({ epoch: "e1", head: 6, messages: between(1, 6) });

  assert.deepEqual(seqs(log.entries), [1, 2, 3, 4, 5, 6]);
  assert.equal(log.hasGap, false);
});

test("a page of another epoch drops everything of the older one", () => {
  const log = started(1, 9);
  log.expectPage();
  log.receive("e1", [entry(10)]);

  log.start({ epoch: "e2", head: 9, messages: between(1, 9) });

  assert.deepEqual(seqs(log.entries), seqs(between(1, 9)));
  assert.equal(log.epoch, "e2");
});

test("older pages are prepended once", () => {
  const log = started(51, 60);

  log.prepend("e1", between(31, 50), true);
  log.prepend("e1", between(41, 50), true);

  assert.deepEqual(seqs(log.entries), seqs(between(31, 60)));
});

test("the beginning of the log is known when there is no earlier page", () => {
  const log = started(51, 60);
  assert.equal(log.hasMore, true);

  log.prepend("e1", between(1, 50), false);

  assert.equal(log.hasMore, false);
});

test("an empty room begins with its first message", () => {
  const log = new MessageLog();
  log.start({ epoch: "", head: 0, messages: [] });

  const fresh = log.receive("e1", [entry(1)]);

  assert.deepEqual(seqs(fresh), [1]);
  assert.equal(log.epoch, "e1");
  assert.equal(log.hasMore, false);
});

test("any order and any repeats give the same log", () => {
  const random = (seed) => () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let seed = 1; seed <= 200; seed++) {
    const next = random(seed);
    const log = started(1, 1);
    const frames = [...between(2, 30), ...between(2, 30)].sort(() => next() - 0.5);

    for (const frame of frames) log.receive("e1", [frame]);

    assert.deepEqual(seqs(log.entries), seqs(between(1, 30)));
  }
});

test("an entry with the seq of another one shows that the log was restored", () => {
  const log = started(1, 3);

  log.receive("e1", [entry(2)]);
  assert.equal(log.isContradicted, false);
  log.receive("e1", [{ ...entry(3), id: "another" }]);

  assert.equal(log.isContradicted, true);
  assert.deepEqual(seqs(log.entries), [1, 2, 3]);
});

test("a heartbeat below an earlier position shows that the log was restored", () => {
  const log = started(1, 9);

  assert.equal(log.isShortenedTo(9, 0), false);
  assert.equal(log.isShortenedTo(8, 100), false); // a late one, of another instance
  assert.equal(log.isShortenedTo(9, 60_000), false);
  assert.equal(log.isShortenedTo(7, 120_000), true);
});
