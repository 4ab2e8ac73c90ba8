// The history of an execution, newest first: when, what, how long after, how late on the screen.

import * as api from "./api.js";
import { durationText, exact } from "./clock.js";
import { make, setText } from "./dom.js";
import { parse } from "./json.js";
import { JsonView } from "./jsontree.js";
import { inSteps } from "./paced.js";
import { showStatus } from "./status.js";

const FIRST = 50; // rows shown unasked
const PIECE = 500;
const MOST_A_FRAME = 25; // new rows; far below a long task (50 ms)
const MOST_DELAYS = 5000; // kept

export class EventList {
  #id;
  #list;
  #more;
  #count;
  #rows = new Map(); // seq → element
  #most = FIRST;
  #run = null;
  #shown = []; // events, newest first
  #oldest = null; // the event before the last of these
  #placed = 0; // of these
  #delays = new Map(); // seq → milliseconds from the change to the screen

  constructor(id, { list, more, count }) {
    this.#id = id;
    this.#list = list;
    this.#more = more;
    this.#count = count;
    more.addEventListener("click", () => {
      this.#most += PIECE;
      this.show(this.#run);
    });
  }

  show(run) {
    this.#run = run;
    const { events } = run;
    const shown = events.slice(-this.#most).reverse();
    const seqs = new Set(shown.map(({ seq }) => seq));
    for (const [seq, row] of this.#rows) {
      if (seqs.has(seq)) continue;
      row.remove();
      this.#rows.delete(seq);
    }
    this.#shown = shown;
    this.#oldest = events.at(-1 - shown.length);
    this.#placed = 0;
    this.#placeSome();
    const left = events.length - shown.length;
    this.#more.hidden = left === 0;
    setText(this.#more, `Show older (${left.toLocaleString("en")} left)`);
    setText(this.#count, `${events.length.toLocaleString("en")}${run.isCut ? "+" : ""}`);
  }

  /** These are on the screen at `now`, by the server's clock as far as it is known. */
  painted(events, now) {
    for (const { seq, timestamp } of events) {
      const row = this.#rows.get(seq);
      if (!row || this.#delays.has(seq)) continue;
      const delay = now - Date.parse(timestamp);
      this.#delays.set(seq, delay);
      if (this.#delays.size > MOST_DELAYS) this.#delays.delete(this.#delays.keys().next().value);
      setText(row.querySelector(".event-delay"), delayText(delay));
    }
  }

  #placeSome = inSteps(() => {
    const shown = this.#shown;
    for (let left = MOST_A_FRAME; left > 0 && this.#placed < shown.length; this.#placed += 1) {
      if (this.#place(shown[this.#placed], shown[this.#placed + 1] ?? this.#oldest, this.#placed)) left -= 1;
    }
    return this.#placed < shown.length;
  });

  /** Returns whether it is new. */
  #place(event, before, index) {
    const isNew = !this.#rows.has(event.seq);
    if (isNew) this.#rows.set(event.seq, this.#create(event, before));
    const row = this.#rows.get(event.seq);
    const there = this.#list.children[index] ?? null;
    if (there !== row) this.#list.insertBefore(row, there);
    return isNew;
  }

  #create({ seq, version, op, old_status: old, timestamp, data, truncated }, before) {
    const change = make("span", "event-change");
    const isStep = op === "UPDATE" && old !== data.status;
    if (isStep) change.append(showStatus(make("span"), old), make("span", "muted", "→"));
    if (op === "DELETE") change.append("deleted");
    else change.append(showStatus(make("span"), data.status));
    if (op === "UPDATE" && !isStep) change.append(make("span", "muted", "update"));
    if (truncated) change.append(make("span", "muted", "large result"));
    const time = make("time", "number", exact(timestamp));
    time.dateTime = timestamp;
    const passed = before ? Date.parse(timestamp) - Date.parse(before.timestamp) : null;
    const delay = this.#delays.has(seq) ? delayText(this.#delays.get(seq)) : "–";
    const summary = make(
      ...["summary", "event"],
      make("span", "number", `v${version}`),
      change,
      time,
      make("span", "number end event-since", passed === null ? "" : `+${durationText(passed)}`),
      make("span", "number end event-delay", delay),
    );
    const details = make("details", "", summary);
    details.addEventListener("toggle", () => details.open && this.#open(details, seq), { once: true });
    return make("li", "", details);
  }

  /** The whole event, from the log: the page keeps none of its results. */
  async #open(details, seq) {
    const body = make("div", "json");
    body.dataset.json = "";
    const copy = make("button", "button quiet small", "Copy");
    copy.type = "button";
    copy.dataset.copy = "";
    const box = make("div", "event-body", copy, body);
    details.append(box);
    const view = new JsonView(box, { none: "The log no longer has it." });
    try {
      const path = `executions/${this.#id}/events?after=${seq - 1}&page_size=1`;
      const found = (await api.get(path, { parse })).body.results[0];
      view.show(found?.seq === seq ? found : null);
    } catch (error) {
      view.show(null, { none: error.message });
    }
  }
}

/** Two clocks are compared: what seems to come before it happened says only that they differ. */
function delayText(ms) {
  return ms < 0 ? "clocks differ" : durationText(ms);
}
