// Executions of one tree as bars over time. Pure.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((days) => days * DAY),
];

/**
 * Lays out the tree below `root` (an id): {rows, from, to, ticks, isOpen, left}.
 *
 * `executions` are rows as REST has them, in any order. A row: {id, depth, execution, children,
 * isFolded, bar}; `children` is their number, `bar` is {from, start, to} in milliseconds since
 * the layout's `from`; `start` is null before anything ran, `to` is null until it is over.
 * Children follow their parent by age; those of ids in `folded` are not there. Who has no parent
 * here (it is not visible, or gone) is taken for a child of the root. `left`: rows beyond `most`.
 */
export function layout(executions, { root, now, folded = new Set(), most = Infinity }) {
  const rows = walk(executions, root, folded);
  const shown = rows.slice(0, most);
  const all = shown.map(({ execution }) => times(execution));
  const from = Math.min(...all.map((time) => time.from), now);
  const isOpen = all.some((time) => time.to === null);
  const end = Math.max(...all.map((time) => time.to ?? now), from + 1);
  const { to, ticks } = scale(end - from, { isOpen });
  shown.forEach((row, index) => {
    const time = all[index];
    const since = (at) => (at === null ? null : at - from);
    row.bar = { from: since(time.from), start: since(time.start), to: since(time.to) };
  });
  return { rows: shown, from, to, ticks, isOpen, left: rows.length - shown.length };
}

function walk(executions, root, folded) {
  const byId = new Map(executions.map((execution) => [execution.id, execution]));
  const children = new Map();
  for (const execution of [...byId.values()].sort(byAge)) {
    if (execution.id === root) continue;
    const parent = byId.has(execution.parent) ? execution.parent : root;
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(execution);
  }
  const rows = [];
  const seen = new Set(); // plain SQL can make a circle
  const visit = (execution, depth) => {
    if (seen.has(execution.id)) return;
    seen.add(execution.id);
    const below = children.get(execution.id) ?? [];
    const isFolded = folded.has(execution.id) && below.length > 0;
    rows.push({ id: execution.id, depth, execution, children: below.length, isFolded });
    if (!isFolded) for (const child of below) visit(child, depth + 1);
  };
  if (byId.has(root)) visit(byId.get(root), 0);
  else for (const child of children.get(root) ?? []) visit(child, 1);
  return rows;
}

function byAge(one, other) {
  return times(one).from - times(other).from || one.id - other.id;
}

const known = new WeakMap(); // parsing the times of a large tree takes longer than all the rest

function times(execution) {
  if (!known.has(execution)) known.set(execution, parseTimes(execution));
  return known.get(execution);
}

function parseTimes({ created, started, finished }) {
  const from = Date.parse(created);
  const start = started ? Math.max(from, Date.parse(started)) : null;
  return { from, start, to: finished ? Math.max(start ?? from, Date.parse(finished)) : null };
}

/**
 * An axis for `length` milliseconds: {to, ticks}, both from 0 on, about `wanted` ticks. While
 * something is open it ends at a tick, so that bars grow on it and the axis seldom moves.
 */
export function scale(length, { isOpen = false, wanted = 6 } = {}) {
  const step = STEPS.find((one) => length / one <= wanted) ?? Math.ceil(length / wanted / DAY) * DAY;
  const to = isOpen ? (Math.floor(length / step) + 1) * step : length;
  const ticks = [];
  for (let at = 0; at <= to; at += step) ticks.push(at);
  return { to, ticks };
}

/** "0", "200 ms", "15 s", "1 m 30 s", "2 h", "3 d". */
export function tickText(ms) {
  if (ms === 0) return "0";
  if (ms < SECOND) return `${ms} ms`;
  if (ms < MINUTE) return `${ms / SECOND} s`;
  const units = [[DAY, "d"], [HOUR, "h"], [MINUTE, "m"], [SECOND, "s"]];
  const parts = [];
  let left = ms;
  for (const [unit, name] of units) {
    const count = Math.floor(left / unit);
    left -= count * unit;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.slice(0, 2).join(" ");
}
