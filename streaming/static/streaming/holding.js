// Pause: events are kept and counted instead of shown.

const MOST_HELD = 5000; // beyond it, the list is fetched anew in the end

export class Holding {
  #button;
  #apply;
  #reload;
  #events = [];
  #isTooMuch = false;

  constructor(button, { apply, reload }) {
    this.#button = button;
    this.#apply = apply;
    this.#reload = reload;
    this.paused = false;
    this.held = 0;
  }

  take(events) {
    if (!this.paused) return this.#apply(events);
    this.held += events.length;
    if (this.held > MOST_HELD) this.#isTooMuch = true;
    this.#events = this.#isTooMuch ? [] : [...this.#events, ...events];
    return this.#render();
  }

  /** What was missed cannot be told: the list is needed anew, now or when the pause ends. */
  reset() {
    if (this.paused) this.#isTooMuch = true;
    else this.#reload();
  }

  toggle() {
    this.paused = !this.paused;
    const [events, isTooMuch] = [this.#events, this.#isTooMuch];
    this.forget();
    if (this.paused) return;
    if (isTooMuch) this.#reload();
    else this.#apply(events);
  }

  /** The list is new: what was held is in it. */
  forget() {
    this.#events = [];
    this.#isTooMuch = false;
    this.held = 0;
    this.#render();
  }

  #render() {
    const more = this.held > 0 ? ` (${this.held} held)` : "";
    this.#button.textContent = this.paused ? `Resume${more}` : "Pause";
    this.#button.setAttribute("aria-pressed", String(this.paused));
  }
}
