// The page of executions: a list by REST, then the stream from the list's position.

import { announce } from "./announce.js";
import * as api from "./api.js";
import { Badge } from "./badge.js";
import { Cancelling } from "./cancel.js";
import { Clock } from "./clock.js";
import { Connection } from "./connection.js";
import { Failure } from "./failure.js";
import { setBusy } from "./dom.js";
import { FilterBar } from "./filterbar.js";
import { isMove, toQuery } from "./filters.js";
import { Holding } from "./holding.js";
import { List, MOST_ROWS } from "./list.js";
import { Starting } from "./start.js";
import { Table } from "./table.js";
import { throttled } from "./throttled.js";

const PAGE_SIZE = 100;
const COUNT_MS = 1000;

const element = (id) => document.getElementById(id);
const connection = new Connection();
const badge = new Badge(connection);
const clock = new Clock(connection);
const table = new Table({ body: element("rows"), template: element("row"), clock });
const bar = new FilterBar({ changed: () => load(), isLive: () => connection.isLive });
const countAnew = throttled(() => bar.count(), { leastMs: COUNT_MS });
const failure = new Failure();
const holding = new Holding(element("pause"), { apply, reload: () => load({ quietly: true }) });

let list = null;
let isOther = true; // than the list that was asked for
let next = null; // the page below
let loading = null; // AbortController
let older = null; // the same, of the page below
let meanwhile = []; // events while it is on its way, which the rows of that page may be older than
let isLost = false; // what is shown is of a log that is no more: a newer version says nothing

/** Lists anew; `quietly`: what is shown stays until the answer is there. */
async function load({ quietly = false } = {}) {
  loading?.abort();
  older?.abort();
  failure.wait();
  loading = new AbortController();
  const { filters, cursor } = bar;
  if (!quietly) showLoading();
  try {
    const page = await api.get(pathOf(filters, cursor), loading);
    show(page, filters, cursor);
  } catch (error) {
    if (error.name !== "AbortError") fail(error, filters, { quietly });
  }
}

function pathOf(filters, cursor) {
  const at = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
  return `executions?${[toQuery(filters), `page_size=${PAGE_SIZE}`].filter(Boolean).join("&")}${at}`;
}

function show({ body, cursor: position }, filters, cursor) {
  next = body.next;
  fill(body.results, filters, { isOlder: Boolean(cursor) });
  holding.forget();
  connection.follow({ filters, cursor: position, members: list.ids });
  bar.count();
  failure.clear();
  render();
}

function fill(rows, filters, { isOlder }) {
  const isSame = list && !isLost && toQuery(list.filters) === toQuery(filters) && list.isOlder === isOlder;
  const before = isSame ? [] : (list?.ids ?? []);
  if (!isSame) list = new List(filters, { isOlder });
  isLost = false;
  isOther = false;
  table.show(list);
  const changed = list.fill(rows, { hasMore: next !== null });
  table.update([...before, ...changed], { quietly: true });
}

/** What stands below the head of the table: "rows", "loading", "empty" or "nothing". */
function showBelow(what) {
  element("table").dataset.shows = what;
  for (const id of ["loading", "empty"]) element(id).hidden = id !== what;
}

function showLoading() {
  isOther = true;
  setBusy(element("table"), true);
  showBelow(list?.ids.length ? "rows" : failure.isShown ? "nothing" : "loading");
}

function fail(error, filters, { quietly }) {
  const isPassing = failure.show("Cannot load the list", error, () => load({ quietly }));
  if (!quietly) showLoading();
  if (isPassing) return;
  next = null;
  fill([], filters, { isOlder: false });
  render();
  showBelow("nothing");
}

function apply(events) {
  const changed = new Set();
  for (const event of events) {
    bar.counts.apply(event);
    if (older) meanwhile.push(event);
    for (const id of list.apply(event)) changed.add(id);
  }
  if (events.some(isMove)) countAnew(); // what was before may not have been counted
  if (changed.size === 0) return;
  if (list.ids.length >= MOST_ROWS && list.hasMore) next = null; // the page below is another now
  table.update(changed);
  if (!isOther) render();
}

function render() {
  bar.render();
  setBusy(element("table"), false);
  element("older-page").hidden = !list.isOlder;
  element("more").hidden = !list.hasMore;
  const isEmpty = list.ids.length === 0;
  showBelow(isEmpty ? "empty" : "rows");
  if (!isEmpty) return;
  const isFiltered = toQuery(list.filters) !== "";
  element("empty").querySelector("[data-title]").textContent = isFiltered
    ? "Nothing matches these filters"
    : "No executions yet";
  element("empty").querySelector("[data-text]").textContent = isFiltered
    ? "Executions that come to match appear here by themselves."
    : "Start an action, or insert a row into attune.execution: it appears here by itself.";
}

/** Appends the page below; past MOST_ROWS a page of its own begins. */
async function showOlder() {
  const button = element("more");
  button.disabled = true;
  meanwhile = [];
  older = new AbortController();
  try {
    if (next === null || list.ids.length >= MOST_ROWS) return location.assign(await olderPage());
    const { body } = await api.get(next, older);
    failure.clear();
    next = body.next;
    const changed = list.append(body.results, { hasMore: next !== null });
    for (const event of meanwhile) changed.push(...list.apply(event));
    table.update(changed, { quietly: true });
    announce(`${body.results.length} older executions shown`);
    render();
  } catch (error) {
    if (error.name !== "AbortError") failure.show("Cannot load older ones", error, showOlder);
  } finally {
    older = null;
    button.disabled = false;
  }
}

/** The address of the page that begins below the last row. */
async function olderPage() {
  const last = list.ids.at(-1);
  let below = next;
  for (let path = `executions?${toQuery(list.filters)}&page_size=500`; below === null && path; ) {
    const { body } = await api.get(path, older);
    const above = body.results.filter((row) => row.id >= last).length;
    // Of the page that goes on below the last row, only what is above: it ends there.
    if (above === 0) below = path;
    else if (above < body.results.length) path = path.replace(/page_size=\d+/, `page_size=${above}`);
    else if (body.results.at(-1).id === last) below = body.next ?? path;
    else path = body.next;
  }
  const cursor = new URL(below, location.href).searchParams.get("cursor");
  return `?${[toQuery(list.filters), `cursor=${encodeURIComponent(cursor ?? "")}`].filter(Boolean).join("&")}`;
}

connection.addEventListener("events", ({ detail: events }) => {
  if (list === null) return;
  holding.take(events);
  badge.hold(holding);
});
connection.addEventListener("reset", ({ detail: { reason } }) => {
  isLost ||= reason !== "moved";
  holding.reset();
});
element("pause").addEventListener("click", () => {
  holding.toggle();
  clock.hold(holding.paused);
  badge.hold(holding);
});
element("more").addEventListener("click", showOlder);
addEventListener("popstate", () => {
  bar.read();
  load();
});
new Starting(element("start-dialog"), element("start"));
new Cancelling(element("cancel-dialog"), element("rows"), (id) => list.get(id));
load();
