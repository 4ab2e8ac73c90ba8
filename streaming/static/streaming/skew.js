// How far the server's clock is ahead of this one, as its answers say. Below a second or two
// that is the time an answer takes, and the Date header's whole seconds: then it counts as none.

const LEAST_MS = 2000;

let ahead = 0;

export function noteDate(header) {
  const found = Date.parse(header) + 500 - Date.now();
  if (!Number.isNaN(found)) ahead = Math.abs(found) < LEAST_MS ? 0 : found;
}

/** A moment of this clock, in milliseconds, as the server's clock has it. */
export function serverTime(milliseconds) {
  return milliseconds + ahead;
}
