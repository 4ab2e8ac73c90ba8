import assert from "node:assert/strict";
import test from "node:test";

import { lengthOf, phasesOf, waitingOf } from "../../streaming/static/streaming/phases.js";

const BEGIN = Date.parse("2026-01-19T05:00:00Z");
const iso = (ms) => new Date(BEGIN + ms).toISOString();

/** Events of one execution: [status, milliseconds since its creation] each. */
function history(...changes) {
  return changes.map(([status, at], index) => ({
    op: index === 0 ? "INSERT" : "UPDATE",
    timestamp: iso(at),
    old_status: changes[index - 1]?.[0] ?? null,
    data: { status, created: iso(0) },
  }));
}

test("it gives each status the time until the next one", () => {
  const phases = phasesOf(history(["requested", 0], ["running", 300], ["completed", 2300]), iso(0));
  const told = phases.map((phase) => [phase.status, lengthOf(phase, BEGIN + 9999)]);
  assert.deepEqual(told, [["requested", 300], ["running", 2000], ["completed", 0]]);
  assert.equal(waitingOf(phases, BEGIN), 300);
  assert.ok(phases.at(-1).isOver);
});

test("it lets the last phase go on until now", () => {
  const phases = phasesOf(history(["requested", 0], ["running", 100]), iso(0));
  assert.equal(lengthOf(phases[1], BEGIN + 1100), 1000);
  assert.equal(lengthOf(phases[1], BEGIN), 0, "a page behind the server's clock");
});

test("it marks changes that leave the status alone", () => {
  const [phase, ...more] = phasesOf(history(["running", 0], ["running", 50], ["running", 70]), iso(0));
  assert.deepEqual(more, []);
  assert.deepEqual(phase.marks, [BEGIN + 50, BEGIN + 70]);
});

test("it says that it guesses where the log has no beginning", () => {
  const [, ...events] = history(["requested", 0], ["running", 100], ["failed", 400]);
  const phases = phasesOf(events, iso(0));
  assert.deepEqual(phases.map(({ status, isGuess }) => [status, isGuess]), [
    ["requested", true],
    ["running", false],
    ["failed", false],
  ]);
  assert.equal(lengthOf(phases[0], BEGIN), 100);
});

test("it knows an end that was not the end", () => {
  const phases = phasesOf(history(["failed", 0], ["running", 500], ["completed", 600]), iso(0));
  assert.deepEqual(phases.map((phase) => lengthOf(phase, BEGIN)), [500, 100, 0]);
});

test("it never goes back in time", () => {
  const phases = phasesOf(history(["requested", 0], ["running", 900], ["completed", 200]), iso(0));
  assert.equal(lengthOf(phases[1], BEGIN), 0);
});

test("it has no phases without events", () => {
  assert.deepEqual(phasesOf([], iso(0)), []);
});
