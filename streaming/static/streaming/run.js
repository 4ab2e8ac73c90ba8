// What the page knows of one execution: itself, its history and the tree below it. Pure.

import { mayBeInexact } from "./json.js";

const MOST_EVENTS = 10_000; // kept; those in the middle of a longer history go first
const BEGINNING = 1000; // of these, kept from the beginning
export const MOST_TREE = 1000; // executions
const TIMES = ["created", "started", "finished"];
const COLUMNS = ["id", "action_ref", "parent", "status", "version", "created", "started", "finished"];

export class Run {
  #seen = 0; // the last seq of the history

  constructor(id) {
    this.id = id;
    this.execution = null; // as REST has it
    this.tree = new Map(); // id → row, this one's included
    this.events = []; // in the order of the log, without their results
    this.isCut = false; // events are missing in the middle
    this.isTreeCut = false; // the tree has more than the page
    this.isDeleted = false;
  }

  /** What REST told: the row, the rows of its tree, its history; and whether that is not all. */
  fill({ execution, rows, events, isCut = false, isTreeCut = false }) {
    this.tree.clear();
    this.events = [];
    this.#seen = 0;
    this.isCut = isCut;
    this.isTreeCut = isTreeCut;
    this.isDeleted = false;
    for (const row of rows) this.#put(row);
    for (const event of events) this.#remember(event);
    this.execution = null;
    this.refill(execution);
  }

  /** The row alone, fetched anew; an older one than is known says nothing. */
  refill(execution) {
    if (this.execution && execution.version < this.execution.version) return;
    this.execution = execution;
    this.#put(execution);
  }

  /**
   * Takes an event. Returns {own, stale}: whether it is of this execution, and whether the row
   * has something that no event tells, so that it has to be fetched.
   */
  apply(event) {
    const row = { ...event.data, version: event.version };
    if (event.op === "DELETE") this.#remove(event.entity_id);
    else this.#put(row);
    if (event.entity_id !== this.id) return { own: false, stale: false };
    if (!this.#remember(event)) return { own: false, stale: false };
    // Added again under the same id, it begins at version 1.
    const isAnew = this.isDeleted;
    const before = isAnew ? { ...this.execution, version: 0 } : this.execution;
    this.isDeleted = event.op === "DELETE";
    if (this.isDeleted || row.version <= before.version) return { own: true, stale: false };
    const isWhole = !event.truncated && !mayBeInexact(row.result);
    if (!isWhole) row.result = before.result;
    this.execution = { ...before, ...row };
    return { own: true, stale: isAnew || !isWhole || !differs(before, this.execution) };
  }

  /** Ids of the tree, for the connection. */
  get members() {
    return [...this.tree.keys()];
  }

  #put(row) {
    const known = this.tree.get(row.id);
    if (row.version <= (known?.version ?? 0)) return;
    if (!known && this.tree.size >= MOST_TREE && row.id !== this.id) {
      this.isTreeCut = true;
      return;
    }
    this.tree.set(row.id, Object.fromEntries(COLUMNS.map((name) => [name, row[name]])));
  }

  /** Who was below a deleted one has no parent any more, and no event for this tree. */
  #remove(id) {
    this.tree.delete(id);
    for (const row of this.tree.values()) if (row.parent === id) this.#remove(row.id);
  }

  #remember({ data, ...event }) {
    if (event.seq <= this.#seen) return false;
    this.#seen = event.seq;
    this.events.push({ ...event, data: { status: data.status, created: data.created } });
    if (this.events.length > MOST_EVENTS) {
      this.events.splice(BEGINNING, 1);
      this.isCut = true;
    }
    return true;
  }
}

/** Whether an event changed anything that it tells; else it was the config, which none tells. */
function differs(before, after) {
  const told = Object.keys(after).filter((name) => name !== "version" && name !== "updated");
  return told.some((name) => !isSame(before[name], after[name], TIMES.includes(name)));
}

/** REST and events write the same time in different ways. */
function isSame(one, other, isTime) {
  if (isTime && one && other) return Date.parse(one) === Date.parse(other);
  return JSON.stringify(one) === JSON.stringify(other);
}
