// What the badge says of a stream's state. Pure.

import { exact } from "./clock.js";

const PATIENCE_MS = 2000; // that an attempt may take before the page admits that it does not know

/** What to show for a state of the stream. Pure. */
export function describe(state, { paused = false } = {}, now = 0) {
  const { name, at, knownAt, retryAt, reason } = state;
  const since = knownAt === null ? "" : ` since ${exact(new Date(knownAt)).slice(11, 19)}`;
  const why = reason ? `: ${reason}` : "";
  if (paused && (name === "live" || name === "catching-up")) {
    return { kind: "paused", text: "paused", title: "New changes are held back." };
  }
  switch (name) {
    case "live":
      return { kind: "live", text: "live", title: "Every change shows the moment it happens." };
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
      if (knownAt === null) return { kind: "connecting", text: "connecting…", title: "" };
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
