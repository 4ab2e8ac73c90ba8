/**
 * A live stream of executions, in browsers and in Node 18 and newer. No dependencies, no build.
 *
 *   import { ExecutionStream } from "./attune.js";
 *
 *   const stream = new ExecutionStream({
 *     url: "https://attune.example/api/v1/executions/stream",
 *     token: () => accessToken,         // none needed in a page of the same origin: its session
 *     filters: { status: ["running"], pack: "demo" },
 *   });
 *   for await (const event of stream) {
 *     console.log(event.entity_id, event.old_status, "→", event.data.status);
 *   }
 *
 * It connects by itself, comes back by itself from where it was (Last-Event-ID), and tells each
 * change once and never an older one after a newer. The loop ends after `end` (until=terminal),
 * when everything has ended already (204) and after `close()`; it throws a StreamError where no
 * further attempt would help: a refused credential, a wrong filter, an unknown execution.
 *
 * Options, all but `url` optional:
 *   url           of the stream
 *   filters       {status, action_ref, pack, parent, root, execution_id}: a value or several
 *   cursor        resume after this position (`X-Attune-Cursor` of a list), or "earliest"
 *   snapshot      true: begin with the current state, as events whose `op` is "SNAPSHOT"
 *   until         "terminal": end with what is watched (execution_id or root)
 *   token         () → access token or promise of one; asked for before each attempt, with
 *                 {refused: true} after the server has refused the last one
 *   onReset       async ({reason, cursor}) → void: what was missed cannot be told. Fetch the state
 *                 anew; events wait until it returns. Without it and without `snapshot` the
 *                 stream fails with a StreamError("history_lost"): a gap is never silent
 *   fetch, random, timers   to be replaced in tests
 *
 * Events, by addEventListener, each with `detail`:
 *   "event"     an execution's change, as docs/stream.md has it, with its position as `id`
 *   "snapshot"  {executions, complete}
 *   "reset"     {reason, cursor}; a listener instead of onReset does not hold events back
 *   "state"     the state, below, whenever it changes
 *   "end"       {executions}
 *
 * state: {name, at, knownAt, retryAt, reason, code, status}; times as of Date.now(), or null.
 *   "connecting"   an attempt is under way
 *   "catching-up"  what was missed is being told
 *   "live"         everything has been told
 *   "stale"        the connection stands but is silent for too long: what is shown may be old
 *   "waiting"      the connection is lost (`reason`); the next attempt is at `retryAt`
 *   "refused"      for good, with `reason` and `code`; `nudge()` tries again
 *   "ended"        after `end`, 204 or close()
 *
 * `knownAt`: up to when everything has been told, as far as is known; where the state is "live", that
 * is now. `heardAt`: when the server was last heard. `cursor`: where a later stream can resume, as far
 * as the loop has been given events; null while it is given a snapshot.
 * `nudge()`: the network or the machine is back: look now. `close()`: end it.
 */
import { Backoff } from "./backoff.js";
import { Progress } from "./progress.js";
import { Parser } from "./sse.js";
import { ask, Lost, StreamError } from "./request.js";

export { StreamError };

const GRACE_MS = 2000; // that a heartbeat may be late
const FIRST_HEARTBEAT_MS = 15_000; // until `connected` says
const CHECK_MS = 500;
const MOST_QUEUED = 1000; // events an iterator has not taken, before reading stops

const TIMERS = {
  now: () => Date.now(),
  setTimeout: (callback, milliseconds) => setTimeout(callback, milliseconds),
  clearTimeout: (timer) => clearTimeout(timer),
};

class Detail extends Event {
  constructor(type, detail) {
    super(type);
    this.detail = detail;
  }
}

export class ExecutionStream extends EventTarget {
  #options;
  #progress;
  #backoff;
  #timers;
  #attempt = null; // AbortController of the connection
  #wakeUp = null; // ends the waiting
  #watchdog = null;
  #heartbeatMs = FIRST_HEARTBEAT_MS;
  #knownAt;
  #flow; // "catching-up" or "live", whichever is interrupted by silence
  #queue = null; // of the iterator: {event, cursor after it}
  #handedOut; // the cursor after the last that the iterator has handed out
  #wakeReader = null;
  #wakeQueue = null;
  #error = null;
  #running = false;

  constructor(options) {
    super();
    this.#options = options;
    this.#progress = new Progress(options.cursor, { snapshot: options.snapshot });
    this.#handedOut = this.#progress.cursor;
    this.#backoff = new Backoff(options.random);
    this.#timers = options.timers ?? TIMERS;
    this.heardAt = this.#knownAt = null;
    this.state = this.#newState("connecting");
    queueMicrotask(() => this.#start()); // so that listeners are there first
  }

  get cursor() {
    return this.#queue?.length > 0 ? this.#handedOut : this.#progress.cursor;
  }

  close() {
    if (this.state.name !== "ended") this.#enter("ended");
    this.#attempt?.abort();
    this.#wakeUp?.();
    this.#wakeReader?.();
    this.#wakeQueue?.();
  }

  nudge() {
    const { name } = this.state;
    if (name === "refused") this.#start();
    else if (name === "stale") this.#attempt?.abort();
    else if (name === "waiting") this.#wakeUp?.();
    else this.#check();
  }

  async *[Symbol.asyncIterator]() {
    this.#queue = [];
    try {
      while (true) {
        while (this.#queue.length > 0) {
          const { event, cursor } = this.#queue.shift();
          this.#handedOut = cursor;
          yield event;
          this.#wakeQueue?.();
        }
        if (this.state.name === "refused") throw this.#error;
        if (this.state.name === "ended") return;
        await new Promise((resolve) => (this.#wakeReader = resolve));
      }
    } finally {
      this.close();
    }
  }

  // --- connection after connection ---------------------------------------------------------
  async #start() {
    if (this.#running || this.state.name === "ended") return;
    this.#running = true;
    this.#watch();
    try {
      while (this.state.name !== "ended") {
        this.#enter("connecting");
        await this.#connect().catch((error) => this.#lost(error));
      }
    } catch (error) {
      this.#error = error;
      const { message: reason, code, status } = error;
      this.#enter("refused", { reason, code, status });
    } finally {
      this.#running = false;
      this.#timers.clearTimeout(this.#watchdog);
    }
  }

  /** One connection; returns when the stream is over, throws Lost or StreamError. */
  async #connect() {
    this.#attempt = new AbortController();
    this.#heartbeatMs = FIRST_HEARTBEAT_MS;
    const { signal } = this.#attempt;
    const body = await ask(this.#options, this.#progress.cursor, signal);
    if (body === null) return this.#enter("ended");
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const parser = new Parser();
    signal.addEventListener("abort", () => reader.cancel().catch(() => {}));
    try {
      while (this.state.name !== "ended") {
        const { value, done } = await reader.read().catch(() => ({ done: true }));
        this.#check(); // what a machine finds when it wakes up is from before it slept
        if (done || signal.aborted) throw new Lost("the connection ended");
        this.#heard();
        for (const frame of parser.feed(decoder.decode(value, { stream: true }))) {
          await this.#take(frame);
          if (this.state.name === "ended" || signal.aborted) break;
        }
      }
    } finally {
      this.#attempt.abort();
    }
  }

  /** Waits for the next attempt; throws what no attempt would mend. */
  async #lost(error) {
    if (this.state.name === "ended") return;
    if (error instanceof StreamError) throw error;
    const milliseconds = this.#backoff.next(error.retryMs ?? null);
    let timer;
    const wait = new Promise((resolve) => {
      this.#wakeUp = resolve;
      timer = this.#timers.setTimeout(resolve, milliseconds);
    });
    this.#enter("waiting", { reason: error.message, retryMs: milliseconds }); // who hears it may nudge
    await wait;
    this.#timers.clearTimeout(timer);
  }

  // --- frames ------------------------------------------------------------------------------
  async #take(frame) {
    if (frame.retry !== null && frame.event !== "close") this.#backoff.retry(frame.retry);
    if (frame.data === null) return this.#heartbeat(frame);
    const data = JSON.parse(frame.data);
    switch (frame.event) {
      case null:
        return this.#event(frame, data);
      case "connected":
        return this.#connected(frame, data);
      case "snapshot":
        return this.#snapshot(frame, data);
      case "reset":
        return this.#reset(frame, data);
      case "end":
        this.#progress.move(frame);
        this.#tell("end", data);
        return this.close();
      case "close":
        throw this.#closed(data, frame.retry);
    }
  }

  #heartbeat(frame) {
    this.#progress.move(frame);
    this.#enter("live");
  }

  #connected(frame, data) {
    const isNew = this.#progress.cursor === null;
    this.#backoff.connected();
    this.#heartbeatMs = data.heartbeat_seconds * 1000;
    this.#progress.connected(frame, data);
    // A replay ends with a heartbeat; where there is none, a reset follows.
    this.#enter(isNew ? "live" : "catching-up");
  }

  #snapshot(frame, data) {
    this.#progress.snapshot(frame, data.executions);
    this.#tell("snapshot", data);
    const last = data.executions.length - 1; // a resumed stream is told none of the others
    const cursors = data.executions.map((row, index) => (index === last ? frame.id : null));
    return this.#queueUp(data.executions, cursors);
  }

  async #reset(frame, { reason }) {
    const before = this.#progress.cursor;
    this.#progress.reset(frame);
    const detail = { reason, cursor: frame.id };
    this.#tell("reset", detail);
    try {
      await this.#options.onReset?.(detail);
    } catch (error) {
      this.#progress.cursor = before; // so that the next connection is told again
      throw error;
    }
    if (!this.#options.onReset && this.#queue && !this.#options.snapshot) {
      throw new StreamError(reason, "history_lost");
    }
    this.#enter("live");
  }

  #event(frame, data) {
    if (!this.#progress.isNews(frame, data)) return undefined;
    const event = { ...data, id: frame.id };
    this.#tell("event", event);
    return this.#queueUp([event], [frame.id]);
  }

  #closed({ reason, reconnect }, retryMs) {
    const renewable = reason === "token_expired" && this.#options.token;
    if (!reconnect && !renewable) return new StreamError(reason, reason);
    return new Lost(reason, renewable ? 0 : retryMs);
  }

  /** Hands events to the iterator, and waits while it has too many. */
  async #queueUp(events, cursors) {
    if (this.#queue === null) return;
    events.forEach((event, index) => this.#queue.push({ event, cursor: cursors[index] }));
    this.#wakeReader?.();
    while (this.#queue.length > MOST_QUEUED && this.state.name !== "ended") {
      await new Promise((resolve) => (this.#wakeQueue = resolve));
    }
    this.#heard();
  }

  // --- what is known, and since when --------------------------------------------------------
  #heard() {
    this.heardAt = this.#timers.now();
    if (this.state.name === "live") this.#knownAt = this.heardAt;
    if (this.state.name === "stale") this.#enter(this.#flow);
  }

  /** A timer of a machine that slept fires late: it is the clock that counts. */
  #watch() {
    this.#watchdog = this.#timers.setTimeout(() => {
      this.#check();
      this.#watch();
    }, CHECK_MS);
  }

  #check() {
    const { name, at } = this.state;
    const connected = ["live", "catching-up", "stale"].includes(name);
    if (!connected && name !== "connecting") return;
    if (this.#queue?.length > MOST_QUEUED) return; // this side does not read
    const quiet = this.#timers.now() - (connected ? this.heardAt : at);
    if (connected && quiet > this.#heartbeatMs + GRACE_MS) this.#enter("stale");
    if (quiet > 2 * (this.#heartbeatMs + GRACE_MS)) this.#attempt?.abort();
  }

  #newState(name, { reason = null, code = null, status = null, retryMs = null } = {}) {
    const at = this.#timers.now();
    const retryAt = retryMs === null ? null : at + retryMs;
    return { name, at, knownAt: this.#knownAt, retryAt, reason, code, status };
  }

  #enter(name, more) {
    const same = this.state.name === name && !more;
    if (same || this.state.name === "ended") return;
    if (name === "live") this.#knownAt = this.heardAt;
    if (name === "live" || name === "catching-up") this.#flow = name;
    this.state = this.#newState(name, more);
    this.#tell("state", this.state);
    this.#wakeReader?.();
  }

  #tell(type, detail) {
    this.dispatchEvent(new Detail(type, detail));
  }
}
