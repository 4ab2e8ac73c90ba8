// The tree of executions as bars that grow.

import { durationText } from "./clock.js";
import { make, setText } from "./dom.js";
import { layout, tickText } from "./gantt.js";
import { inSteps } from "./paced.js";
import { statusIcon } from "./status.js";

export const MOST_ROWS = 1000;
const MOST_A_FRAME = 25; // new or changed rows; far below a long task (50 ms)
const MOST_GONE_A_FRAME = 100;
const NEAR = "200px"; // above and below the window

export class GanttView {
  #element;
  #axis;
  #lines;
  #body;
  #template;
  #rows = new Map(); // id → the parts of a row
  #partsOf = new WeakMap(); // the same, by its element
  #inView = new Set();
  #observer = new IntersectionObserver((entries) => this.#look(entries), { rootMargin: NEAR });
  #gone = []; // ids of rows that are still there
  #placed = 0; // rows, from the first on
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
    this.#drawNow();
    for (const parts of this.#inView) if (parts.row.bar.to === null) this.#drawBar(parts);
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
    this.#gone = [...this.#rows.keys()].filter((id) => !ids.has(id));
    this.#placed = 0;
    this.#placeSome();
  }

  #remove(id) {
    const parts = this.#rows.get(id);
    this.#observer.unobserve(parts.element);
    this.#inView.delete(parts);
    this.#rows.delete(id);
    parts.element.remove();
  }

  /** A thousand rows that come or go at once would be a long task. */
  #placeSome = inSteps(() => {
    const { rows } = this.#shown;
    let left = MOST_A_FRAME;
    for (const id of this.#gone.splice(0, MOST_GONE_A_FRAME)) this.#remove(id);
    for (; this.#gone.length === 0 && left > 0 && this.#placed < rows.length; this.#placed += 1) {
      if (this.#place(rows[this.#placed], this.#placed)) left -= 1;
    }
    return this.#placed < rows.length;
  });

  /** Touches only what is not yet as it should be; returns whether that was anything. */
  #place(row, index) {
    const isNew = !this.#rows.has(row.id);
    if (isNew) this.#rows.set(row.id, this.#create());
    const parts = this.#rows.get(row.id);
    const there = this.#body.children[index] ?? null;
    if (there !== parts.element) this.#body.insertBefore(parts.element, there);
    parts.row = row;
    const { depth, children, isFolded, bar, execution } = row;
    const shows = [execution.status, depth, children, isFolded, bar.from, bar.start, bar.to].join();
    if (shows === parts.shows) return false;
    parts.shows = shows;
    fill(parts, row);
    if (this.#inView.has(parts)) this.#drawBar(parts);
    return true;
  }

  #create() {
    const parts = partsOf(this.#template);
    this.#partsOf.set(parts.element, parts);
    this.#observer.observe(parts.element);
    return parts;
  }

  /** Bars grow and the axis changes all the time: only for those in view is it worth the work. */
  #look(entries) {
    for (const { target, isIntersecting } of entries) {
      const parts = this.#partsOf.get(target);
      if (!isIntersecting) this.#inView.delete(parts);
      else if (target.isConnected) this.#drawBar(this.#inView.add(parts) && parts);
    }
  }

  #drawBar({ row: { bar }, wait, run, duration }) {
    const { from, to } = this.#shown;
    const now = Math.max(0, this.#now - from);
    const end = bar.to ?? now;
    const start = bar.start ?? end;
    const share = (ms) => `${(100 * ms) / to}%`;
    Object.assign(wait.style, { left: share(bar.from), width: share(start - bar.from) });
    Object.assign(run.style, { left: `min(${share(start)}, 100% - 2px)`, width: share(end - start) });
    const isOpen = bar.to === null;
    duration.toggleAttribute("data-going", isOpen);
    if (bar.start === null) setText(duration, isOpen ? "–" : "never ran");
    else setText(duration, durationText(end - bar.start, isOpen));
  }

  #drawNow() {
    const { from, to } = this.#shown;
    this.#lines.style.setProperty("--now", `${(100 * Math.max(0, this.#now - from)) / to}%`);
  }

  /** Only where it is another one. */
  #drawAxis({ from, to, ticks }) {
    this.#drawNow();
    const axis = `${from}/${to}/${ticks}`;
    if (axis === this.#drawn) return;
    this.#drawn = axis;
    const at = (element, ms) => {
      element.style.left = `${(ms / to) * 100}%`;
      return element;
    };
    for (const old of this.#axis.querySelectorAll(".tick")) old.remove();
    this.#axis.append(...ticks.map((ms) => at(make("span", "tick", tickText(ms)), ms)));
    this.#lines.replaceChildren(...ticks.map((ms) => at(make("i", ""), ms)));
    for (const parts of this.#inView) this.#drawBar(parts);
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
    ...{ duration: find("[data-duration]"), wait: find(".bar-wait"), run: find(".bar-run"), row: null },
  };
}

function fill({ element, fold, icon, link, id: idText, words, track }, { id, depth, execution, children, isFolded, bar }) {
  const { status, action_ref: ref } = execution;
  element.style.setProperty("--depth", depth);
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
