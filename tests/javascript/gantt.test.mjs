import assert from "node:assert/strict";
import test from "node:test";

import { layout, scale, tickText } from "../../streaming/static/streaming/gantt.js";

const BEGIN = Date.parse("2026-01-19T05:00:00Z");
const iso = (ms) => (ms === null ? null : new Date(BEGIN + ms).toISOString());

function execution(id, parent, created, started = null, finished = null) {
  return { id, parent, created: iso(created), started: iso(started), finished: iso(finished) };
}

const TREE = [
  execution(7, 2, 900),
  execution(1, null, 0, 100, 5000),
  execution(3, 1, 700, 800, 900),
  execution(2, 1, 500, 600),
];

test("it puts children below their parent, the oldest first, and indents them", () => {
  const { rows } = layout(TREE, { root: 1, now: BEGIN + 2000 });
  assert.deepEqual(rows.map(({ id, depth }) => [id, depth]), [[1, 0], [2, 1], [7, 2], [3, 1]]);
  assert.deepEqual(rows.map(({ children }) => children), [2, 1, 0, 0]);
});

test("it measures bars from the beginning of the tree, and leaves them open", () => {
  const { rows, from, isOpen } = layout(TREE, { root: 1, now: BEGIN + 2000 });
  assert.equal(from, BEGIN);
  assert.ok(isOpen);
  assert.deepEqual(rows.map(({ bar }) => bar), [
    { from: 0, start: 100, to: 5000 },
    { from: 500, start: 600, to: null },
    { from: 900, start: null, to: null },
    { from: 700, start: 800, to: 900 },
  ]);
});

test("it folds what is below", () => {
  const { rows } = layout(TREE, { root: 1, now: BEGIN, folded: new Set([2, 3]) });
  assert.deepEqual(rows.map(({ id, isFolded }) => [id, isFolded]), [[1, false], [2, true], [3, false]]);
});

test("it takes a child whose parent cannot be seen for the root's, and survives a circle", () => {
  const rows = [execution(1, 9, 0), execution(5, 4, 10), execution(6, 8, 20), execution(8, 6, 30)];
  const shown = layout(rows, { root: 1, now: BEGIN }).rows;
  assert.deepEqual(shown.map(({ id, depth }) => [id, depth]), [[1, 0], [5, 1]]);
});

test("it says how many rows are beyond the limit", () => {
  const { rows, left } = layout(TREE, { root: 1, now: BEGIN, most: 3 });
  assert.deepEqual([rows.length, left], [3, 1]);
});

test("it ends an open axis at the tick behind now, and a closed one at the end", () => {
  assert.deepEqual(scale(2400, { isOpen: true }), { to: 2500, ticks: [0, 500, 1000, 1500, 2000, 2500] });
  assert.deepEqual(scale(2400), { to: 2400, ticks: [0, 500, 1000, 1500, 2000] });
});

test("it finds few and round ticks for any length", () => {
  for (let length = 1; length < 1e13; length *= 3) {
    const { ticks, to } = scale(length, { isOpen: true });
    assert.ok(ticks.length >= 2 && ticks.length <= 8, `${length} has ${ticks.length} ticks`);
    assert.ok(to > length && ticks.at(-1) === to);
  }
});

test("it lays out nothing, too", () => {
  const { rows, to } = layout([], { root: 1, now: BEGIN });
  assert.deepEqual(rows, []);
  assert.ok(to > 0);
});

test("it writes ticks", () => {
  const texts = [0, 200, 1500, 90_000, 7_200_000, 90_000_000].map(tickText);
  assert.deepEqual(texts, ["0", "200 ms", "1.5 s", "1 m 30 s", "2 h", "1 d 1 h"]);
});
