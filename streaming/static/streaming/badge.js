/**
 * The honest badge: what the page knows of whether it is right.
 *
 *   const badge = new Badge(connection);    // fills #badge of the base template
 *   badge.hold({ paused: true, held: 12 }); // a page that pauses
 */
import { exact } from "./clock.js";
import { announce } from "./announce.js";
import { signInUrl } from "./api.js";

const TICK_MS = 250;
const PATIENCE_MS = 2000; // that an attempt may take before the page admits that it does not know

export class Badge {
  #connection;
  #hold = { paused: false, held: 0 };

  constructor(connection, element = document.getElementById("badge")) {
    this.#connection = connection;
    this.element = element;
    this.text = element.querySelector("[data-text]");
    this.notice = document.getElementById("signed-out");
    setInterval(() => this.render(), TICK_MS);
    connection.addEventListener("state", () => this.render());
    element.addEventListener("click", () => connection.nudge());
    this.render();
  }

  hold({ paused, held = 0 }) {
    this.#hold = { paused, held };
    this.render();
  }

  render() {
    const { kind, text, title } = describe(this.#connection.state, this.#hold, Date.now());
    if (this.element.dataset.kind !== kind) {
      this.element.dataset.kind = kind;
      announce(`Connection: ${kind.replace("-", " ")}`); // not each second of a countdown
    }
    if (this.text.textContent !== text) this.text.textContent = text;
    if (this.element.title !== title) this.element.title = title;
    const isOut = kind === "signed-out";
    if (this.notice.hidden === isOut) {
      this.notice.hidden = !isOut;
      this.notice.querySelector("a").href = signInUrl();
    }
  }
}

/** What to show for a state of the stream. Pure. */
export function describe(state, { paused = false } = {}, now = 0) {
  const { name, at, heardAt, retryAt, reason } = state;
  const since = heardAt === null ? "" : ` since ${exact(new Date(heardAt)).slice(11, 19)}`;
  const why = reason ? `: ${reason}` : "";
  switch (name) {
    case "live":
      return paused
        ? { kind: "paused", text: "paused", title: "New changes are held back." }
        : { kind: "live", text: "live", title: "Every change shows the moment it happens." };
    case "catching-up":
      return { kind: "catching-up", text: "catching up", title: "What was missed is coming in." };
    case "stale":
      return { kind: "stale", text: `stale${since}`, title: "The server is silent; click to ask again." };
    case "waiting": {
      const seconds = Math.max(0, Math.ceil((retryAt - now) / 1000));
      const title = `Connection lost${why}. What is shown is as of the last contact${since}.`;
      return { kind: "reconnecting", text: `reconnecting in ${seconds} s`, title };
    }
    case "connecting":
      if (heardAt === null) return { kind: "connecting", text: "connecting…", title: "" };
      if (now - at < PATIENCE_MS) return { kind: "reconnecting", text: "reconnecting…", title: "" };
      return { kind: "stale", text: `stale${since}`, title: "The server does not answer." };
    case "refused":
      return state.status === 401 || SESSION_OVER.has(state.code)
        ? { kind: "signed-out", text: "signed out", title: `Sign in again${why}.` }
        : { kind: "stale", text: `stopped${since}`, title: `The server refuses${why}.` };
    default:
      return { kind: "ended", text: "ended", title: "" };
  }
}

const SESSION_OVER = new Set([
  "token_expired",
  "revoked",
  "not_authenticated",
  "authentication_failed",
  "token_not_valid",
  "user_inactive",
]);
