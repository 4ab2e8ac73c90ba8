// One request for the stream, and what its answer means.

const LEAST_MS = 1000; // a proxy's `Retry-After: 0` is no reason to ask it without a pause

/** No further attempt would help. `code` is the API's (docs/api.md), or the reason of a `close`. */
export class StreamError extends Error {
  constructor(message, code, status = null) {
    super(message);
    this.name = "StreamError";
    this.code = code;
    this.status = status;
  }
}

/** The connection is lost; `retryMs`: what the server asked to wait, if it did. */
export class Lost extends Error {
  constructor(message, retryMs = null) {
    super(message);
    this.retryMs = retryMs;
  }
}

/** Returns the body of the stream, or null for 204; throws Lost or StreamError. */
export async function ask(options, cursor, signal) {
  let response = await send(options, cursor, signal, { refused: false });
  if (response.status === 401 && options.token) {
    await response.body?.cancel();
    response = await send(options, cursor, signal, { refused: true });
  }
  if (response.status === 204) return null;
  const type = response.headers.get("Content-Type") ?? "";
  if (response.status === 200 && type.startsWith("text/event-stream")) return response.body;
  throw await refusal(response);
}

/** The query string of `filters` and what else a stream takes. */
export function queryOf({ filters = {}, snapshot, until }) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) {
    for (const one of [value].flat()) query.append(name, one);
  }
  if (snapshot) query.set("snapshot", "true");
  if (until) query.set("until", until);
  return query;
}

async function send(options, cursor, signal, { refused }) {
  const headers = { Accept: "text/event-stream" };
  const query = queryOf(options);
  if (cursor === "earliest") query.set("last_event_id", cursor);
  else if (cursor) headers["Last-Event-ID"] = cursor;
  try {
    if (options.token) headers.Authorization = `Bearer ${await options.token({ refused })}`;
    const fetch = options.fetch ?? globalThis.fetch;
    const url = `${query}` ? `${options.url}?${query}` : options.url;
    return await fetch(url, { headers, signal, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (error instanceof StreamError) throw error;
    throw new Lost(signal.aborted ? "the server does not answer" : "the server cannot be reached");
  }
}

async function refusal(response) {
  const { status, headers } = response;
  const body = await response.json().catch(() => ({}));
  const detail = body.detail ?? `the server answered ${status}`;
  if (status === 200 || status === 429 || status >= 500) {
    const seconds = Number(headers.get("Retry-After") || Number.NaN);
    return new Lost(detail, Number.isNaN(seconds) ? null : Math.max(seconds * 1000, LEAST_MS));
  }
  return new StreamError(detail, body.code ?? "error", status);
}
