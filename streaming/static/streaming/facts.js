// The head of an execution's page: where it belongs, its status and the figures.

import { durationText } from "./clock.js";
import { make, setText } from "./dom.js";
import { waitingOf } from "./phases.js";
import { showStatus, TERMINAL } from "./status.js";

const element = (id) => document.getElementById(id);

export class Facts {
  #clock;
  #title = document.title;

  constructor(clock) {
    this.#clock = clock;
  }

  show({ execution, isDeleted }) {
    const { id, status, created, started, finished, executor, result } = execution;
    const isOver = TERMINAL.has(status) || isDeleted;
    showStatus(element("status"), status);
    document.title = `${isDeleted ? "deleted" : status} ${this.#title}`;
    this.#time("created", created);
    this.#time("started", started);
    this.#time("finished", finished);
    this.#clock.duration(fact("duration"), started, finished, !isOver);
    setText(fact("executor"), byText(executor));
    const cancel = element("cancel");
    cancel.hidden = isOver || status === "canceling";
    cancel.setAttribute("aria-label", `Cancel execution ${id}`);
    const problem = problemText(status, result, isDeleted);
    element("error").hidden = problem === "";
    setText(element("error"), problem);
  }

  tick({ isDeleted }, phases, now) {
    if (phases.length === 0) return;
    const isCoarse = !isDeleted && phases.at(-1).to === null && !phases.some(({ status }) => HAS_RUN.has(status));
    setText(fact("waited"), durationText(waitingOf(phases, now), isCoarse));
  }

  /** The oldest first; one that cannot be seen has no `action_ref`. */
  showAncestors(ancestors) {
    const crumbs = element("crumbs");
    while (crumbs.childElementCount > 1) crumbs.lastElementChild.remove();
    if (ancestors[0]?.parent) crumbs.append(make("li", "muted", "…")); // there are more
    for (const { id, action_ref: ref } of ancestors) {
      const link = make(ref ? "a" : "span", ref ? "" : "muted", ref ? `${ref} #${id}` : `#${id}`);
      if (ref) link.href = `/executions/${id}/`;
      crumbs.append(make("li", "", link));
    }
  }

  #time(name, iso) {
    const time = fact(name);
    if (iso) return this.#clock.ago(time, iso);
    delete time.dataset.ago;
    time.removeAttribute("title");
    return setText(time, "–");
  }
}

const MOST_PROBLEM = 1000; // characters; the result has them all
const HAS_RUN = new Set(["running", "canceling", ...TERMINAL]);

function fact(name) {
  return document.querySelector(`[data-fact="${name}"]`);
}

function byText(executor) {
  if (executor === null) return "–";
  return String(executor) === document.body.dataset.user ? "you" : `user ${executor}`;
}

/** What went wrong, where the result says so in words. */
function problemText(status, result, isDeleted) {
  if (isDeleted) return "This execution was deleted. What is shown is the last that was known.";
  if (!TERMINAL.has(status) || status === "completed" || result === null) return "";
  const { error, exit_code: code, signal } = result;
  if (typeof error === "string") return error.length > MOST_PROBLEM ? `${error.slice(0, MOST_PROBLEM)}…` : error;
  if (typeof signal === "string") return `Ended by ${signal}.`; // as manage.py track has it
  return typeof code === "number" ? `Ended with exit code ${code}.` : "";
}
