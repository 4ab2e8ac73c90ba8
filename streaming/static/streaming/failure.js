// The notice of a page that it could not load something.

import { signInUrl } from "./api.js";
import { setText } from "./dom.js";

const RETRY_MS = 3000;

export class Failure {
  #element;
  #text;
  #again = () => {};
  #retry = null;

  constructor(element = document.getElementById("failure")) {
    this.#element = element;
    this.#text = element.querySelector("[data-text]");
    element.querySelector("[data-retry]").addEventListener("click", () => this.#again());
  }

  get isShown() {
    return !this.#element.hidden;
  }

  /** `what` could not be done. Where time may help, `again()` follows; returns whether it does. */
  show(what, error, again) {
    if (error.status === 401 || error.code === "not_authenticated") location.assign(signInUrl());
    // What the server does not take now it will not take later.
    const isPassing = error.status === 0 || error.status >= 500 || error.status === 429;
    setText(this.#text, `${what}: ${error.message}${isPassing ? " This page tries again by itself." : ""}`);
    this.#element.hidden = false;
    this.#again = again;
    this.wait();
    if (isPassing) this.#retry = setTimeout(again, RETRY_MS);
    return isPassing;
  }

  /** It is being done again, or something else instead. */
  wait() {
    clearTimeout(this.#retry);
  }

  clear() {
    this.wait();
    this.#element.hidden = true;
  }
}
