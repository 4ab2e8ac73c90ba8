// One stream for several tabs.

import assert from "node:assert/strict";
import test from "node:test";
import { toQuery, union } from "../../streaming/static/streaming/filters.js";
import { Hub } from "../../streaming/static/streaming/hub.js";
import { Hubs } from "../../streaming/static/streaming/hubs.js";

class Opened extends EventTarget {
  state = { name: "live" };

  constructor(filters, cursor) {
    super();
    Object.assign(this, { filters, cursor, closed: false, nudged: 0 });
  }

  close() {
    this.closed = true;
  }

  nudge() {
    this.nudged += 1;
  }

  async tell(type, detail) {
    if (detail.id) this.cursor = detail.id;
    this.dispatchEvent(Object.assign(new Event(type), { detail }));
    await Promise.resolve();
  }

  event(seq, status = "running") {
    const data = { id: seq, status, action_ref: "a.b", parent: null };
    return this.tell("event", { id: `e-${seq}`, entity_id: seq, old_status: null, data });
  }
}

function setUp() {
  const opened = [];
  const open = (filters, cursor) => opened[opened.push(new Opened(filters, cursor)) - 1];
  const [hub, hubs] = [new Hub(open), new Hubs(open)];
  const tab = () => {
    const got = [];
    const send = (message) => got.push(...(message.events ?? []).map((event) => event.id), ...(message.reset ? ["reset"] : []));
    return { send, got };
  };
  return { hub, hubs, opened, tab };
}

test("tabs with the same filter share one stream", async () => {
  const { hub, opened, tab } = setUp();
  const [one, other] = [tab(), tab()];
  hub.join(one, { filters: { status: ["running"] }, cursor: "e-3" });
  await opened[0].event(4);
  hub.join(other, { filters: { status: ["running"] }, cursor: "e-3" });
  await opened[0].event(5);
  assert.equal(opened.length, 1);
  assert.deepEqual([one.got, other.got], [["e-4", "e-5"], ["e-4", "e-5"]]);
});

test("the stream widens for a tab with another filter, and each gets its own", async () => {
  const { hub, opened, tab } = setUp();
  const [one, other] = [tab(), tab()];
  hub.join(one, { filters: { status: ["running"] }, cursor: "e-3" });
  await opened[0].event(8);
  hub.join(other, { filters: { status: ["failed"] }, cursor: "e-6" });
  assert.deepEqual([opened[0].closed, opened[1].filters], [true, { status: ["failed", "running"] }]);
  assert.equal(opened[1].cursor, "e-6");
  await opened[1].event(7, "failed");
  await opened[1].event(8);
  await opened[1].event(9);
  assert.deepEqual([one.got, other.got], [["e-8", "e-9"], ["e-7"]]);
});

test("a tab from further back makes the stream begin there, and the others hear nothing twice", async () => {
  const { hub, opened, tab } = setUp();
  const [one, other] = [tab(), tab()];
  hub.join(one, { filters: {}, cursor: "e-10" });
  await opened[0].event(11);
  hub.join(other, { filters: {}, cursor: "e-2" });
  assert.equal(opened[1].cursor, "e-2");
  for (const seq of [3, 11, 12]) await opened[1].event(seq);
  assert.deepEqual([one.got, other.got], [["e-11", "e-12"], ["e-3", "e-11", "e-12"]]);
});

test("a tab without a position hears what comes from now on", async () => {
  const { hub, opened, tab } = setUp();
  const [one, other] = [tab(), tab()];
  hub.join(one, { filters: {}, cursor: "e-3" });
  await opened[0].event(4);
  hub.join(other, { filters: {}, cursor: null });
  await opened[0].event(5);
  assert.deepEqual(other.got, ["e-5"]);
});

test("a tab that hears nothing for long does not make the others begin where it once did", async () => {
  const { hub, opened, tab } = setUp();
  hub.join(tab(), { filters: { status: ["failed"] }, cursor: "e-3" });
  opened[0].cursor = "e-500"; // by a heartbeat
  hub.join(tab(), { filters: {}, cursor: "e-501" });
  assert.equal(opened[1].cursor, "e-500");
});

test("a reset reaches all tabs", async () => {
  const { hub, opened, tab } = setUp();
  const [one, other] = [tab(), tab()];
  hub.join(one, { filters: {}, cursor: "e-10" });
  hub.join(other, { filters: {}, cursor: "e-10" });
  await opened[0].tell("reset", { reason: "history_gone", cursor: "e-90" });
  await opened[0].event(91);
  assert.deepEqual([one.got, other.got], [["reset", "e-91"], ["reset", "e-91"]]);
});

test("a position of a new epoch replaces those of the old", () => {
  const { hub, opened, tab } = setUp();
  const [one, other] = [tab(), tab()];
  hub.join(one, { filters: {}, cursor: "e-10" });
  hub.join(other, { filters: {}, cursor: "f-2" });
  assert.equal(opened[1].cursor, "f-2");
  assert.deepEqual([one.got, other.got], [["reset"], []]);
});

test("an id that is gone does not end the stream of the others", async () => {
  const { hub, opened, tab } = setUp();
  hub.join(tab(), { filters: { execution_id: ["5"], pack: ["a"] }, cursor: "e-1" });
  await opened[0].tell("state", { name: "refused", status: 404 });
  assert.deepEqual(opened[1].filters, { pack: ["a"] });
});

test("the last tab takes the stream with it", () => {
  const { hub, opened, tab } = setUp();
  const one = tab();
  hub.join(one, { filters: {}, cursor: null });
  hub.leave(one);
  assert.equal(opened[0].closed, true);
  assert.equal(hub.state, null);
});

test("a tab is told by which filter its stream was asked for, which may be its own", async () => {
  const { hub, opened, tab } = setUp();
  const told = [];
  const one = { send: ({ events = [], asked }) => events.forEach(({ id }) => told.push([id, asked])) };
  const filters = { root: ["7"], status: ["running", "failed"] };
  hub.join(one, { filters, cursor: "e-1" });
  await opened[0].event(2);
  hub.join(tab(), { filters: {}, cursor: "e-2" }); // the stream widens
  await opened[1].event(3);
  hub.leave(one);
  hub.join(one, { filters: { root: ["8"] }, cursor: "e-3" });
  await opened[1].tell("state", { name: "refused", status: 404 });
  assert.deepEqual(told, [["e-2", toQuery(union([filters]))], ["e-3", ""]]);
});

test("lists of a part of a tree have streams of their own, two at most", async () => {
  const { opened, tab, hubs } = setUp();
  const of = (root, ...status) => ({ filters: { root: [root], status }, cursor: "e-1" });
  const [one, same, other, third, plain] = [tab(), tab(), tab(), tab(), tab()];
  hubs.join(plain, { filters: { pack: ["a"] }, cursor: "e-1" });
  hubs.join(one, of("7", "failed", "running"));
  hubs.join(same, of("7", "running", "failed"));
  hubs.join(other, of("8", "failed"));
  assert.deepEqual(
    opened.map(({ filters }) => toQuery(filters)),
    ["pack=a", "status=failed,running&root=7", "status=failed&root=8"],
  );
  hubs.join(third, of("9", "failed")); // with everybody, as before
  assert.deepEqual([opened[3].filters, opened[0].closed], [{}, true]);
  await opened[3].event(2, "failed");
  await opened[1].event(3, "failed");
  assert.deepEqual([third.got, plain.got, one.got, same.got], [["e-2"], ["e-2"], ["e-3"], ["e-3"]]);

  hubs.leave(one);
  assert.equal(opened[1].closed, false);
  hubs.join(same, { filters: {}, cursor: "e-3" }); // another filter, and back to everybody's
  assert.equal(opened[1].closed, true);
  hubs.join(third, of("9", "failed")); // there is room now
  assert.deepEqual(opened.at(-1).filters, { root: ["9"], status: ["failed"] });
  for (const left of [same, other, third, plain]) hubs.leave(left);
  assert.ok(opened.every(({ closed }) => closed));
  assert.equal(hubs.stateFor(third), null);
});
