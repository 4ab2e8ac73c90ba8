// One stream for all tabs of a browser: HTTP/1.1 allows six connections to a server, and eight
// tabs would leave none for anything else. Pure: streams and tabs are passed in.

import { passes, toQuery, union } from "./filters.js";
import { isUpTo, parsePosition } from "./progress.js";

const BY_ID = ["execution_id", "root"]; // 404 where one is gone, which must not end the others
const MOST_KEPT = 200; // recent events, for a tab that comes with a position from just now

/**
 * `open(filters, cursor)` returns an ExecutionStream. A tab has `send(message)`; messages:
 *   {state}, {reset: {reason, cursor}}, {events: [...], cursor, asked}
 *
 * `asked`: the stream's filter, as a query; where it is a tab's own, the server has looked at `root`.
 * The stream has the narrowest filter that serves all tabs. Each tab has a position of its own
 * and is told what lies behind it; for a tab that needs more than the stream has told, the
 * stream begins anew from that tab's position.
 */
export class Hub {
  #open;
  #tabs = new Map(); // tab → {filters, cursor}
  #stream = null;
  #filters = null;
  #kept = [];
  #keptFrom = null; // the position before the first one kept
  #batch = []; // events that the tabs are about to be told

  constructor(open) {
    this.#open = open;
  }

  /** The stream's state; null without tabs. */
  get state() {
    return this.#stream?.state ?? null;
  }

  join(tab, { filters, cursor }) {
    this.#tabs.delete(tab); // to the end: the newest tab's epoch counts
    this.#advance();
    this.#tabs.set(tab, { filters, cursor });
    if (!this.#serves(filters, cursor)) return this.#restart();
    this.#tabs.get(tab).cursor ??= this.#stream.cursor; // from now
    tab.send({ state: this.#stream.state });
    this.#stream.nudge();
    return this.#tell(tab, this.#kept);
  }

  leave(tab) {
    this.#tabs.delete(tab);
    if (this.#tabs.size === 0) this.#stop();
  }

  nudge() {
    this.#stream?.nudge();
  }

  #serves(filters, cursor) {
    if (this.#stream === null) return false;
    const isWide = toQuery(union([this.#filters, filters])) === toQuery(this.#filters);
    const isKept = this.#keptFrom === null ? cursor === null : isUpTo(this.#keptFrom, cursor);
    return isWide && (isKept || cursor === null);
  }

  #restart({ byId = true } = {}) {
    const cursor = this.#earliest();
    this.#stop();
    this.#filters = union([...this.#tabs.values()].map((tab) => tab.filters));
    if (!byId) for (const name of BY_ID) delete this.#filters[name];
    this.#keptFrom = cursor;
    this.#resetOthers(cursor);
    const stream = (this.#stream = this.#open(this.#filters, cursor));
    stream.addEventListener("event", ({ detail }) => {
      // What one chunk of bytes brought goes to each tab as one message.
      if (stream !== this.#stream || this.#batch.push(detail) > 1) return;
      queueMicrotask(() => {
        if (stream === this.#stream) this.#pass(this.#batch.splice(0));
      });
    });
    stream.addEventListener("reset", ({ detail }) => {
      this.#kept = [];
      this.#keptFrom = detail.cursor;
      for (const tab of this.#tabs.values()) tab.cursor = detail.cursor;
      this.#send({ reset: detail });
    });
    stream.addEventListener("state", ({ detail }) => {
      this.#keptFrom ??= stream.cursor;
      if (detail.name === "refused" && detail.status === 404 && this.#isById) {
        this.#restart({ byId: false });
      } else {
        this.#send({ state: detail });
      }
    });
  }

  /** Tabs of another epoch: what they know is of a log that is no more. */
  #resetOthers(cursor) {
    const epoch = parsePosition(cursor)?.epoch;
    for (const [tab, wants] of this.#tabs) {
      const known = parsePosition(wants.cursor);
      if (!epoch || !known || known.epoch === epoch) continue;
      wants.cursor = cursor;
      tab.send({ reset: { reason: "epoch_changed", cursor } });
    }
  }

  get #isById() {
    return BY_ID.some((name) => name in this.#filters);
  }

  /** Moves every tab to where the stream is: a heartbeat says that nothing was for it. */
  #advance() {
    if (this.#batch.length > 0) return;
    for (const wants of this.#tabs.values()) {
      if (isUpTo(wants.cursor, this.#stream?.cursor)) wants.cursor = this.#stream.cursor;
    }
  }

  #stop() {
    const stream = this.#stream;
    this.#stream = null;
    this.#kept = [];
    this.#batch = [];
    stream?.close();
  }

  /** The earliest of all positions; those of another epoch than the newest tab's do not count. */
  #earliest() {
    const cursors = [...this.#tabs.values()].map((tab) => tab.cursor ?? this.#stream?.cursor);
    const known = cursors.filter((cursor) => parsePosition(cursor));
    return known.reduceRight((least, one) => (isUpTo(one, least) ? one : least), known.at(-1)) ?? null;
  }

  #pass(events) {
    this.#kept.push(...events);
    const over = this.#kept.length - MOST_KEPT;
    if (over > 0) this.#keptFrom = this.#kept.splice(0, over).at(-1).id;
    for (const tab of this.#tabs.keys()) this.#tell(tab, events);
  }

  #tell(tab, events) {
    const wants = this.#tabs.get(tab);
    const news = events.filter((event) => !isUpTo(event.id, wants.cursor));
    if (news.length === 0) return;
    wants.cursor = news.at(-1).id;
    const passing = news.filter((event) => passes(wants.filters, event));
    if (passing.length > 0) tab.send({ events: passing, cursor: wants.cursor, asked: toQuery(this.#filters) });
  }

  #send(message) {
    for (const tab of this.#tabs.keys()) tab.send(message);
  }
}
