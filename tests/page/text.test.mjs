// Texts that look like markup or like addresses, and names, times and numbers in words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isOnlyEmoji, parts } from "../../web/src/text.js";
import { ago, bytes, day, list, nameOf, signed } from "../../web/src/words.js";

const links = (content) =>
  parts(content)
    .filter((part) => part.href)
    .map((part) => part.href);

test("an address in a sentence is a link without the sentence's punctuation", () => {
  assert.deepEqual(links("See https://example.com/a_(b), then (http://example.org/c)."), [
    "https://example.com/a_(b)",
    "http://example.org/c",
  ]);
});

test("nothing but http and https is a link", () => {
  for (const content of [
    "javascript:alert(1)",
    "data:text/html,hi",
    "file:///etc/passwd",
    "https://",
    "http://[",
  ])
    assert.deepEqual(links(content), []);
});

test("the text around and inside links stays letter for letter", () => {
  const content = "a <b>https://example.com/?q=<i> & c";

  assert.equal(
    parts(content)
      .map((part) => part.text)
      .join(""),
    content,
  );
});

test("a few emoji are large, digits and words are not", () => {
  assert.equal(isOnlyEmoji("🎉👩‍👩‍👧 👍🏽"), true);
  for (const content of ["1", "123", "#", "ok 🎉", ""]) assert.equal(isOnlyEmoji(content), false);
});

test("a person is called by the name they chose", () => {
  assert.equal(nameOf("ann-7f3kq2"), "ann");
  assert.equal(nameOf("mary-ann-7f3kq2"), "mary-ann");
  assert.equal(nameOf("ann.smith_4d1f"), "ann.smith");
  assert.equal(nameOf("ann"), "ann");
});

test("days, ages and sizes read as people say them", () => {
  const noon = new Date(2026, 10, 21, 12);

  assert.equal(day(new Date(2026, 10, 21, 0, 1), noon), "Today");
  assert.equal(day(new Date(2026, 10, 20, 23, 59), noon), "Yesterday");
  assert.equal(ago(0.4), "now");
  assert.equal(ago(75), "1 min ago");
  assert.equal(bytes(1536), "1.5 KB");
  assert.equal(bytes(null), "–");
  assert.equal(signed(-0.5), "−0.50");
  assert.equal(list(["ann", "bob", "cleo", "dan"]), "ann, bob and 2 others");
});
