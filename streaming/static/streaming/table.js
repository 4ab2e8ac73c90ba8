// The rows of a List on the page. Only what has changed is touched, a bounded number a frame.

import { showStatus, TERMINAL } from "./status.js";

const MOST_A_FRAME = 40; // rows; far below a long task (50 ms)
const FRESH_MS = 1200;

export class Table {
  #body;
  #template;
  #clock;
  #list = null;
  #elements = new Map(); // id → <tr>
  #dirty = new Set();
  #frame = null;
  #isQuiet = true; // the first rows do not flash

  constructor({ body, template, clock }) {
    this.#body = body;
    this.#template = template;
    this.#clock = clock;
  }

  show(list) {
    this.#list = list;
  }

  /** Rows with these ids have changed, come or gone; `quietly`: without drawing the eye there. */
  update(ids, { quietly = false } = {}) {
    for (const id of ids) this.#dirty.add(id);
    if (quietly) this.#isQuiet = true;
    this.#frame ??= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = null;
    const moves = [...this.#dirty].some((id) => Boolean(this.#list.get(id)) !== this.#elements.has(id));
    const keep = moves ? this.#anchor() : () => {};
    let left = MOST_A_FRAME;
    for (const id of this.#dirty) {
      if (left-- === 0) break;
      this.#dirty.delete(id);
      this.#drawRow(id);
    }
    keep();
    if (this.#dirty.size > 0) this.update([]);
    else this.#isQuiet = false;
  }

  #drawRow(id) {
    const row = this.#list.get(id);
    const element = this.#elements.get(id);
    if (!row) return this.#remove(id, element);
    if (element) return this.#fill(element, row, { flash: element.dataset.status !== row.status });
    const created = this.#template.content.firstElementChild.cloneNode(true);
    this.#elements.set(id, created);
    this.#fill(created, row, { flash: true });
    return this.#body.insertBefore(created, this.#elementBelow(id));
  }

  #elementBelow(id) {
    const { ids } = this.#list;
    for (let index = ids.indexOf(id) + 1; index < ids.length; index += 1) {
      const element = this.#elements.get(ids[index]);
      if (element) return element;
    }
    return null;
  }

  #remove(id, element) {
    if (!element) return;
    const next = element.nextElementSibling ?? element.previousElementSibling;
    // Who was in the row goes on in the next one, and not at the top of the page.
    if (element.contains(document.activeElement)) next?.querySelector("a")?.focus();
    this.#elements.delete(id);
    element.remove();
  }

  #fill(element, row, { flash }) {
    const find = (name) => element.querySelector(`[data-cell="${name}"]`);
    element.dataset.status = row.status;
    element.dataset.id = row.id;
    showStatus(find("status"), row.status);
    setText(find("id"), `#${row.id}`);
    find("id").href = `/executions/${row.id}/`;
    setText(find("action"), row.action_ref);
    find("action").title = row.action_ref;
    const parent = find("parent");
    parent.hidden = row.parent === null;
    if (row.parent !== null) {
      setText(parent, `↳ #${row.parent}`);
      parent.href = `/executions/${row.parent}/`;
      parent.title = `Part of execution ${row.parent}`;
    }
    this.#clock.ago(find("created"), row.created);
    this.#clock.duration(find("duration"), row.started, row.finished, !TERMINAL.has(row.status));
    const cancel = element.querySelector("[data-cancel]");
    cancel.hidden = TERMINAL.has(row.status) || row.status === "canceling";
    cancel.setAttribute("aria-label", `Cancel execution ${row.id}`);
    if (flash && !this.#isQuiet) tint(element);
  }

  /** Returns what puts the first row in view back to where it was. */
  #anchor() {
    const top = this.#body.getBoundingClientRect().top;
    if (top >= 0) return () => {}; // new rows may show
    const bar = document.querySelector(".bar").offsetHeight;
    const x = this.#body.getBoundingClientRect().left + 8;
    const first = document.elementFromPoint(x, bar + 8)?.closest("[data-id]");
    if (!first) return () => {};
    const was = first.getBoundingClientRect().top;
    return () => {
      const moved = first.isConnected ? first.getBoundingClientRect().top - was : 0;
      if (moved !== 0) scrollBy({ top: moved, behavior: "instant" });
    };
  }
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A tint and no animation: a hundred of those at once take a slow machine all of its time. */
function tint(element) {
  element.classList.add("fresh");
  setTimeout(() => element.classList.remove("fresh"), FRESH_MS);
}
