// How long to wait before the next attempt. Pure.

const FIRST_MS = 2000; // until the server says otherwise
const MOST_MS = 30_000; // a server that was away for an hour is met again within half a minute
const MOST_ASKED_MS = 300_000; // what a server may ask for

/** Full jitter: anything up to a bound that doubles with each failure, from the server's `retry:`. */
export class Backoff {
  #base = FIRST_MS;
  #failures = 0;

  constructor(random = Math.random) {
    this.random = random;
  }

  /** A connection stands: begin anew. */
  connected() {
    this.#failures = 0;
  }

  /** The server's `retry:`. */
  retry(milliseconds) {
    this.#base = Math.min(Math.max(milliseconds, 1), MOST_MS);
  }

  /** Milliseconds to wait; `asked` is what the server asked for this time, and the least. */
  next(asked = null) {
    if (asked !== null) return Math.min(asked, MOST_ASKED_MS) * (1 + this.random() / 4);
    const bound = Math.min(this.#base * 2 ** Math.min(this.#failures, 16), MOST_MS);
    this.#failures += 1;
    return bound * this.random();
  }
}
