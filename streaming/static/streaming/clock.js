/**
 * Times that tick: <time datetime=…> as "3 min ago", <… data-since=…> as a duration that grows.
 *
 *   const clock = new Clock(connection);   // one a page
 *   clock.ago(element, isoTime);           // "3 min ago", exact time as title
 *   clock.duration(element, started, finished, running);
 *
 * While the connection is not live or `hold(true)`, nothing ticks: every text stays as of when the server had
 * told all, and <html data-frozen> lets the style say so.
 */
import { inSteps, paced } from "./paced.js";
import { serverTime } from "./skew.js";

const TICK_MS = 1000;
const MOST_A_FRAME = 20; // texts; far below a long task (50 ms)

export class Clock {
  #connection;
  #texts = []; // those that this tick has still to write
  #heldAt = null;
  #tickSoon = paced(() => this.tick());

  constructor(connection, { root = document } = {}) {
    this.#connection = connection;
    this.root = root;
    setInterval(() => this.tick(), TICK_MS);
    connection.addEventListener("state", () => this.tick());
    addEventListener("scroll", () => this.#tickSoon(), { passive: true });
  }

  /** The moment as of which the page is right, by the server's clock, in milliseconds. */
  get now() {
    const { isLive, state } = this.#connection;
    if (this.#heldAt !== null) return this.#heldAt;
    return serverTime(isLive || state.knownAt === null ? Date.now() : state.knownAt);
  }

  /** Stops at this moment, for as long as the page does not show what it is told. */
  hold(isHeld) {
    this.#heldAt = isHeld ? this.now : null;
    this.tick();
  }

  tick() {
    const { isLive, state } = this.#connection;
    const isOld = this.#heldAt !== null || (!isLive && state.knownAt !== null);
    document.documentElement.toggleAttribute("data-frozen", isOld);
    // Of a long list only what is in view: each text has its row laid out anew.
    const isInView = (element) => element.checkVisibility({ contentVisibilityAuto: true });
    const texts = document.hidden ? [] : [...this.root.querySelectorAll("[data-ago], [data-since]")];
    this.#texts = texts.filter(isInView);
    this.#writeSome();
  }

  #writeSome = inSteps(() => {
    for (const element of this.#texts.splice(0, MOST_A_FRAME)) write(element, this.now);
    return this.#texts.length > 0;
  });

  ago(element, iso) {
    if (element.dataset.ago === iso) return;
    element.dataset.ago = iso;
    element.dateTime = iso;
    element.title = exact(iso);
    write(element, this.now);
  }

  duration(element, started, finished, isRunning) {
    delete element.dataset.since;
    if (isRunning && started && !finished) {
      element.dataset.since = started;
      write(element, this.now);
    } else {
      const ms = started && finished ? Date.parse(finished) - Date.parse(started) : null;
      setText(element, ms === null ? "–" : durationText(ms));
    }
  }
}

function write(element, now) {
  const { ago, since } = element.dataset;
  setText(element, ago ? agoText(now - Date.parse(ago)) : durationText(now - Date.parse(since), true));
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** "just now", "42 s ago", "3 min ago", "5 h ago", "12 d ago". */
export function agoText(ms) {
  const seconds = Math.floor(Math.max(0, ms) / 1000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** "340 ms", "4.2 s", "3 m 07 s", "2 h 05 m", "3 d 4 h"; `coarse`: whole seconds, for what ticks. */
export function durationText(ms, coarse = false) {
  const passed = Math.max(0, ms);
  if (!coarse && passed < 1000) return `${Math.round(passed)} ms`;
  const seconds = Math.floor(passed / 1000);
  if (seconds < 60) return coarse ? `${seconds} s` : `${(Math.floor(passed / 100) / 10).toFixed(1)} s`;
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${two(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${two(minutes % 60)} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** An exact local time, to the millisecond. */
export function exact(iso) {
  const date = new Date(iso);
  const two = (number, width = 2) => String(number).padStart(width, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day} ${time}.${two(date.getMilliseconds(), 3)}`;
}
