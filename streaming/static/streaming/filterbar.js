// The filters of the list: in the address bar, as chips with counts and as fields.

import * as api from "./api.js";
import { Counts } from "./counts.js";
import { fromQuery, toQuery } from "./filters.js";
import { statusIcon } from "./status.js";

const FIELDS = ["pack", "action_ref", "execution_id"];
const RELATIVES = ["parent", "root"];
const TYPING_MS = 400;
const COUNT_MS = 10_000;
const MINUTES = 60; // in which an ended execution is counted

export class FilterBar {
  #changed;
  #form = document.getElementById("filters");
  #chips = document.getElementById("chips");
  #clear = document.getElementById("clear");
  #relatives = document.getElementById("relatives");
  #typing = null;
  #counting = null;
  counts = new Counts();

  /** `changed()` is called after the filters have; `isLive()`: whether it makes sense to ask. */
  constructor({ changed, isLive }) {
    this.#changed = changed;
    for (const chip of this.#chips.querySelectorAll("[data-status]")) {
      chip.querySelector("[data-icon]").append(statusIcon(chip.dataset.status));
    }
    this.#chips.addEventListener("click", ({ target }) => this.#press(target.closest(".chip")));
    this.#form.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#readForm(), TYPING_MS);
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#readForm();
    });
    this.#clear.addEventListener("click", () => {
      this.#set({});
      this.#chips.querySelector("[data-all]").focus();
    });
    setInterval(() => document.hidden || !isLive() || this.count(), COUNT_MS);
    this.#suggest();
    this.read();
  }

  /** Reads the address bar. */
  read() {
    const before = this.filters;
    this.filters = fromQuery(location.search);
    if (toQuery({ ...before, status: [] }) !== toQuery({ ...this.filters, status: [] })) this.counts = new Counts();
    this.cursor = new URLSearchParams(location.search).get("cursor");
    for (const name of FIELDS) {
      this.#form.elements[name].value = (this.filters[name] ?? []).join(", ");
    }
    this.render();
    // On a phone the chips scroll, and those that are pressed may be out of view.
    const pressed = this.#chips.querySelector("[aria-pressed=true]");
    this.#chips.scrollLeft += pressed.getBoundingClientRect().left - this.#chips.getBoundingClientRect().left - 12;
  }

  /** Asks for the counts. */
  async count() {
    const { counts } = this;
    const { status, ...others } = this.filters;
    const query = toQuery(others);
    this.#counting?.abort();
    this.#counting = new AbortController();
    try {
      const path = `executions/stats?minutes=${MINUTES}${query && `&${query}`}`;
      const { body, cursor } = await api.get(path, this.#counting);
      counts.fill(body.by_status, cursor);
      this.render();
    } catch {
      // The badge tells when the server is away; the counts are asked for again.
    }
  }

  render() {
    const wanted = this.filters.status ?? [];
    for (const chip of this.#chips.querySelectorAll(".chip")) {
      const { status } = chip.dataset;
      const isPressed = status ? wanted.includes(status) : wanted.length === 0;
      chip.setAttribute("aria-pressed", String(isPressed));
      if (status) setText(chip.querySelector("[data-count]"), countText(this.counts.get(status)));
    }
    this.#clear.hidden = toQuery(this.filters) === "";
    const relatives = RELATIVES.filter((name) => this.filters[name]);
    this.#relatives.hidden = relatives.length === 0;
    const words = relatives.map((name) => `${name} #${this.filters[name].join(", #")}`);
    setText(this.#relatives, words.join(" · "));
  }

  #press(chip) {
    if (!chip) return;
    const { status } = chip.dataset;
    const now = this.filters.status ?? [];
    const without = now.filter((one) => one !== status);
    const wanted = !status ? [] : without.length < now.length ? without : [...now, status];
    this.#set({ ...this.filters, status: wanted });
  }

  #readForm() {
    clearTimeout(this.#typing);
    if (!this.#form.reportValidity()) return;
    const fields = FIELDS.map((name) => [name, this.#form.elements[name].value]);
    const query = new URLSearchParams(fields).toString();
    const kept = Object.fromEntries(
      ["status", ...RELATIVES].filter((name) => this.filters[name]).map((name) => [name, this.filters[name]]),
    );
    this.#set({ ...kept, ...fromQuery(query) });
  }

  #set(filters) {
    const query = toQuery(filters);
    if (query === toQuery(this.filters) && this.cursor === null) return;
    history.pushState(null, "", query ? `?${query}` : location.pathname);
    const focused = document.activeElement?.name;
    const typed = this.#form.elements[focused]?.value;
    this.read();
    if (typed !== undefined && query !== "") this.#form.elements[focused].value = typed; // "demo," stays
    this.#changed();
  }

  /** Fills what the fields suggest; without it they work, too. */
  async #suggest() {
    for (const [path, id] of [["packs", "packs"], ["actions", "actions"]]) {
      const { body } = await api.get(`${path}?page_size=500`).catch(() => ({ body: { results: [] } }));
      const options = body.results.map(({ ref, label }) => new Option(label, ref));
      document.getElementById(id).replaceChildren(...options);
    }
  }
}

function countText(count) {
  if (count === null) return "–";
  return count < 10_000 ? String(count) : `${Math.floor(count / 1000)}k`;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
