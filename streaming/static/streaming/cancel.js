// The dialog that asks before an execution is cancelled.

import { announce } from "./announce.js";
import * as api from "./api.js";

export class Cancelling {
  #dialog;
  #text = document.getElementById("cancel-text");
  #error = document.getElementById("cancel-error");
  #id = null;

  /** Opens for the buttons `data-cancel` in `rows`; `find(id)` returns the execution. */
  constructor(dialog, rows, find) {
    this.#dialog = dialog;
    rows.addEventListener("click", ({ target }) => {
      const row = target.closest("[data-cancel]")?.closest("[data-id]");
      if (row) this.open(find(Number(row.dataset.id)));
    });
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(event.submitter);
    });
  }

  open({ id, action_ref: ref, status }) {
    this.#id = id;
    this.#error.textContent = "";
    this.#text.textContent = `#${id} ${ref} is ${status}.`;
    this.#dialog.showModal();
  }

  async #submit(button) {
    const id = this.#id;
    button.disabled = true;
    try {
      const { body } = await api.post(`executions/${id}/cancel`, {});
      announce(`Execution ${body.id} is ${body.status}`);
      if (id === this.#id) this.#dialog.close(); // else it is open for another by now
    } catch (error) {
      if (id === this.#id) this.#error.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  }
}
