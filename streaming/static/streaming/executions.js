// The page of executions: a list by REST, then the stream from the list's position.

import { announce } from "./announce.js";
import * as api from "./api.js";
import { Badge } from "./badge.js";
import { Cancelling } from "./cancel.js";
import { Clock } from "./clock.js";
import { Connection } from "./connection.js";
import { FilterBar } from "./filterbar.js";
import { isMove, toQuery } from "./filters.js";
import { Holding } from "./holding.js";
import { List, MOST_ROWS } from "./list.js";
import { Starting } from "./start.js";
import { Table } from "./table.js";
import { throttled } from "./throttled.js";

const PAGE_SIZE = 100;
const RETRY_MS = 3000;
const COUNT_MS = 1000;

const element = (id) => document.getElementById(id);
const connection = new Connection();
const badge = new Badge(connection);
const clock = new Clock(connection);
const table = new Table({ body: element("rows"), template: element("row"), clock });
const bar = new FilterBar({ changed: () => load(), isLive: () => connection.isLive });
const countAnew = throttled(() => bar.count(), { leastMs: COUNT_MS });
const holding = new Holding(element("pause"), { apply, reload: () => load({ quietly: true }) });

let list = null;
let next = null; // the page below
let loading = null; // AbortController
let retry = null;

/** Lists anew; `quietly`: what is shown stays until the answer is there. */
async function load({ quietly = false } = {}) {
  loading?.abort();
  clearTimeout(retry);
  loading = new AbortController();
  const { filters, cursor } = bar;
  if (!quietly) showLoading();
  try {
    const page = await api.get(pathOf(filters, cursor), loading);
    show(page, filters, cursor);
  } catch (error) {
    if (error.name !== "AbortError") fail(error, quietly);
  }
}

function pathOf(filters, cursor) {
  const at = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
  return `executions?${[toQuery(filters), `page_size=${PAGE_SIZE}`].filter(Boolean).join("&")}${at}`;
}

function show({ body, cursor: position }, filters, cursor) {
  const isSame = list && toQuery(list.filters) === toQuery(filters) && list.isOlder === Boolean(cursor);
  const before = isSame ? [] : (list?.ids ?? []);
  if (!isSame) list = new List(filters, { isOlder: Boolean(cursor) });
  next = body.next;
  table.show(list);
  const changed = list.fill(body.results, { hasMore: next !== null });
  table.update([...before, ...changed], { quietly: true });
  holding.forget();
  connection.follow({ filters, cursor: position, members: list.ids });
  bar.count();
  element("failure").hidden = true;
  render();
}

function showLoading() {
  element("table").setAttribute("aria-busy", "true");
  element("loading").hidden = Boolean(list?.ids.length);
  element("empty").hidden = true;
}

function fail(error, quietly) {
  if (error.status === 401 || error.code === "not_authenticated") return location.assign(api.signInUrl());
  element("loading").hidden = true;
  element("table").setAttribute("aria-busy", "false");
  element("failure").hidden = false;
  element("failure").querySelector("[data-text]").textContent = `Cannot load the list: ${error.message}`;
  // What the server does not take now it will not take later.
  if (error.status === 0 || error.status >= 500 || error.status === 429) {
    retry = setTimeout(() => load({ quietly }), RETRY_MS);
  }
}

function apply(events) {
  const changed = new Set();
  for (const event of events) {
    bar.counts.apply(event);
    for (const id of list.apply(event)) changed.add(id);
  }
  if (events.some(isMove)) countAnew(); // what was before may not have been counted
  if (changed.size === 0) return;
  if (list.ids.length === MOST_ROWS && list.hasMore) next = null; // the page below is another now
  table.update(changed);
  render();
}

function render() {
  bar.render();
  element("table").setAttribute("aria-busy", "false");
  element("loading").hidden = true;
  element("older-page").hidden = !list.isOlder;
  element("more").hidden = !list.hasMore;
  const isEmpty = list.ids.length === 0;
  element("empty").hidden = !isEmpty;
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
  try {
    if (list.ids.length >= MOST_ROWS) return location.assign(await olderPage());
    const { body } = await api.get(next);
    next = body.next;
    table.update(list.append(body.results, { hasMore: next !== null }), { quietly: true });
    announce(`${body.results.length} older executions shown`);
    render();
  } catch (error) {
    fail(error, true);
  } finally {
    button.disabled = false;
  }
}

/** The address of the page that begins below the last row. */
async function olderPage() {
  const last = list.ids.at(-1);
  let below = next;
  for (let path = `executions?${toQuery(list.filters)}&page_size=500`; below === null && path; ) {
    const { body } = await api.get(path);
    const reaches = body.results.length > 0 && body.results.at(-1).id <= last;
    if (reaches || body.next === null) below = body.next ?? path;
    path = body.next;
  }
  const cursor = new URL(below, location.href).searchParams.get("cursor");
  return `?${[toQuery(list.filters), `cursor=${encodeURIComponent(cursor ?? "")}`].filter(Boolean).join("&")}`;
}

connection.addEventListener("events", ({ detail: events }) => {
  if (list === null) return;
  holding.take(events);
  badge.hold(holding);
});
connection.addEventListener("reset", () => holding.reset());
element("pause").addEventListener("click", () => {
  holding.toggle();
  badge.hold(holding);
});
element("more").addEventListener("click", showOlder);
element("failure").querySelector("[data-retry]").addEventListener("click", () => load());
addEventListener("popstate", () => {
  bar.read();
  load();
});
new Starting(element("start-dialog"), element("start"));
new Cancelling(element("cancel-dialog"), element("rows"), (id) => list.get(id));
load();
