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
  #rows = new Map(); // id → the parts of a row
  #folded = new Set();
  #run = null;
  #shown = null;
  #drawn = ""; // the axis
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
    this.#element.toggleAttribute("data-open", shown.isOpen);
    this.#drawAxis(shown);
    const ids = new Set(shown.rows.map(({ id }) => id));
    for (const [id, { element }] of this.#rows) {
      if (ids.has(id)) continue;
      element.remove();
      this.#rows.delete(id);
    }
    shown.rows.forEach((row, index) => this.#place(row, index, now));
  }

  /** Touches only what is not yet as it should be: a tree may have a thousand rows. */
  #place(row, index, now) {
    if (!this.#rows.has(row.id)) this.#rows.set(row.id, partsOf(this.#template));
    const parts = this.#rows.get(row.id);
    const there = this.#body.children[index] ?? null;
    if (there !== parts.element) this.#body.insertBefore(parts.element, there);
    const { depth, children, isFolded, bar, execution } = row;
    const shows = [execution.status, depth, children, isFolded, bar.from, bar.start, bar.to].join();
    if (shows === parts.shows) return;
    parts.shows = shows;
    fill(parts, row);
    this.#duration(parts, row, now);
  }

  #duration({ duration }, { bar }, now) {
    const isOpen = bar.to === null;
    const end = bar.to ?? now - this.#shown.from;
    if (bar.start === null) setText(duration, isOpen ? "–" : "never ran");
    else setText(duration, durationText(end - bar.start, isOpen));
  }

  /** Only where it is another one: every bar depends on it. */
  #drawAxis({ from, to, ticks }) {
    const axis = `${from}/${to}/${ticks}`;
    if (axis === this.#drawn) return;
    this.#drawn = axis;
    this.#element.style.setProperty("--span", to);
    this.#element.style.setProperty("--now", Math.max(0, this.#now - from));
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

/** A new row, and the places in it. */
function partsOf(template) {
  const element = template.content.firstElementChild.cloneNode(true);
  const find = (selector) => element.querySelector(selector);
  return {
    ...{ element, shows: "", fold: find(".gantt-fold"), icon: find("[data-icon]"), link: find("[data-name]") },
    ...{ id: find("[data-id-text]"), track: find(".gantt-track"), words: find("[data-words]") },
    duration: find("[data-duration]"),
  };
}

function fill({ element, fold, icon, link, id: idText, words, track }, { id, depth, execution, children, isFolded, bar }) {
  const { status, action_ref: ref } = execution;
  element.style.setProperty("--depth", depth);
  element.style.setProperty("--from", bar.from);
  element.style.setProperty("--start", bar.start ?? bar.to ?? "var(--now)");
  element.style.setProperty("--to", bar.to ?? "var(--now)");
  element.toggleAttribute("data-waits", bar.start === null);
  fold.classList.toggle("none", children === 0);
  fold.disabled = children === 0;
  fold.setAttribute("aria-expanded", String(!isFolded));
  fold.setAttribute("aria-label", `Children of ${id}`);
  setText(link, ref);
  link.title = `${ref} #${id}`;
  if (depth > 0) link.href = `/executions/${id}/`;
  setText(idText, `#${id}`);
  const told = toldOf(status, bar);
  setText(words, `Level ${depth + 1}, ${told}`);
  track.title = told;
  if (element.dataset.status === status) return;
  element.dataset.id = id;
  element.dataset.status = icon.dataset.status = status;
  icon.title = status;
  icon.replaceChildren(statusIcon(status));
}

/** A bar in words; of what goes on only the status, which is not said anew each second. */
function toldOf(status, { from, start, to }) {
  if (to === null) return status;
  const ran = start === null ? "never ran" : `ran ${durationText(to - start)}`;
  return `${status}, waited ${durationText((start ?? to) - from)}, ${ran}`;
}
