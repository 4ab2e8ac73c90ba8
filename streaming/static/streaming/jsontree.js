/**
 * A JSON value as a tree that folds, with a button that copies it.
 *
 *   const view = new JsonView(element, { none: "No result." });
 *   view.show(value);    // again with another value: what was opened stays open
 *
 * Text nodes only: data never becomes markup. What is folded is not built before it is opened,
 * and long lists and texts come in pieces, so that megabytes are no burden.
 */
import { announce } from "./announce.js";
import { make } from "./dom.js";
import { scalarText, sizeText } from "./json.js";

const OPEN_DEPTH = 2;
const MOST_OPEN = 30; // entries of what opens by itself
const PIECE = 100; // entries
const MOST_TEXT = 600; // characters

export class JsonView {
  #body;
  #copy;
  #none;
  #value = null;
  #text = null; // of what is shown
  #isOpen = new Map(); // path → what somebody chose

  /** `element` has [data-json] for the tree and [data-copy], a button. */
  constructor(element, { none }) {
    this.#body = element.querySelector("[data-json]");
    this.#copy = element.querySelector("[data-copy]");
    this.#none = none;
    this.#copy.addEventListener("click", () => this.#copyAll());
  }

  show(value, { none = this.#none } = {}) {
    const text = value === null ? none : JSON.stringify(value);
    if (text === this.#text) return;
    this.#value = value;
    this.#text = text;
    this.#copy.hidden = value === null;
    if (value === null) this.#body.replaceChildren(make("p", "muted", none));
    else this.#body.replaceChildren(this.#node(null, value, "", 0));
  }

  async #copyAll() {
    await copyText(JSON.stringify(this.#value, null, 2));
    announce("Copied");
    this.#copy.textContent = "Copied";
    setTimeout(() => (this.#copy.textContent = "Copy"), 1500);
  }

  #node(key, value, path, depth) {
    const scalar = scalarText(value);
    if (scalar !== null) return leaf(key, value, scalar);
    const entries = Object.keys(value);
    const node = make("details", "json-node");
    const summary = make("summary", "", ...label(key));
    const [open, close] = Array.isArray(value) ? "[]" : "{}";
    summary.append(make("span", "json-size", `${open} ${sizeText(value)} ${close}`));
    node.append(summary);
    let isBuilt = false;
    const build = () => {
      if (!isBuilt) node.append(this.#children(value, entries, path, depth));
      isBuilt = true;
    };
    node.open = this.#isOpen.get(path) ?? (depth < OPEN_DEPTH && entries.length <= MOST_OPEN);
    if (node.open) build();
    // The event that opening here makes by itself comes later, and changes nothing.
    node.addEventListener("toggle", () => {
      this.#isOpen.set(path, node.open);
      if (node.open) build();
    });
    return node;
  }

  #children(value, keys, path, depth) {
    const list = make("div", "json-children");
    const isArray = Array.isArray(value);
    let shown = 0;
    const more = make("button", "button quiet json-more");
    more.type = "button";
    const append = () => {
      for (const key of keys.slice(shown, shown + PIECE)) {
        more.before(this.#node(isArray ? Number(key) : key, value[key], `${path}/${key}`, depth + 1));
      }
      shown += PIECE;
      more.hidden = shown >= keys.length;
      more.textContent = `Show more (${(keys.length - shown).toLocaleString("en")} left)`;
    };
    more.addEventListener("click", append);
    list.append(more);
    append();
    return list;
  }
}

function leaf(key, value, text) {
  const isText = typeof value === "string";
  const kind = value === null ? "null" : isText ? "string" : typeof value === "boolean" ? "boolean" : "number";
  // Output of many lines reads better as it was written.
  const whole = isText && value.includes("\n") ? value : text;
  const shown = make("span", `json-${kind}${whole === text ? "" : " json-lines"}`);
  const line = make("div", "json-leaf", ...label(key), shown);
  if (whole.length <= MOST_TEXT) {
    shown.textContent = whole;
    return line;
  }
  shown.textContent = `${whole.slice(0, MOST_TEXT)}…`;
  const more = make("button", "button quiet json-more", `Show all ${whole.length.toLocaleString("en")} characters`);
  more.type = "button";
  more.addEventListener("click", () => {
    shown.textContent = whole;
    more.remove();
  });
  line.append(more);
  return line;
}

function label(key) {
  return key === null ? [] : [make("span", typeof key === "number" ? "json-index" : "json-key", `${key}`), ": "];
}

/** Over plain HTTP from another machine there is no clipboard but the old way. */
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = make("textarea", "visually-hidden", text);
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  return undefined;
}
