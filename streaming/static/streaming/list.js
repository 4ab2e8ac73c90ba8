// The rows of a list, newest first, as REST told them and events change them. Pure.

import { matches } from "./filters.js";

export const MOST_ROWS = 1000;

export class List {
  #rows = new Map(); // id → row
  #ids = []; // newest first

  /** `isOlder`: a page further down, which nothing new gets into. */
  constructor(filters, { isOlder = false } = {}) {
    this.filters = filters;
    this.isOlder = isOlder;
    this.hasMore = false; // rows below the last one
    this.newest = Infinity; // nothing above it belongs here
  }

  get ids() {
    return this.#ids;
  }

  get(id) {
    return this.#rows.get(id);
  }

  /** Takes the first page; returns the ids that have changed, come or gone. */
  fill(rows, { hasMore }) {
    const before = new Set(this.#ids);
    const known = this.#rows;
    this.hasMore = hasMore;
    this.newest = this.isOlder ? (rows[0]?.id ?? 0) : Infinity;
    this.#rows = new Map();
    this.#ids = [];
    for (const row of rows) {
      const kept = known.get(row.id);
      this.#rows.set(row.id, kept && kept.version > row.version ? kept : row);
      this.#ids.push(row.id);
      before.add(row.id);
    }
    return [...before];
  }

  /** Takes the next page below; returns the ids that have come. */
  append(rows, { hasMore }) {
    this.hasMore = hasMore;
    const added = rows.filter((row) => !this.#rows.has(row.id));
    for (const row of added) this.#insert(row);
    return added.map((row) => row.id);
  }

  /** Takes an event; returns the ids of rows that have changed, come or gone. */
  apply(event) {
    const id = event.entity_id;
    const known = this.#rows.get(id);
    if (known && known.version >= event.version) return [];
    const row = { ...event.data, version: event.version };
    if (event.op === "DELETE" || !matches(this.filters, row)) return known ? this.#drop(id) : [];
    if (known) {
      this.#rows.set(id, row);
      return [id];
    }
    return this.#isInReach(id) ? [id, ...this.#add(row)] : [];
  }

  #isInReach(id) {
    const last = this.#ids.at(-1);
    return id <= this.newest && (!this.hasMore || last === undefined || id > last);
  }

  #add(row) {
    this.#insert(row);
    if (this.#ids.length <= MOST_ROWS) return [];
    this.hasMore = true;
    return this.#drop(this.#ids.at(-1));
  }

  #insert(row) {
    this.#rows.set(row.id, row);
    this.#ids.splice(place(this.#ids, row.id), 0, row.id);
  }

  #drop(id) {
    this.#rows.delete(id);
    this.#ids.splice(place(this.#ids, id), 1);
    return [id];
  }
}

/** The index at which `id` stands, or would, in ids that descend. */
function place(ids, id) {
  let [low, high] = [0, ids.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ids[middle] > id) low = middle + 1;
    else high = middle;
  }
  return low;
}
