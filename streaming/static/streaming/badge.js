/**
 * The honest badge: what the page knows of whether it is right.
 *
 *   const badge = new Badge(connection);    // fills #badge of the base template
 *   badge.hold({ paused: true, held: 12 }); // a page that pauses
 */
import { announce } from "./announce.js";
import { signInUrl } from "./api.js";
import { describe } from "./describe.js";

const TICK_MS = 250;

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
