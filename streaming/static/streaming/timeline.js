// The phases of an execution on the page: a bar in proportion, and each phase with its duration.

import { durationText, exact } from "./clock.js";
import { make, setText } from "./dom.js";
import { lengthOf, phasesOf } from "./phases.js";
import { showStatus } from "./status.js";

const MOST_MARKS = 100; // on the bar; more would be a smear
const MOST_STEPS = 200; // phases shown

export class Timeline {
  #bar;
  #steps;
  #note;
  #phases = [];

  constructor({ bar, steps, note }) {
    this.#bar = bar;
    this.#steps = steps;
    this.#note = note;
  }

  get phases() {
    return this.#phases;
  }

  show(run, now) {
    this.#phases = phasesOf(run.events, run.execution.created);
    const shown = this.#phases.slice(-MOST_STEPS);
    this.#sync(this.#bar, shown, newSegment, fillSegment);
    this.#sync(this.#steps, shown, newStep, fillStep);
    this.#explain(run, shown);
    this.tick(now);
  }

  /** What goes on grows until `now`. */
  tick(now) {
    const last = this.#phases.at(-1);
    if (!last || last.isOver) return;
    const length = lengthOf(last, now);
    this.#bar.lastElementChild.style.flexGrow = Math.max(1, length);
    setText(this.#steps.lastElementChild.querySelector(".step-time"), durationText(length, true));
  }

  #sync(parent, phases, create, fill) {
    while (parent.childElementCount > phases.length) parent.lastElementChild.remove();
    phases.forEach((phase, index) => {
      const element = parent.children[index] ?? parent.appendChild(create());
      fill(element, phase, phase === this.#phases.at(-1));
    });
  }

  #explain(run, shown) {
    const notes = [];
    if (this.#phases.length === 0) notes.push("No history: the log no longer has it.");
    else if (this.#phases[0].isGuess) notes.push("The log no longer has the beginning.");
    if (run.isCut) notes.push("The history is too long to show all of it; some of the middle is missing.");
    if (shown.length < this.#phases.length) notes.push(`Only the last ${MOST_STEPS} phases are shown.`);
    this.#note.hidden = notes.length === 0;
    setText(this.#note, notes.join(" "));
  }
}

function newSegment() {
  return make("span", "phase");
}

function fillSegment(element, phase) {
  const { status, from, to, marks, isOver } = phase;
  element.dataset.status = status;
  element.classList.toggle("over", isOver); // has no length, but a colour
  if (to === null) return fillMarks(element, []);
  element.style.flexGrow = Math.max(1, to - from);
  return fillMarks(element, marks.slice(-MOST_MARKS).map((at) => (at - from) / Math.max(1, to - from)));
}

function fillMarks(element, shares) {
  if (element.childElementCount === shares.length) return;
  element.replaceChildren(
    ...shares.map((share) => {
      const mark = make("i", "phase-mark");
      mark.style.left = `${share * 100}%`;
      return mark;
    }),
  );
}

function newStep() {
  return make("li", "step", make("span", "status"), make("span", "step-time number"), make("time", "step-at"), make("span", "step-more"));
}

function fillStep(element, phase, isLast) {
  const [pill, time, at, more] = element.children;
  const { status, from, marks, isOver, isGuess } = phase;
  showStatus(pill, status);
  element.toggleAttribute("data-going", isLast && !isOver);
  time.hidden = isOver;
  if (!isLast) setText(time, `${isGuess ? "up to " : ""}${durationText(lengthOf(phase, 0))}`);
  at.dateTime = new Date(from).toISOString();
  at.title = exact(from);
  setText(at, exact(from).slice(11));
  more.hidden = marks.length === 0;
  setText(more, `${marks.length} update${marks.length === 1 ? "" : "s"}`);
}
