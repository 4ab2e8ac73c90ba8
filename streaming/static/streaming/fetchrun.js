// Everything about one execution, by REST.

import * as api from "./api.js";
import { parse } from "./json.js";
import { MOST_TREE } from "./run.js";

const TREE_PAGE = 100; // rows come with config and result
const BEGINNING = 1000; // events
const END = 4000; // of a longer history, the newest
const EVENTS_PAGE = 500;
const MOST_ANCESTORS = 8;

/** As REST has it, with every digit. */
export function fetchExecution(id, { signal } = {}) {
  return api.get(`executions/${id}`, { signal, parse });
}

/**
 * What Run.fill takes, with `cursor`: a position before all of it was read, so that what changes
 * meanwhile is told twice and not left out.
 */
export async function fetchRun(id, { signal }) {
  const { body: execution, cursor } = await fetchExecution(id, { signal });
  const [tree, events] = await Promise.all([
    pages(`executions?root=${id}&ordering=id&page_size=${TREE_PAGE}`, MOST_TREE, signal),
    fetchEvents(id, signal),
  ]);
  return {
    ...{ execution, cursor, rows: tree.results, events: events.results },
    ...{ isCut: events.isCut, isTreeCut: tree.isCut },
  };
}

/** The history from the log; of a long one the beginning and the end. */
async function fetchEvents(id, signal) {
  const path = `executions/${id}/events?page_size=${EVENTS_PAGE}`;
  const beginning = await pages(path, BEGINNING, signal);
  if (!beginning.isCut) return beginning;
  const after = beginning.results.at(-1).seq;
  const end = await pages(`${path}&ordering=-seq&after=${after}`, END, signal);
  return { results: [...beginning.results, ...end.results.reverse()], isCut: end.isCut };
}

/** The parent, its parent and so on, as far as they can be seen; the oldest first. */
export async function fetchAncestors(parent, { signal }) {
  const ancestors = [];
  for (let id = parent; id !== null && ancestors.length < MOST_ANCESTORS; ) {
    const found = await api.get(`executions/${id}`, { signal }).catch((error) => {
      if (error.status !== 404) throw error;
      return null;
    });
    ancestors.unshift(found?.body ?? { id, action_ref: null, parent: null });
    id = ancestors[0].parent;
    if (ancestors.slice(1).some((ancestor) => ancestor.id === id)) break; // a circle
  }
  return ancestors;
}

async function pages(first, most, signal) {
  const results = [];
  let next = first;
  while (next !== null && results.length < most) {
    const { body } = await api.get(next, { signal });
    results.push(...body.results);
    next = body.next;
  }
  return { results, isCut: next !== null };
}
