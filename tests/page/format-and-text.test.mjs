// Messages that look like markup or like addresses, and how names, times and numbers are written.
import assert from "node:assert/strict";
import { test } from "node:test";
import { findMentionedNames, findMentions, isOnlyEmoji, parseBlocks, parseSpans, plainText } from "../../web/src/message-text.js";
import {
  displayName,
  formatAge,
  formatBytes,
  formatDay,
  formatSigned,
  formatUntil,
} from "../../web/src/format.js";
import { listNames, texts } from "../../web/src/texts.js";
import { addressOf, readAddress } from "../../web/src/address.js";

const links = (content) =>
  parseSpans(content)
    .filter((span) => span.href)
    .map((span) => span.href);

test("an address in a sentence is a link without the sentence's punctuation", () => {
  assert.deepEqual(links("See https://example.com/a_(b), then (http://example.org/c)."), [
    "https://example.com/a_(b)",
    "http://example.org/c",
  ]);
});

test("nothing but http, https and mailto is a link", () => {
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
    parseSpans(content)
      .map((span) => span.text)
      .join(""),
    content,
  );
});

test("a few emoji are large, digits and words are not", () => {
  assert.equal(isOnlyEmoji("🎉👩‍👩‍👧 👍🏽"), true);
  for (const content of ["1", "123", "#", "ok 🎉", ""]) assert.equal(isOnlyEmoji(content), false);
});

test("a person is called by the name they chose", () => {
  assert.equal(displayName("ann-7f3kq2"), "ann");
  assert.equal(displayName("mary-ann-7f3kq2"), "mary-ann");
  assert.equal(displayName("ann.smith_4d1f"), "ann.smith");
  assert.equal(displayName("ann"), "ann");
});

test("days, ages and sizes read as people say them", () => {
  const noon = new Date(2026, 10, 21, 12);

  assert.equal(formatDay(new Date(2026, 10, 21, 0, 1), noon), "Today");
  assert.equal(formatDay(new Date(2026, 10, 20, 23, 59), noon), "Yesterday");
  assert.equal(formatAge(0.4), "now");
  assert.equal(formatAge(75), "1 min ago");
  assert.equal(formatBytes(1536), "1.5 KB");
  assert.equal(formatBytes(null), "–");
  assert.equal(formatSigned(-0.5), "−0.50");
  assert.equal(listNames(["ann", "bob", "cleo", "dan"]), "ann, bob and 2 others");
});

test("an email address is a link only with its scheme", () => {
  assert.deepEqual(links("Write to mailto:ann@example.com, not to ann@example.com"), [
    "mailto:ann@example.com",
  ]);
});

test("light Markdown: code, bold, italics, quotes, lists", () => {
  const kinds = (content) => parseBlocks(content).map(({ kind }) => kind);
  const inline = (content) => parseSpans(content).map(({ kind, text }) => [kind, text]);

  assert.deepEqual(kinds("> a\n> b\ntext\n- one\n- two\n3. three"), [
    "quote",
    "paragraph",
    "list",
    "list",
  ]);
  assert.deepEqual(parseBlocks("3. three")[0].start, 3);
  assert.deepEqual(parseBlocks("```js\n  if (a) {\n    b\n```"), [
    { kind: "code", text: "  if (a) {\n    b" },
  ]);
  assert.deepEqual(inline("a `**b**` **c** *d* _e_"), [
    ["text", "a "],
    ["code", "**b**"],
    ["text", " "],
    ["bold", "c"],
    ["text", " "],
    ["italic", "d"],
    ["text", " "],
    ["italic", "e"],
  ]);
});

test("what only looks like Markdown stays as it was written", () => {
  const same = ["2 * 3 * 4", "snake_case_name", "a ** b", "**", "``", "*", "> ", "```", "5*6*7"];
  for (const content of same) {
    const spans = parseBlocks(content).flatMap((block) => block.spans ?? []);
    assert.equal(spans.map(({ text }) => text).join(""), content.replace(/^> /, ""), content);
    assert.ok(spans.every(({ kind }) => kind === "text"), content);
  }
});

test("a mention is a name after an at sign, not an email address", () => {
  const mentions = (content, name) => findMentions(content, [name]).has(name.toLowerCase());

  assert.equal(mentions("Hello @ann, are you there?", "ann"), true);
  assert.equal(mentions("Hello **@Ann**", "ann"), true);
  assert.equal(mentions("- @ann brings the tables", "ann"), true);
  for (const content of ["bob@ann", "@anna", "@ann-marie", "`@ann`", "ann", "@ann_b", "@annı"])
    assert.equal(mentions(content, "ann"), false, content);
});

test("a mentioned name may have any letters and spaces; the longest one is found", () => {
  const names = ["José", "José García", "张伟", "🎉", "a.b*c"];
  const found = (content) => [...findMentions(content, names)];

  assert.deepEqual(found("@José García, @张伟 and @🎉!"), ["josé garcía", "张伟", "🎉"]);
  assert.deepEqual(found("@José and @a.b*c"), ["josé", "a.b*c"]);
  assert.deepEqual(found("@axb*c @Jose"), []);
  const spans = parseSpans("Hello @José García!", names);
  assert.deepEqual(
    spans.map(({ kind, text }) => [kind, text]),
    [
      ["text", "Hello "],
      ["mention", "@José García"],
      ["text", "!"],
    ],
  );
});

test("a mentioned user who has another name now is found by the name in the text", () => {
  const find = (content, ...names) => findMentionedNames(content, names);

  assert.deepEqual(find("Hello @bob!", "Bobby"), ["bob"]);
  assert.deepEqual(find("**@Bob** and @ann", "Anna", "bob"), ["ann", "bob"]);
  assert.deepEqual(find("@José García", "Pepe"), ["José"]);
  assert.deepEqual(find("@Bobby, not @everyone", "Bobby"), ["Bobby"]);
  // Who is who cannot be told here.
  assert.deepEqual(find("@bob and @everyone", "Bobby"), ["Bobby"]);
  assert.deepEqual(find("@bob and @ann", "Bobby", "Anna"), ["Bobby", "Anna"]);
  for (const content of ["`@bob`", "mail@bob", "https://a.org/@bob", "@ bob", "bob"])
    assert.deepEqual(find(content, "Bobby"), ["Bobby"], content);
});

test("a long text of special signs is parsed in no time", () => {
  const started = performance.now();
  for (const sign of ["*", "_", "`", "```\n", "> ", "@", "- a\n", "http://", "**a", "*a_"])
    parseBlocks(sign.repeat(Math.floor(4000 / sign.length)), ["ann", "@", "*a_", "- a"]);

  assert.ok(performance.now() - started < 2_000);
});

test("an address with a long tail of punctuation is parsed in linear time", () => {
  const tails = [")", "]", "}", "(", ".", "…", "*", "_", "))]]}}", ".)", "(]"];
  const started = performance.now();
  for (let repetition = 0; repetition < 10; repetition++)
    for (const tail of tails)
      for (const end of ["", "x"])
        parseBlocks(`https://a${tail.repeat(Math.floor(3_990 / tail.length))}${end}`);

  assert.ok(performance.now() - started < 2_000);
  assert.deepEqual(links("https://a.org/b).), (https://a.org/c[(1)]).... {https://a.org/{d}}…"), [
    "https://a.org/b",
    "https://a.org/c[(1)]",
    "https://a.org/%7Bd%7D",
  ]);
});

test("numbers and dates are in one locale, whatever the machine's is", () => {
  assert.equal(texts.tooLong(1000), "1,000 characters too many");
  assert.equal(texts.backMissed(3), "3 new messages while you were offline.");
  assert.equal(texts.peopleOnline(1), "1 person online");
  assert.equal(formatSigned(1234.5), "+1,234.50");
});

test("an address leads to a room, a user or a message, or is not valid", () => {
  const isRoomName = (name) => /^[\w-]+$/.test(name);
  const read = (search) => readAddress(search, isRoomName);

  assert.deepEqual(read(""), { key: "lobby", seq: null, isValid: true });
  assert.deepEqual(read("?room=market&seq=41"), { key: "market", seq: 41, isValid: true });
  assert.deepEqual(read("?user=bob-7f3kq2"), { key: "@bob-7f3kq2", seq: null, isValid: true });
  for (const search of ["?room=two%20words", "?user=%3Cscript%3E", "?room=a&seq=x", "?seq=-1"])
    assert.equal(read(search).isValid, false, search);
  assert.equal(addressOf("https://a.example/?debug&room=x", "market", 41), "https://a.example/?debug=&room=market&seq=41");
  assert.equal(addressOf("https://a.example/?room=x&seq=3", "lobby"), "https://a.example/");
});

test("a quote has the text of a message without its formatting, in one line", () => {
  const content = "**Great** news, `npm ci` works:\n\n```\nif x:\n    go()\n```\n> quoted\n- one\n- *two*\nhttps://a.org/_b_";
  assert.equal(plainText(content), "Great news, npm ci works: if x: go() quoted one two https://a.org/_b_");
  assert.equal(plainText("2 * 3 * 4 and snake_case_name"), "2 * 3 * 4 and snake_case_name");
});

test("the end of a mute has a day unless it is today", () => {
  const now = new Date(2026, 10, 21, 9, 0);
  assert.equal(formatUntil(new Date(2026, 10, 21, 22, 37, 5), now), "22:37");
  assert.equal(formatUntil(new Date(2026, 11, 21, 8, 5), now), "Monday 21 December, 08:05");
});
