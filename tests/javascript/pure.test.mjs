// The small pure modules.

import assert from "node:assert/strict";
import test from "node:test";
import { Backoff } from "../../streaming/static/streaming/backoff.js";
import { agoText, durationText } from "../../streaming/static/streaming/clock.js";
import { Counts } from "../../streaming/static/streaming/counts.js";
import { describe } from "../../streaming/static/streaming/describe.js";
import { example } from "../../streaming/static/streaming/example.js";
import { fromQuery, toQuery, union } from "../../streaming/static/streaming/filters.js";
import { Progress, isUpTo } from "../../streaming/static/streaming/progress.js";

test("backoff doubles up to its bound, with full jitter, and begins anew", () => {
  const most = new Backoff(() => 1);
  most.retry(2000);
  assert.deepEqual([1, 2, 3, 4, 5, 6].map(() => most.next()), [2000, 4000, 8000, 16000, 30000, 30000]);
  most.connected();
  assert.equal(most.next(), 2000);
  assert.equal(new Backoff(() => 0).next(), 0);
});

test("backoff never comes earlier than the server asked, nor all at once", () => {
  assert.equal(new Backoff(() => 0).next(5000), 5000);
  assert.equal(new Backoff(() => 1).next(5000), 6250);
  assert.equal(new Backoff(() => 0).next(10 ** 9), 300_000);
});

test("progress tells each event once and never an older version after a newer", () => {
  const progress = new Progress("e-4");
  const event = (id, version) => ({ entity_id: id, version });
  assert.equal(progress.isNews({ id: "e-4" }, event(1, 1)), false);
  assert.equal(progress.isNews({ id: "e-5" }, event(1, 3)), true);
  assert.equal(progress.isNews({ id: "e-5" }, event(1, 3)), false);
  assert.equal(progress.isNews({ id: "e-6" }, event(1, 2)), false);
  assert.equal(progress.isNews({ id: "e-7" }, event(2, 1)), true);
  assert.equal(progress.cursor, "e-7");
});

test("progress begins anew with an execution that was deleted and added again", () => {
  const progress = new Progress("e-4");
  const event = (version, op) => ({ entity_id: 1, version, op });
  const told = [[5, event(1, "INSERT")], [6, event(2, "DELETE")], [7, event(1, "INSERT")], [8, event(2, "UPDATE")]];
  assert.deepEqual(told.map(([seq, data]) => progress.isNews({ id: `e-${seq}` }, data)), [true, true, true, true]);
});

test("progress asks for the snapshot again until it has it", () => {
  const progress = new Progress(null, { snapshot: true });
  progress.connected({ id: "e-9" }, { resumed: false });
  assert.equal(progress.cursor, null);
  progress.snapshot({ id: "e-10" }, [{ entity_id: 1, version: 5 }]);
  assert.equal(progress.cursor, "e-10");
  assert.equal(progress.isNews({ id: "e-11" }, { entity_id: 1, version: 5 }), false);
});

test("positions compare within an epoch only", () => {
  assert.equal(isUpTo("a-b-3", "a-b-3"), true);
  assert.equal(isUpTo("a-10", "a-9"), false);
  assert.equal(isUpTo("a-1", "b-9"), false);
  assert.equal(isUpTo(null, "b-9"), false);
});

test("a filter goes into a query string and back", () => {
  const filters = fromQuery("?status=running,failed&status=failed&pack=&action_ref=a.*&page=2");
  assert.deepEqual(filters, { status: ["running", "failed"], action_ref: ["a.*"] });
  assert.deepEqual(fromQuery(toQuery(filters)), filters);
});

test("the union of filters lets through what any of them does", () => {
  assert.deepEqual(union([{ status: ["running"], pack: ["a"] }, { status: ["failed"] }]), {
    status: ["failed", "running"],
  });
  assert.deepEqual(union([{ status: ["running"] }, {}]), {});
});

test("counts follow events from where REST told them", () => {
  const counts = new Counts();
  counts.fill({ running: 2 }, "e-10");
  const event = (seq, op, from, to) => ({ id: `e-${seq}`, op, old_status: from, data: { status: to } });
  counts.apply(event(10, "INSERT", null, "running"));
  counts.apply(event(11, "INSERT", null, "requested"));
  counts.apply(event(12, "UPDATE", "running", "completed"));
  counts.apply(event(13, "UPDATE", "running", "running"));
  counts.apply(event(14, "DELETE", "completed", "completed"));
  const now = ["requested", "running", "completed"].map((status) => counts.get(status));
  assert.deepEqual(now, [1, 1, 0]);
});

test("an example has the defaults, and what is required", () => {
  const schema = {
    type: "object",
    required: ["name", "size", "kind", "when"],
    properties: {
      name: { type: "string" },
      size: { $ref: "#/$defs/size" },
      kind: { enum: ["a", "b"] },
      when: { anyOf: [{ type: "null" }, { type: "string" }] },
      retries: { type: "integer", default: 3 },
      note: { type: "string" },
    },
    $defs: { size: { type: "integer", minimum: 1 } },
  };
  assert.deepEqual(example(schema), { name: "", size: 1, kind: "a", when: null, retries: 3 });
  assert.equal(example({ $ref: "#" }), null); // itself, for ever
  assert.equal(example(true), null);
});

test("times read as people say them", () => {
  const texts = [0, 42_000, 185_000, 7_300_000, 200_000_000].map(agoText);
  assert.deepEqual(texts, ["just now", "42 s ago", "3 min ago", "2 h ago", "2 d ago"]);
  const durations = [340, 4260, 187_000, 7_500_000, 273_600_000].map((ms) => durationText(ms));
  assert.deepEqual(durations, ["340 ms", "4.2 s", "3 m 07 s", "2 h 05 m", "3 d 4 h"]);
  assert.equal(durationText(-5, true), "0 s");
});

test("the badge says what is known, and since when", () => {
  const knownAt = new Date(2026, 0, 19, 12, 3, 5).getTime();
  const says = (state, hold, now) => describe({ knownAt, at: knownAt, ...state }, hold, now).text;
  assert.equal(says({ name: "live" }), "live");
  assert.equal(says({ name: "live" }, { paused: true }), "paused");
  assert.equal(says({ name: "stale" }, { paused: true }), "stale since 12:03:05");
  assert.equal(says({ name: "catching-up" }), "catching up");
  assert.equal(says({ name: "waiting", retryAt: 9_500 }, {}, 6_000), "reconnecting in 4 s");
  assert.equal(says({ name: "connecting", knownAt: null }), "connecting…");
  assert.equal(says({ name: "connecting" }, {}, knownAt + 100), "reconnecting…");
  assert.equal(says({ name: "connecting" }, {}, knownAt + 2500), "stale since 12:03:05");
  assert.equal(says({ name: "refused", status: 401 }), "signed out");
  assert.equal(says({ name: "refused", code: "revoked" }), "signed out");
  assert.equal(says({ name: "refused", status: 400 }), "stopped since 12:03:05");
});
