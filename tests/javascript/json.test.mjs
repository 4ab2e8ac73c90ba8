import assert from "node:assert/strict";
import test from "node:test";

import { mayBeInexact, parse, scalarText, sizeText } from "../../streaming/static/streaming/json.js";

test("it knows integers that a number cannot hold", () => {
  assert.ok(mayBeInexact(JSON.parse('{"ids": [1, 9007199254740993]}')));
  assert.ok(mayBeInexact(JSON.parse(`[1${"0".repeat(400)}]`)));
  assert.ok(!mayBeInexact({ ids: [1, 2.5, -9007199254740991, "9007199254740993", null] }));
});

test("it parses as JSON.parse does, and keeps digits where the engine can", () => {
  const text = '{"a": [1, 2.5, null, "x"], "id": 9007199254740993}';
  const value = parse(text);
  assert.deepEqual(value.a, [1, 2.5, null, "x"]);
  const kept = JSON.rawJSON ? "9007199254740993" : "9007199254740992";
  assert.equal(scalarText(value.id), kept);
});

test("it says what is inside", () => {
  const texts = [{}, [], [1], { a: 1, b: 2 }, new Array(1200).fill(0)].map(sizeText);
  assert.deepEqual(texts, ["empty", "empty", "1 item", "2 keys", "1,200 items"]);
});

test("it writes what has no inside", () => {
  assert.deepEqual([null, true, 1, "a\"b", {}, []].map(scalarText), ["null", "true", "1", '"a\\"b"', null, null]);
});
