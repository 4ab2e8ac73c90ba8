// The page of one execution: itself, its tree and its history by REST, then the stream.

import { announce } from "./announce.js";
import * as api from "./api.js";
import { Badge } from "./badge.js";
import { Cancelling } from "./cancel.js";
import { Clock } from "./clock.js";
import { Connection } from "./connection.js";
import { setBusy } from "./dom.js";
import { EventList } from "./eventlist.js";
import { Facts } from "./facts.js";
import { Failure } from "./failure.js";
import { GanttView } from "./ganttview.js";
import { fetchAncestors, fetchExecution, fetchRun } from "./fetchrun.js";
import { JsonView } from "./jsontree.js";
import { paced } from "./paced.js";
import { Run } from "./run.js";
import { serverTime } from "./skew.js";
import { Timeline } from "./timeline.js";

const TICK_MS = 250;
const REFETCH_MS = 500; // at most so often, where an event does not have it all
const AGAIN_MS = 3000; // where that failed

const element = (id) => document.getElementById(id);
const page = element("execution");
const run = new Run(Number(page.dataset.id));

const connection = new Connection();
new Badge(connection);
const clock = new Clock(connection);
const facts = new Facts(clock);
const timeline = new Timeline({ bar: element("phases"), steps: element("steps"), note: element("timeline-note") });
const gantt = new GanttView({
  ...{ element: element("gantt"), axis: element("gantt-axis"), lines: element("gantt-lines") },
  ...{ body: element("gantt-rows"), template: element("gantt-row") },
});
const config = new JsonView(element("config"), { none: "No config." });
const result = new JsonView(element("result"), { none: "No result." });
const list = new EventList(run.id, {
  ...{ list: element("events"), more: element("events-more"), count: element("events-count") },
});
new Cancelling(element("cancel-dialog"), page, () => run.execution);

const failure = new Failure();
let loading = null; // AbortController
let isLoaded = false;
let refetch = null;
let arrived = []; // {seq, timestamp} of events that are not on the screen yet

/** Fetches all anew; what is shown stays until the answer is there. */
async function load() {
  loading?.abort();
  failure.wait();
  const { signal } = (loading = new AbortController());
  try {
    const found = await fetchRun(run.id, { signal });
    run.fill(found);
    isLoaded = true;
    arrived = [];
    failure.clear();
    setBusy(page, false);
    connection.follow({ filters: { root: [run.id] }, cursor: found.cursor, members: run.members });
    drawAll();
    facts.showAncestors(await fetchAncestors(run.execution.parent, { signal }));
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  }
}

function fail(error) {
  const isGone = error.status === 404;
  if (isGone) error.message = "it is gone, or you may not see it any more.";
  const isPassing = failure.show("Cannot load this execution", error, load);
  page.toggleAttribute("data-empty", !isPassing && !isLoaded);
}

function apply(events) {
  const before = run.execution.status;
  let isOwn = false;
  for (const event of events) {
    const { own, stale } = run.apply(event);
    // In a hidden tab nothing gets to the screen, so there is no delay to tell.
    if (own && !document.hidden) arrived.push({ seq: event.seq, timestamp: event.timestamp });
    isOwn ||= own;
    if (stale) refetch ??= setTimeout(fetchAgain, REFETCH_MS);
  }
  if (run.execution.status !== before) announce(`Execution ${run.id} is ${run.execution.status}`);
  if (isOwn) drawOwn();
  drawTree();
}

async function fetchAgain() {
  refetch = null;
  try {
    run.refill((await fetchExecution(run.id)).body);
    drawOwn();
  } catch (error) {
    if (error.status === 404) return; // an event has told, or will
    refetch ??= setTimeout(fetchAgain, AGAIN_MS);
  }
}

const drawOwn = paced(() => {
  facts.show(run, clock.now);
  timeline.show(run, clock.now);
  list.show(run);
  drawData();
  // What was drawn now is on the screen when the next frame begins.
  const drawn = arrived;
  arrived = [];
  requestAnimationFrame(() => list.painted(drawn, serverTime(Date.now())));
});

const drawData = paced(() => {
  config.show(run.execution.config);
  result.show(run.execution.result, { none: run.execution.finished ? "No result." : "No result yet." });
});

const drawTree = paced(() => {
  const left = gantt.show(run, clock.now);
  const below = run.tree.size - (run.tree.has(run.id) ? 1 : 0);
  element("gantt").hidden = below === 0;
  element("tree-count").textContent = below > 0 ? below.toLocaleString("en") : "";
  const isAll = left === 0 && !run.isTreeCut;
  element("tree-note").hidden = below > 0 && isAll;
  const more = "There are more; open an execution of the tree to see what is below it.";
  const none = run.execution.finished ? "None." : "None yet: who names this one as parent appears here by itself.";
  element("tree-note").textContent = below > 0 ? more : none;
});

function drawAll() {
  drawOwn();
  drawTree();
}

function tick() {
  if (!isLoaded || document.hidden) return;
  facts.tick(run, timeline.phases, clock.now);
  timeline.tick(clock.now);
  gantt.tick(clock.now);
}

connection.addEventListener("events", ({ detail: events }) => isLoaded && apply(events));
connection.addEventListener("reset", load);
connection.addEventListener("state", tick);
setInterval(tick, TICK_MS);
load();
