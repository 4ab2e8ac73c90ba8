// Filters of executions, as the list, the stream and the address bar know them. Pure.
// A filter: {name: [values]}, of the names below; names without values are left out.

export const NAMES = ["status", "pack", "action_ref", "execution_id", "parent", "root"];

/** Reads a filter from a query string; leaves out what is not one of its names. */
export function fromQuery(search) {
  const query = new URLSearchParams(search);
  const filters = {};
  for (const name of NAMES) {
    const values = query.getAll(name).flatMap((value) => value.split(","));
    const given = [...new Set(values.map((value) => value.trim()).filter(Boolean))];
    if (given.length > 0) filters[name] = given;
  }
  return filters;
}

/** Writes a filter as a query string, without the question mark; always the same for the same. */
export function toQuery(filters) {
  return NAMES.filter((name) => filters[name]?.length)
    .map((name) => `${name}=${filters[name].map(encodeURIComponent).join(",")}`)
    .join("&");
}

/** The narrowest filter that lets through all that any of these does. */
export function union(all) {
  const wide = {};
  for (const name of NAMES) {
    if (all.every((filters) => filters[name]?.length)) {
      wide[name] = [...new Set(all.flatMap((filters) => filters[name].map(String)))].sort();
    }
  }
  return wide;
}

/** Whether a row, as REST or an event's `data` has it, is in the list; `root` is not looked at. */
export function matches(filters, row) {
  return matchesBut(filters, row, [row.status]);
}

/** Whether these let through some of a tree only: who is in it cannot be told from what they do. */
export function isPartOfTree(filters) {
  const names = NAMES.filter((name) => filters[name]?.length);
  return names.includes("root") && names.length > 1;
}

/** Whether an event says that an execution has another action_ref or parent than before. */
export function isMove(event) {
  return "old_action_ref" in event || "old_parent" in event;
}

/** Whether a stream tells this event: also the one by which a row leaves. */
export function passes(filters, event) {
  const { data, old_status: oldStatus } = event;
  if (!isMove(event)) return matchesBut(filters, data, [data.status, oldStatus]);
  if (filters.root?.length && "old_parent" in event) return true; // a tree has changed
  const { old_action_ref: action_ref = data.action_ref, old_parent: parent = data.parent } = event;
  const before = { ...data, action_ref, parent };
  return matchesBut(filters, data, [data.status]) || matchesBut(filters, before, [oldStatus]);
}

function matchesBut(filters, row, statuses) {
  const has = (name, test) => !filters[name]?.length || filters[name].some(test);
  return (
    has("status", (value) => statuses.includes(value)) &&
    has("pack", (value) => value === packOf(row.action_ref)) &&
    has("action_ref", (value) => matchesRef(value, row.action_ref)) &&
    has("execution_id", (value) => String(value) === String(row.id)) &&
    has("parent", (value) => String(value) === String(row.parent))
  );
}

export function packOf(actionRef) {
  return actionRef.split(".", 1)[0];
}

function matchesRef(pattern, ref) {
  const parts = pattern.split("*");
  if (parts.length === 1) return pattern === ref;
  const last = parts.pop();
  let from = 0;
  for (const [index, part] of parts.entries()) {
    const found = index === 0 ? (ref.startsWith(part) ? 0 : -1) : ref.indexOf(part, from);
    if (found < 0) return false;
    from = found + part.length;
  }
  return ref.length - last.length >= from && ref.endsWith(last);
}
