// The REST API, as the signed-in user of this page.

import { noteDate } from "./skew.js";

const API = document.body.dataset.api;
const PATIENCE_MS = 30_000; // longer than the server allows itself

/** An answer that is an error; `status` 0: there was none. `errors`: by field, where fields are wrong. */
export class ApiError extends Error {
  constructor(status, { detail, code, errors } = {}) {
    super(detail ?? (status ? `The server answered ${status}.` : "The server cannot be reached."));
    this.status = status;
    this.code = code ?? "error";
    this.errors = errors ?? {};
  }
}

/**
 * GET; `path` is below /api/v1/ or a `next` link. Returns {body, cursor}: X-Attune-Cursor.
 * `parse`: instead of JSON.parse.
 */
export function get(path, { signal, parse } = {}) {
  const tooLong = AbortSignal.timeout(PATIENCE_MS);
  return send(path, { signal: signal ? AbortSignal.any([signal, tooLong]) : tooLong }, parse);
}

export function post(path, data) {
  return send(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
    body: JSON.stringify(data),
  });
}

async function send(path, options, parse = JSON.parse) {
  let response;
  try {
    response = await fetch(sameOrigin(path), { credentials: "same-origin", ...options });
    noteDate(response.headers.get("Date"));
  } catch (error) {
    throw unanswered(error);
  }
  const body = await response.text().then(parse).catch((error) => {
    if (error.name !== "SyntaxError") throw unanswered(error);
    return null;
  });
  if (!response.ok) throw new ApiError(response.status, body ?? {});
  if (body === null) throw new ApiError(0); // cut off
  return { body, cursor: response.headers.get("X-Attune-Cursor") };
}

function unanswered(error) {
  if (error.name === "AbortError") return error;
  return new ApiError(0, error.name === "TimeoutError" ? { detail: "The server does not answer." } : {});
}

/** A `next` link may name the server as a proxy knows it. */
function sameOrigin(path) {
  const url = new URL(path, new URL(API, location.href));
  return url.pathname + url.search;
}

function csrfToken() {
  return document.querySelector("meta[name=csrf-token]").content;
}

/** Where to sign in, and come back from to this page as it is now. */
export function signInUrl() {
  const here = location.pathname + location.search;
  return `${document.body.dataset.signIn}?next=${encodeURIComponent(here)}`;
}
