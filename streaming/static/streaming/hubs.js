// Which tabs share a stream: all of them, but for those that see a part of a tree. Who is in the
// tree without being in such a list, only the server knows, so it has to have that very filter.
// Pure, as hub.js is.

import { isPartOfTree, toQuery, union } from "./filters.js";
import { Hub } from "./hub.js";

const MOST_OWN = 2; // streams beside everybody's: HTTP/1.1 allows six connections to a server

/** As a Hub, for tabs whose streams may be different ones. */
export class Hubs {
  #open;
  #hubs = new Map(); // filter → Hub; "": everybody's
  #keys = new Map(); // tab → filter

  /** `open` as a Hub takes it. */
  constructor(open) {
    this.#open = open;
  }

  join(tab, wants) {
    const key = this.#keyFor(tab, wants.filters);
    if (this.#keys.get(tab) !== key) this.leave(tab);
    if (!this.#hubs.has(key)) this.#hubs.set(key, new Hub(this.#open));
    this.#keys.set(tab, key);
    this.#hubs.get(key).join(tab, wants);
  }

  leave(tab) {
    const key = this.#keys.get(tab);
    this.#keys.delete(tab);
    this.#hubs.get(key)?.leave(tab);
    if (![...this.#keys.values()].includes(key)) this.#hubs.delete(key);
  }

  nudge(tab) {
    this.#hubOf(tab)?.nudge();
  }

  /** The state of this tab's stream; null where it has none. */
  stateFor(tab) {
    return this.#hubOf(tab)?.state ?? null;
  }

  #hubOf(tab) {
    return this.#hubs.get(this.#keys.get(tab));
  }

  #keyFor(tab, filters) {
    if (!isPartOfTree(filters)) return "";
    const key = toQuery(union([filters])); // the same for the same, in whatever order
    const others = new Set([...this.#keys].flatMap(([one, its]) => (one === tab || its === "" ? [] : [its])));
    return others.has(key) || others.size < MOST_OWN ? key : "";
  }
}
