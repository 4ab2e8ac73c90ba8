// The dialog that starts an action.

import { announce } from "./announce.js";
import * as api from "./api.js";
import { example } from "./example.js";

const field = (id) => document.getElementById(id);

export class Starting {
  #dialog;
  #action = field("start-action");
  #config = field("start-config");
  #about = field("start-about");
  #prefilled = ""; // what nobody has typed may be replaced

  constructor(dialog, button) {
    this.#dialog = dialog;
    button.addEventListener("click", () => {
      this.#complain({});
      dialog.showModal();
      this.#action.focus();
    });
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    this.#action.addEventListener("change", () => this.#prefill());
    dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(event.submitter);
    });
  }

  async #prefill() {
    const ref = this.#action.value.trim();
    this.#about.textContent = "";
    if (ref === "" || ref.includes(",")) return;
    const { body } = await api.get(`actions?ref=${encodeURIComponent(ref)}`).catch(() => ({}));
    const action = body?.results[0];
    if (!action || this.#action.value.trim() !== ref) return;
    const { label, description, param_schema: schema } = action;
    this.#about.textContent = [description || label, ...parameters(schema)].filter(Boolean).join("\n");
    if (this.#config.value !== this.#prefilled) return;
    this.#prefilled = schema === null ? "" : JSON.stringify(example(schema), null, 2);
    this.#config.value = this.#prefilled;
  }

  async #submit(button) {
    this.#complain({});
    const data = { action_ref: this.#action.value.trim() };
    if (data.action_ref === "") return this.#complain({ action: "Say which action." });
    try {
      if (this.#config.value.trim() !== "") data.config = JSON.parse(this.#config.value);
    } catch (error) {
      return this.#complain({ config: `This is not JSON: ${error.message}` });
    }
    button.disabled = true;
    try {
      const { body } = await api.post("executions", data);
      this.#dialog.close();
      this.#config.value = this.#prefilled = "";
      this.#action.value = this.#about.textContent = "";
      announce(`Execution ${body.id} of ${body.action_ref} requested`);
    } catch (error) {
      const { action_ref: action, ...others } = error.errors ?? {};
      const rest = Object.values(others).flat();
      this.#complain({ action: action?.join("\n"), config: (rest.length || action ? rest : [error.message]).join("\n") });
    } finally {
      button.disabled = false;
    }
    return undefined;
  }

  #complain({ action = "", config = "" }) {
    for (const [input, text] of [[this.#action, action], [this.#config, config]]) {
      field(`${input.id}-error`).textContent = text;
      input.setAttribute("aria-invalid", String(text !== ""));
    }
    if (action) this.#action.focus();
    else if (config) this.#config.focus();
  }
}

/** A line for each parameter: name, type, whether it is required, what it means. */
function parameters(schema) {
  const required = new Set(schema?.required ?? []);
  return Object.entries(schema?.properties ?? {}).map(([name, { type, enum: values, description }]) => {
    const kind = values ? values.map((value) => JSON.stringify(value)).join(" | ") : [type ?? "any"].flat().join(" | ");
    return `${name}: ${kind}${required.has(name) ? ", required" : ""}${description ? ` (${description})` : ""}`;
  });
}
