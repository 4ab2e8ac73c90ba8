// The tree of executions as bars that grow. The axis is in CSS variables: a tick writes one.

import { durationText } from "./clock.js";
import { make, setText } from "./dom.js";
import { layout, tickText } from "./gantt.js";
import { statusIcon } from "./status.js";

export const MOST_ROWS = 1000;

export class GanttView {
  #element;
  #axis;
  #lines;
  #body;
  #template;
  #rows = new Map(); // id → element
  #folded = new Set();
  #run = null;
  #shown = null;
  #ticks = "";
  #now = 0;

  /** `element` has the rows of head and body; `template` is one row. */
  constructor({ element, axis, lines, body, template }) {
    this.#element = element;
    this.#axis = axis;
    this.#lines = lines;
    this.#body = body;
    this.#template = template;
    body.addEventListener("click", ({ target }) => {
      const fold = target.closest(".gantt-fold");
      if (fold) this.#toggle(Number(fold.closest("[data-id]").dataset.id));
    });
  }

  /** Returns how many rows are beyond MOST_ROWS. */
  show(run, now) {
    this.#run = run;
    this.#lay(now);
    return this.#shown.left;
  }

  /** What is open grows until `now`; beyond the end of the axis, all is laid out anew. */
  tick(now) {
    if (!this.#shown?.isOpen) return;
    this.#now = now;
    if (now - this.#shown.from >= this.#shown.to) {
      this.#lay(now);
      return;
    }
    this.#element.style.setProperty("--now", Math.max(0, now - this.#shown.from));
    for (const row of this.#shown.rows) {
      if (row.bar.to === null) this.#duration(this.#rows.get(row.id), row, now);
    }
  }

  #lay(now) {
    this.#now = now;
    const shown = layout([...this.#run.tree.values()], {
      ...{ root: this.#run.id, now, folded: this.#folded, most: MOST_ROWS },
    });
    this.#shown = shown;
    this.#element.style.setProperty("--span", shown.to);
    this.#element.style.setProperty("--now", Math.max(0, now - shown.from));
    this.#element.toggleAttribute("data-open", shown.isOpen);
    this.#drawTicks(shown);
    const ids = new Set(shown.rows.map(({ id }) => id));
    for (const [id, element] of this.#rows) {
      if (!ids.has(id)) element.remove();
      if (!ids.has(id)) this.#rows.delete(id);
    }
    shown.rows.forEach((row, index) => this.#place(row, index, now));
  }

  #place(row, index, now) {
    const element = this.#rows.get(row.id) ?? this.#template.content.firstElementChild.cloneNode(true);
    this.#rows.set(row.id, element);
    const there = this.#body.children[index] ?? null;
    if (there !== element) this.#body.insertBefore(element, there);
    this.#fill(element, row);
    this.#duration(element, row, now);
  }

  #fill(element, { id, depth, execution, children, isFolded, bar }) {
    const find = (selector) => element.querySelector(selector);
    element.style.setProperty("--depth", depth);
    element.style.setProperty("--from", bar.from);
    element.style.setProperty("--start", bar.start ?? bar.to ?? "var(--now)");
    element.style.setProperty("--to", bar.to ?? "var(--now)");
    const link = find("[data-name]");
    const fold = find(".gantt-fold");
    fold.classList.toggle("none", children === 0);
    fold.disabled = children === 0;
    fold.setAttribute("aria-expanded", String(!isFolded));
    fold.setAttribute("aria-label", `Children of ${id}`);
    element.toggleAttribute("data-waits", bar.start === null);
    if (element.dataset.id && element.dataset.status === execution.status) return;
    element.dataset.id = id;
    element.dataset.status = execution.status;
    setText(link, execution.action_ref);
    link.title = `${execution.action_ref} #${id}`;
    if (depth > 0) link.href = `/executions/${id}/`;
    setText(find("[data-id-text]"), `#${id}`);
    const icon = find("[data-icon]");
    icon.dataset.status = execution.status;
    icon.title = execution.status;
    icon.replaceChildren(statusIcon(execution.status));
  }

  #duration(element, { depth, execution, bar }, now) {
    const isOpen = bar.to === null;
    const end = bar.to ?? now - this.#shown.from;
    const ran = bar.start === null ? null : durationText(end - bar.start, isOpen);
    setText(element.querySelector("[data-duration]"), ran ?? (isOpen ? "–" : "never ran"));
    const words = [`Level ${depth + 1}`, execution.status];
    if (!isOpen) {
      // What goes on would be said anew each second.
      words.push(`waited ${durationText((bar.start ?? end) - bar.from)}`, ran ? `ran ${ran}` : "never ran");
    }
    setText(element.querySelector("[data-words]"), words.join(", "));
    element.querySelector(".gantt-track").title = words.slice(1).join(", ");
  }

  #drawTicks({ to, ticks }) {
    const text = `${to}/${ticks}`;
    if (text === this.#ticks) return;
    this.#ticks = text;
    const at = (element, ms) => {
      element.style.left = `${(ms / to) * 100}%`;
      return element;
    };
    for (const old of this.#axis.querySelectorAll(".tick")) old.remove();
    this.#axis.append(...ticks.map((ms) => at(make("span", "tick", tickText(ms)), ms)));
    this.#lines.replaceChildren(...ticks.map((ms) => at(make("i", ""), ms)));
  }

  #toggle(id) {
    if (!this.#folded.delete(id)) this.#folded.add(id);
    this.#lay(this.#now);
  }
}
