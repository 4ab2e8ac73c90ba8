// The phases of an execution: how long it was in which status, from its history. Pure.

import { TERMINAL } from "./status.js";

const WAITING = new Set(["requested", "scheduling", "scheduled"]);

/**
 * Returns the phases that `events` tell, the log's events of one execution in order:
 * [{status, from, to, marks, isOver, isGuess}], times in milliseconds. `to` is null in the last
 * one; `marks` are changes that left the status alone; `isOver`: an end, which takes no time.
 *
 * Where the log no longer has the beginning, the first phase is a guess: it was the status, but
 * perhaps not since the execution was created.
 */
export function phasesOf(events, created) {
  const phases = [];
  let at = Date.parse(created);
  for (const event of events) {
    const { status } = event.data;
    if (phases.length === 0 && event.op !== "INSERT") {
      phases.push(newPhase(event.old_status ?? status, at, { isGuess: true }));
    }
    // A clock that was set back must not make a phase end before it begins.
    at = Math.max(at, Date.parse(event.op === "INSERT" ? event.data.created : event.timestamp));
    const last = phases.at(-1);
    if (last?.status === status) last.marks.push(at);
    else {
      if (last) last.to = at;
      phases.push(newPhase(status, at));
    }
  }
  const last = phases.at(-1);
  if (last) last.isOver = TERMINAL.has(last.status);
  return phases;
}

function newPhase(status, from, { isGuess = false } = {}) {
  return { status, from, to: null, marks: [], isOver: false, isGuess };
}

/** Milliseconds that a phase took, or has taken by `now`. */
export function lengthOf({ from, to, isOver }, now) {
  if (isOver) return 0;
  return Math.max(0, (to ?? now) - from);
}

/** Milliseconds before anything ran. */
export function waitingOf(phases, now) {
  const waiting = phases.filter(({ status }) => WAITING.has(status));
  return waiting.reduce((sum, phase) => sum + lengthOf(phase, now), 0);
}
