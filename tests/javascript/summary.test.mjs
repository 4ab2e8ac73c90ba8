import assert from "node:assert/strict";
import test from "node:test";
import { countText, figures, series, shareText } from "../../streaming/static/streaming/summary.js";
import { TERMINAL } from "../../streaming/static/streaming/status.js";

const BEGIN = Date.parse("2026-01-19T05:00:00Z");

/** Statistics of minutes of [created, finished, failed], taken half a minute after the last began. */
function stats(minutes, by_status = {}) {
  const iso = (index) => new Date(BEGIN + index * 60_000).toISOString();
  return {
    since: iso(0),
    until: iso(minutes.length - 0.5),
    by_status: { requested: 0, scheduling: 0, scheduled: 0, running: 0, canceling: 0, ...by_status },
    per_minute: minutes.map(([created, finished, failed], index) => ({
      ...{ minute: iso(index), created, finished, failed },
    })),
  };
}

test("it says how much goes on, and how well", () => {
  const told = figures(stats([[4, 2, 1], [5, 8, 1]], { running: 3, requested: 1, scheduled: 1 }));
  assert.equal(told.running, 3);
  assert.equal(told.waiting, 2);
  assert.equal(told.rate, 6); // 9 in a minute and a half
  assert.equal(told.failureRate, 0.2);
});

test("it claims no failure rate where nothing ended", () => {
  assert.equal(figures(stats([[4, 0, 0]])).failureRate, null);
  assert.equal(shareText(null), "–");
});

test("it counts open executions back from now", () => {
  const told = series(stats([[5, 0, 0], [2, 3, 0], [1, 4, 0]], { running: 2, completed: 7 }), { terminal: TERMINAL });
  assert.deepEqual(told.open, [6, 5, 2]);
  assert.deepEqual(told.created, [5, 2, 1]);
  assert.equal(told.at[0], BEGIN / 1000);
});

test("it puts the minutes of a day into few spans, the last one whole", () => {
  const told = series(stats(Array.from({ length: 1439 }, () => [1, 1, 0])), { terminal: TERMINAL });
  assert.equal(told.created.length, 60);
  assert.equal(told.minutesEach, 24);
  assert.equal(told.created.at(-1), 24);
  assert.equal(told.created.reduce((sum, n) => sum + n), 1439);
});

test("it writes numbers as far as they tell something", () => {
  assert.deepEqual([0, 3.44, 12.6, 1240].map(countText), ["0", "3.4", "13", "1,240"]);
  assert.deepEqual([0, 0.004, 0.05, 0.123, 1].map(shareText), ["0 %", "0.4 %", "5 %", "12 %", "100 %"]);
});
