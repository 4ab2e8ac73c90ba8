import assert from "node:assert/strict";
import test from "node:test";
import { List, MOST_ROWS } from "../../streaming/static/streaming/list.js";

const row = (id, more) => ({ id, version: 1, status: "running", action_ref: "a.b", parent: null, ...more });
const event = (id, version, status, op = "UPDATE") => {
  const { version: _, ...data } = row(id, { status });
  return { entity_id: id, version, op, data };
};

function listOf(ids, { filters = {}, hasMore = false, isOlder = false } = {}) {
  const list = new List(filters, { isOlder });
  list.fill(ids.map((id) => row(id)), { hasMore });
  return list;
}

test("it keeps the newest first, whatever order events come in", () => {
  const list = listOf([9, 5]);
  assert.deepEqual(list.apply(event(12, 1, "requested")), [12]);
  assert.deepEqual(list.apply(event(7, 1, "requested")), [7]);
  assert.deepEqual(list.apply(event(1, 1, "requested")), [1]);
  assert.deepEqual(list.ids, [12, 9, 7, 5, 1]);
});

test("it takes no older version, and no event twice", () => {
  const list = listOf([5]);
  assert.deepEqual(list.apply(event(5, 3, "completed")), [5]);
  assert.deepEqual(list.apply(event(5, 3, "completed")), []);
  assert.deepEqual(list.apply(event(5, 2, "running")), []);
  assert.equal(list.get(5).status, "completed");
});

test("it drops what stops matching and what is deleted", () => {
  const list = listOf([9, 5], { filters: { status: ["running"] } });
  assert.deepEqual(list.apply(event(9, 2, "completed")), [9]);
  assert.deepEqual(list.apply(event(5, 2, "running", "DELETE")), [5]);
  assert.deepEqual(list.apply(event(4, 2, "failed")), []);
  assert.deepEqual(list.ids, []);
});

test("it leaves out what lies below its last row, while there is more", () => {
  const list = listOf([9, 5], { hasMore: true });
  assert.deepEqual(list.apply(event(3, 2, "completed")), []);
  assert.deepEqual(list.append([row(3), row(2)], { hasMore: false }), [3, 2]);
  assert.deepEqual(list.apply(event(1, 1, "running")), [1]);
});

test("a page further down gets nothing new on top", () => {
  const list = listOf([9, 5], { hasMore: true, isOlder: true });
  assert.deepEqual(list.apply(event(10, 1, "running")), []);
  assert.deepEqual(list.apply(event(9, 2, "completed")), [9]);
});

test("it is bounded: the oldest go", () => {
  const list = listOf([]);
  for (let id = 1; id <= MOST_ROWS + 5; id += 1) list.apply(event(id, 1, "running"));
  assert.equal(list.ids.length, MOST_ROWS);
  assert.equal(list.hasMore, true);
  assert.equal(list.ids.at(-1), 6);
});

test("listed anew, it keeps what events have told since", () => {
  const list = listOf([9, 5]);
  list.apply(event(9, 4, "completed"));
  assert.deepEqual(list.fill([row(11), row(9, { version: 2 })], { hasMore: false }).sort(), [11, 5, 9]);
  assert.deepEqual(list.ids, [11, 9]);
  assert.equal(list.get(9).version, 4);
});
