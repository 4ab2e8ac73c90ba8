/**
 * A page's connection to the stream. All tabs of the browser share one (hubs.js has the exception),
 * held by a SharedWorker; where there is none, or it stopped answering, the page opens its own.
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
 * be so; false stops every timer on it. After "reset" it is false until the next `follow`.
 *
 * With `filters.root` give `members`, the ids of the tree as listed: events of others do not come,
 * and children join by themselves. Where one gets another parent, and with it all that is below,
 * there is a `reset`: list anew.
 */
import { ExecutionStream } from "./attune.js";
import { toQuery, union } from "./filters.js";
import { Hubs } from "./hubs.js";
import { throttled } from "./throttled.js";

const PULSE_MS = 5000;
const SILENT_MS = 12_000; // two pulses and more
const SLEPT_MS = 7000; // with neither a timer nor a pulse, on which a hidden page lives
const CHECK_MS = 1000;
const FIRST_MS = 2000; // that the stream may take to begin, before the list counts as old
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
  #moved = throttled(() => this.#tellMoved(), { leastMs: MOVED_MS });
  #told = { name: "connecting", at: Date.now(), knownAt: null, retryAt: null }; // by the link
  #listedAt = null;
  #resetAt = null; // as of when the page is right, until it has listed anew
  #heardAt = Date.now(); // the link, not the server
  #checkedAt = Date.now();
  #asked = 0; // how often the link was
  #isWaking = false; // until the link has answered: what it told before counts no more
  #silentChecks = 0;
  #shown = ""; // the last state that listeners know

  constructor({ streamUrl = document.body.dataset.stream } = {}) {
    super();
    this.streamUrl = streamUrl;
    setInterval(() => this.#check(), CHECK_MS);
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#join());
    addEventListener("online", () => this.nudge());
    document.addEventListener("visibilitychange", () => document.hidden || this.nudge());
  }

  /** As of attune.js; but what the link told too long ago, or before this page slept, is not live. */
  get state() {
    const told = this.#told;
    if (told.name === "live") {
      const isOld = this.#isWaking || this.#isSilent || this.#hasSlept;
      if (isOld) return { ...told, name: "stale", at: this.#heardAt, knownAt: this.#heardAt };
      return this.#resetAt === null ? told : { ...told, name: "catching-up", knownAt: this.#resetAt };
    }
    if (told.knownAt === null && Date.now() - this.#listedAt < FIRST_MS) return told;
    return { ...told, knownAt: Math.max(told.knownAt, this.#listedAt) || null };
  }

  get isLive() {
    return this.state.name === "live";
  }

  follow({ filters = {}, cursor = null, members = null }) {
    this.#wanted = { filters, cursor };
    this.#listedAt = Date.now();
    this.#resetAt = null;
    this.#tree = filters.root ? new Set([...filters.root, ...(members ?? [])].map(Number)) : null;
    this.#join();
  }

  nudge() {
    this.#notice();
    this.#send({ nudge: true });
  }

  get #hasSlept() {
    return Date.now() - Math.max(this.#checkedAt, this.#heardAt) > SLEPT_MS;
  }

  get #isSilent() {
    return Date.now() - this.#heardAt > SILENT_MS;
  }

  #join() {
    if (this.#wanted === null) return;
    this.#link ??= this.#open();
    this.#send({ join: this.#wanted });
  }

  #send(message) {
    this.#asked += 1;
    this.#link?.send({ ...message, asked: this.#asked });
  }

  #open() {
    const receive = (message) => this.#receive(message);
    if (typeof SharedWorker === "undefined") return openOwn(this.streamUrl, receive);
    return openShared(this.streamUrl, receive, () => this.#leaveWorker());
  }

  #leave() {
    this.#isWaking = true; // if ever: the page may be kept for whoever comes back to it
    this.#send({ leave: true });
  }

  #receive(message) {
    this.#notice();
    if (message.answered === this.#asked) this.#isWaking = false;
    this.#heardAt = Date.now();
    this.#silentChecks = 0;
    if (message.state) this.#told = message.state;
    this.#review();
    if (message.reset) {
      this.#resetAt ??= this.state.knownAt ?? this.#listedAt;
      this.#tell("reset", message.reset);
    }
    if (message.events) {
      this.#wanted.cursor = message.cursor;
      // By this page's own filter, and no wider one.
      const isExact = message.asked === toQuery(union([this.#wanted.filters]));
      const events = message.events.filter((event) => this.#isMember(event, { isExact }));
      if (events.length > 0) this.#tell("events", events);
      const ours = isExact ? message.events : events;
      if (this.#tree !== null && ours.some((event) => "old_parent" in event)) this.#moved();
    }
  }

  #isMember(event, { isExact }) {
    const { entity_id: id, data } = event;
    if (this.#tree === null || this.#tree.has(id)) return true;
    const isIn = this.#tree.has(data.parent) || (isExact && !("old_parent" in event)); // that may be on its way out
    return isIn && Boolean(this.#tree.add(id));
  }

  /** What moves meanwhile is told again, from the new list's position on. */
  #tellMoved() {
    if (this.#resetAt !== null) return;
    this.#resetAt = Date.now();
    this.#tell("reset", { reason: "moved" });
  }

  /** The machine may have slept. */
  #notice() {
    if (!this.#hasSlept) return;
    this.#isWaking = true;
    this.#checkedAt = Date.now();
    this.#send({ nudge: true });
  }

  /** The worker itself may have stopped. */
  #check() {
    this.#notice();
    this.#checkedAt = Date.now();
    this.#review();
    if (this.#wanted === null || document.hidden || !this.#isSilent) return;
    this.#silentChecks += 1;
    if (this.#silentChecks > DEAD_CHECKS) this.#leaveWorker();
  }

  #leaveWorker() {
    this.#leave();
    this.#silentChecks = 0;
    this.#link = openOwn(this.streamUrl, (message) => this.#receive(message));
    this.#join();
  }

  #review() {
    const { state } = this;
    const shown = `${state.name} ${state.at}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#tell("state", state);
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
  const hubs = new Hubs((filters, cursor) => new ExecutionStream({ url, filters, cursor }));
  const tab = { send: receive };
  setInterval(() => hubs.stateFor(tab) && receive({ state: hubs.stateFor(tab) }), PULSE_MS);
  return {
    send({ join, nudge, leave, asked }) {
      if (join) hubs.join(tab, join);
      if (nudge) hubs.nudge(tab);
      if (leave) hubs.leave(tab);
      receive({ state: hubs.stateFor(tab), answered: asked });
    },
  };
}
