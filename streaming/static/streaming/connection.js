/**
 * A page's connection to the stream. All tabs of the browser share one, held by a SharedWorker;
 * where there is none, or it stopped answering, the page opens its own.
 *
 *   import { Connection } from "./connection.js";
 *
 *   const page = await api.get(`executions?${toQuery(filters)}`);    // rows, and page.cursor
 *   const connection = new Connection();
 *   connection.addEventListener("events", ({ detail: events }) => …); // what one message brought
 *   connection.addEventListener("reset", async () => {                // what was missed cannot be told
 *     const page = await api.get(…);                                  // list anew, and go on
 *     connection.follow({ filters, cursor: page.cursor });
 *   });
 *   connection.addEventListener("state", ({ detail: state }) => …);   // as of attune.js; for badge.js
 *   connection.follow({ filters, cursor: page.cursor });
 *
 * `follow` may be called again, with other filters or another position. An event may come twice
 * after that; compare `version` with the row's. `isLive`: whether what the page shows is known to
 * be so; false stops every timer on it, at `knownAt`.
 *
 * With `filters.root` give `members`, the ids of the tree as listed: events of others do not come,
 * and children join by themselves. Where one gets another parent, and with it all that is below,
 * there is a `reset`: list anew.
 */
import { ExecutionStream } from "./attune.js";
import { Hub } from "./hub.js";
import { throttled } from "./throttled.js";

const PULSE_MS = 5000;
const SILENT_MS = 12_000; // two pulses and more
const CHECK_MS = 1000;
const PATIENCE_MS = 2000; // for the first connection of a page
const MOVED_MS = 1000;
const DEAD_CHECKS = 20; // one after another: a machine that wakes up is silent only at the first

class Detail extends Event {
  constructor(type, detail) {
    super(type);
    this.detail = detail;
  }
}

export class Connection extends EventTarget {
  #link = null;
  #wanted = null; // {filters, cursor}
  #tree = null;
  #isListing = false; // the page has been told to list anew, and has not yet
  #moved = throttled(() => this.#tellMoved(), { leastMs: MOVED_MS });
  #heardAt = Date.now(); // the link, not the server
  #silentChecks = 0;
  #followedAt = null; // when the page had just been told by REST

  constructor({ streamUrl = document.body.dataset.stream } = {}) {
    super();
    this.streamUrl = streamUrl;
    this.state = { name: "connecting", at: Date.now(), heardAt: null, retryAt: null };
    setInterval(() => this.#check(), CHECK_MS);
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#join());
    addEventListener("online", () => this.nudge());
    document.addEventListener("visibilitychange", () => document.hidden || this.nudge());
  }

  get isLive() {
    return this.state.name === "live" || this.state.name === "catching-up";
  }

  /** Until when what the page shows was known to be so; null where it is about to be told. */
  get knownAt() {
    const { heardAt } = this.state;
    if (heardAt !== null || this.#followedAt === null) return heardAt;
    return Date.now() - this.#followedAt > PATIENCE_MS ? this.#followedAt : null;
  }

  follow({ filters = {}, cursor = null, members = null }) {
    this.#followedAt = Date.now();
    this.#isListing = false;
    this.#wanted = { filters, cursor };
    this.#tree = filters.root ? new Set([...filters.root, ...(members ?? [])].map(Number)) : null;
    this.#join();
  }

  nudge() {
    this.#link?.send({ nudge: true });
  }

  #join() {
    if (this.#wanted === null) return;
    this.#link ??= this.#open();
    this.#heardAt = Date.now();
    this.#link.send({ join: this.#wanted });
  }

  #open() {
    const receive = (message) => this.#receive(message);
    if (typeof SharedWorker === "undefined") return openOwn(this.streamUrl, receive);
    return openShared(this.streamUrl, receive, () => this.#leaveWorker());
  }

  #leave() {
    this.#link?.send({ leave: true });
  }

  #receive(message) {
    this.#heardAt = Date.now();
    this.#silentChecks = 0;
    if (message.state) this.#enter(message.state);
    if (message.reset) this.#tell("reset", message.reset);
    if (message.events) {
      this.#wanted.cursor = message.cursor;
      const events = message.events.filter((event) => this.#isMember(event));
      if (events.length > 0) this.#tell("events", events);
      if (this.#tree !== null && events.some((event) => "old_parent" in event)) this.#moved();
    }
  }

  #isMember({ entity_id: id, data: { parent } }) {
    if (this.#tree === null || this.#tree.has(id)) return true;
    return this.#tree.has(parent) && Boolean(this.#tree.add(id));
  }

  /** What moves meanwhile is told again, from the new list's position on. */
  #tellMoved() {
    if (this.#isListing) return;
    this.#isListing = true;
    this.#tell("reset", { reason: "moved" });
  }

  /** The worker itself may have stopped, or this tab may have slept. */
  #check() {
    const isSilent = Date.now() - this.#heardAt > SILENT_MS;
    if (this.#wanted === null || document.hidden || !isSilent) return;
    this.#silentChecks += 1;
    if (this.isLive) this.#enter({ ...this.state, name: "stale", heardAt: this.#heardAt });
    if (this.#silentChecks > DEAD_CHECKS) this.#leaveWorker();
  }

  #leaveWorker() {
    this.#leave();
    this.#silentChecks = 0;
    this.#link = openOwn(this.streamUrl, (message) => this.#receive(message));
    this.#join();
  }

  /** A stream that begins anew, for another tab's sake, has not heard the server; this page has. */
  #enter(state) {
    const { name, at, heardAt } = this.state;
    this.state = { ...state, heardAt: state.heardAt ?? heardAt };
    if (state.name !== name || state.at !== at) this.#tell("state", this.state);
  }

  #tell(type, detail) {
    this.dispatchEvent(new Detail(type, detail));
  }
}

/** One worker a user: what it keeps was for that user's eyes. */
function openShared(streamUrl, receive, fail) {
  const { user } = document.body.dataset;
  const url = new URL("./worker.js", import.meta.url);
  url.searchParams.set("stream", new URL(streamUrl, location.href).href);
  const worker = new SharedWorker(url, { type: "module", name: `attune-${user}` });
  worker.addEventListener("error", fail);
  worker.port.addEventListener("message", ({ data }) => receive(data));
  worker.port.start();
  return { send: (message) => worker.port.postMessage(message) };
}

/** The same, in this page. */
function openOwn(url, receive) {
  const hub = new Hub((filters, cursor) => new ExecutionStream({ url, filters, cursor }));
  const tab = { send: receive };
  setInterval(() => hub.state && receive({ state: hub.state }), PULSE_MS);
  return {
    send({ join, nudge, leave }) {
      if (join) hub.join(tab, join);
      if (nudge) hub.nudge();
      if (leave) hub.leave(tab);
    },
  };
}
