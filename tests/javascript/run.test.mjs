import assert from "node:assert/strict";
import test from "node:test";

import { MOST_TREE, Run } from "../../streaming/static/streaming/run.js";

const row = (id, version, more = {}) => ({
  ...{ id, version, action_ref: "demo.hello", parent: null, status: "requested", result: null },
  ...{ created: "2026-01-19T05:00:00Z", started: null, finished: null, ...more },
});

function event(seq, { version, op = "UPDATE", ...data }, more = {}) {
  const { id } = data;
  return { seq, entity_id: id, version, op, old_status: "requested", data, ...more };
}

function filled() {
  const run = new Run(1);
  const execution = row(1, 2, { config: { a: 1 } });
  run.fill({ execution, rows: [execution, row(2, 1, { parent: 1 })], events: [event(10, row(1, 2))] });
  return run;
}

test("it follows its execution and keeps what events do not tell", () => {
  const run = filled();
  const told = run.apply(event(11, row(1, 3, { status: "running" })));
  assert.deepEqual(told, { own: true, stale: false });
  assert.equal(run.execution.status, "running");
  assert.deepEqual(run.execution.config, { a: 1 });
  assert.deepEqual(run.events.map(({ seq }) => seq), [10, 11]);
});

test("it takes each event once and never goes back", () => {
  const run = filled();
  run.apply(event(12, row(1, 4, { status: "running" })));
  assert.deepEqual(run.apply(event(11, row(1, 3, { status: "scheduled" }))), { own: false, stale: false });
  assert.equal(run.execution.status, "running");
  run.refill(row(1, 3));
  assert.equal(run.execution.version, 4);
});

test("it asks for the row where an event does not have it all", () => {
  const run = filled();
  assert.ok(run.apply(event(11, row(1, 3, { status: "running" }), { truncated: true })).stale);
  assert.ok(run.apply(event(12, row(1, 4, { status: "running" }))).stale, "nothing told has changed");
  assert.ok(run.apply(event(13, row(1, 5, { result: [2 ** 60] }))).stale, "digits may be lost");
  assert.ok(!run.apply(event(14, row(1, 6, { result: [1] }))).stale);
});

test("it lets descendants come, change and go", () => {
  const run = filled();
  assert.ok(!run.apply(event(11, row(3, 1, { parent: 2, op: "INSERT" }))).own);
  run.apply(event(12, row(2, 2, { parent: 1, status: "running" })));
  assert.deepEqual(run.members, [1, 2, 3]);
  assert.equal(run.tree.get(2).status, "running");
  run.apply(event(13, { ...row(4, 1, { parent: 3 }), op: "INSERT" }));
  run.apply(event(14, { ...row(2, 2), op: "DELETE" }));
  assert.deepEqual(run.members, [1], "the tree below it is gone, too");
});

test("it knows when its execution is deleted", () => {
  const run = filled();
  run.apply(event(11, { ...row(1, 2), op: "DELETE" }));
  assert.ok(run.isDeleted);
});

test("it takes a time for the same however REST and events write it", () => {
  const run = filled();
  const written = row(1, 3, { created: "2026-01-19T05:00:00.000000+00:00" });
  assert.ok(run.apply(event(11, written)).stale, "nothing told has changed");
});

test("it begins anew with an execution that is added again", () => {
  const run = filled();
  run.apply(event(11, { ...row(1, 3), op: "DELETE" }));
  assert.ok(run.apply(event(12, { ...row(1, 1, { status: "scheduled" }), op: "INSERT" })).stale, "its config is another");
  assert.deepEqual([run.isDeleted, run.execution.status, run.execution.version], [false, "scheduled", 1]);
});

test("its tree is bounded, also by what comes later", () => {
  const run = filled();
  for (let id = 3; id < 2000; id += 1) run.apply(event(id + 10, { ...row(id, 1, { parent: 1 }), op: "INSERT" }));
  assert.deepEqual([run.tree.size, run.isTreeCut], [MOST_TREE, true]);
});

test("it keeps a bounded history with its beginning", () => {
  const run = filled();
  for (let seq = 11; seq < 10_020; seq += 1) run.apply(event(seq, row(1, seq, { status: "running", result: seq })));
  assert.equal(run.events.length, 10_000);
  assert.ok(run.isCut);
  assert.deepEqual([run.events[0].seq, run.events.at(-1).seq], [10, 10_019]);
});
