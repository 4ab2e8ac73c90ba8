// How many executions there are in each status: told by REST now and then, by events between.

import { parsePosition } from "./progress.js";

/** Counts by status. Pure. */
export class Counts {
  #byStatus = {};
  #from = null; // the position of what REST told

  /** Returns null before REST has told. */
  get(status) {
    return this.#from === null ? null : (this.#byStatus[status] ?? 0);
  }

  fill(byStatus, cursor) {
    this.#byStatus = { ...byStatus };
    this.#from = parsePosition(cursor);
  }

  /** Takes an event of an execution that matches in all but the status. */
  apply(event) {
    const at = parsePosition(event.id);
    if (this.#from === null || (at?.epoch === this.#from.epoch && at.seq <= this.#from.seq)) return;
    const { status } = event.data;
    if (event.op === "DELETE") this.#add(status, -1);
    else if (event.op === "INSERT") this.#add(status, 1);
    else if (event.old_status !== status) {
      this.#add(event.old_status, -1);
      this.#add(status, 1);
    }
  }

  #add(status, change) {
    this.#byStatus[status] = Math.max(0, this.get(status) + change);
  }
}
