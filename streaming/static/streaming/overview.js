// The overview: figures by REST, fetched anew when the stream tells that something changed.

import * as api from "./api.js";
import { Badge } from "./badge.js";
import { Chart } from "./chart.js";
import { Clock, durationText, exact } from "./clock.js";
import { Connection } from "./connection.js";
import { make, setBusy, setText } from "./dom.js";
import { Failure } from "./failure.js";
import { showStatus, STATUSES, TERMINAL } from "./status.js";
import { countText, figures, series, shareText } from "./summary.js";
import { throttled } from "./throttled.js";

const LEAST_MS = 2000; // between two refreshes
const IDLE_MS = 15_000; // without events: minutes pass all the same
const DEFAULT_MINUTES = 60;

const element = (id) => document.getElementById(id);
const connection = new Connection();
new Badge(connection);
new Clock(connection); // marks the page when what it shows is old
const chart = (name, options) => new Chart(document.querySelector(`[data-chart="${name}"]`), options);
const charts = {
  open: chart("open", { hue: "--running", bars: false, text: (n) => `${countText(n)} open` }),
  rate: chart("rate", { hue: "--accent", bars: true, text: (n) => `${countText(n)} created` }),
  failures: chart("failures", { hue: "--failed", bars: true, text: (n) => `${countText(n)} failed` }),
};

let minutes = readMinutes();
let isFollowing = false;
let shownAt = 0;
let loading = null;
const failure = new Failure();

async function load() {
  if (document.hidden && isFollowing) return;
  loading?.abort();
  failure.wait();
  loading = new AbortController();
  try {
    const { body, cursor } = await api.get(`executions/stats?minutes=${minutes}`, loading);
    show(body);
    if (!isFollowing) connection.follow({ filters: {}, cursor });
    isFollowing = true;
  } catch (error) {
    if (error.name !== "AbortError") failure.show("Cannot load the figures", error, load);
  }
}

const refresh = throttled(load, { leastMs: LEAST_MS });

function show(stats) {
  shownAt = Date.now();
  failure.clear();
  setBusy(element("overview"), false);
  setText(element("as-of"), `as of ${exact(stats.until).slice(11, 19)}`);
  showFigures(figures(stats), stats);
  showCharts(series(stats, { terminal: TERMINAL }));
  showStatuses(stats.by_status);
  showActions(stats.by_action);
}

function showFigures(told, { durations, per_minute: perMinute }) {
  const { running, waiting, canceling, rate, created, ended, failed, failureRate } = told;
  const last = perMinute.at(-2)?.created ?? 0;
  const cancel = canceling > 0 ? `, ${countText(canceling)} canceling` : "";
  figure("running", countText(running), `${countText(waiting)} waiting${cancel}`);
  figure("rate", countText(rate), `${countText(created)} in all, ${countText(last)} in the last full minute`);
  figure("failures", shareText(failureRate), ended ? `${countText(failed)} of ${countText(ended)} that ended` : "nothing ended");
  const { count, p50 } = durations;
  figure("durations", secondsText(p50), count ? `median of ${countText(count)} that ran` : "nothing ended");
  showPercentiles(durations);
}

function figure(name, text, aside) {
  setText(document.querySelector(`[data-figure="${name}"]`), text);
  setText(document.querySelector(`[data-aside="${name}"]`), aside);
}

function showPercentiles(durations) {
  const names = ["p50", "p90", "p95", "p99", "max"];
  const list = element("percentiles");
  if (list.childElementCount === 0) {
    list.append(...names.map((name) => make("div", "", make("dt", "", name), make("dd", "meter", make("i", "")), make("dd", "number end"))));
  }
  names.forEach((name, index) => {
    const [, meter, text] = list.children[index].children;
    meter.firstElementChild.style.width = `${durations.max > 0 ? (durations[name] / durations.max) * 100 : 0}%`;
    setText(text, secondsText(durations[name]));
  });
}

function showCharts({ at, open, created, failed, minutesEach }) {
  const each = minutesEach === 1 ? "each minute" : `each ${minutesEach} minutes`;
  const show = (name, values, caption) => {
    const peak = `at most ${countText(Math.max(0, ...values))}, now ${countText(values.at(-1) ?? 0)}`;
    charts[name].show(at, values, { caption, label: `${caption}: ${peak}` });
  };
  show("open", open, "Open: waiting and running");
  show("rate", created, `Created ${each}`);
  show("failures", failed, `Failed ${each}`);
}

function showStatuses(counts) {
  const list = element("statuses");
  if (list.childElementCount === 0) {
    for (const status of STATUSES) {
      const link = make("a", "", showStatus(make("span"), status), make("span", "number"));
      link.href = `/?status=${status}`;
      link.title = TERMINAL.has(status) ? "ended within the window" : "now";
      list.append(make("li", "", link));
    }
  }
  STATUSES.forEach((status, index) => {
    const item = list.children[index];
    item.classList.toggle("none", !counts[status]);
    setText(item.querySelector(".number"), countText(counts[status] ?? 0));
  });
}

function showActions(actions) {
  const body = element("actions");
  while (body.childElementCount > actions.length) body.lastElementChild.remove();
  actions.forEach((action, index) => fillAction(body.children[index] ?? body.appendChild(newAction()), action));
  element("actions-note").hidden = actions.length > 0 && actions.length < 50;
  setText(element("actions-note"), actions.length ? "The 50 with the most to tell." : "Nothing ran in this time.");
}

function newAction() {
  const name = make("th", "", make("a", "mono"));
  name.scope = "row";
  const failed = make("td", "failed", make("span", "meter", make("i", "")), make("span", "number"));
  const number = () => make("td", "number end");
  return make("tr", "", name, number(), number(), number(), failed, number(), number());
}

function fillAction(row, { action_ref: ref, active, created, finished, failed, p50, p95 }) {
  const [name, open, made, ended, bad, median, high] = row.children;
  const link = name.firstElementChild;
  if (link.textContent !== ref) link.replaceChildren(...ref.split(/(?<=[._])/).flatMap((part) => [make("wbr"), part]));
  link.href = `/?action_ref=${encodeURIComponent(ref)}`;
  const share = finished > 0 ? failed / finished : null;
  const [meter, text] = bad.children;
  meter.firstElementChild.style.width = `${(share ?? 0) * 100}%`;
  setText(text, failed > 0 ? `${countText(failed)} · ${shareText(share)}` : finished > 0 ? "0" : "–");
  const cells = [[open, countText(active)], [made, countText(created)], [ended, countText(finished)]];
  for (const [cell, value] of [...cells, [median, secondsText(p50)], [high, secondsText(p95)]]) setText(cell, value);
}

function secondsText(seconds) {
  return seconds === null ? "–" : durationText(seconds * 1000);
}

function readMinutes() {
  const asked = Number(new URLSearchParams(location.search).get("minutes"));
  const offered = [...element("windows").children].map((button) => Number(button.dataset.minutes));
  return offered.includes(asked) ? asked : DEFAULT_MINUTES;
}

function showWindow() {
  for (const button of element("windows").children) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.minutes) === minutes));
  }
}

element("windows").addEventListener("click", ({ target }) => {
  const { minutes: chosen } = target.dataset;
  if (!chosen) return;
  minutes = Number(chosen);
  history.replaceState(null, "", minutes === DEFAULT_MINUTES ? location.pathname : `?minutes=${minutes}`);
  showWindow();
  setBusy(element("overview"), true); // these are the figures of another window
  load();
});
connection.addEventListener("events", refresh);
connection.addEventListener("reset", () => {
  isFollowing = false;
  refresh();
});
connection.addEventListener("state", ({ detail: { name } }) => name === "live" && refresh());
document.addEventListener("visibilitychange", refresh);
setInterval(() => connection.isLive && Date.now() - shownAt > IDLE_MS && refresh(), 1000);
showWindow();
load();
