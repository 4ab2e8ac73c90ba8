// How far a client has got, over all of its connections. Pure.

const MOST_VERSIONS = 10_000; // executions whose version is remembered

/** "5f1c-1042" → {epoch, seq}; null for what is no position. */
export function parsePosition(text) {
  const found = /^(.+)-([0-9]{1,19})$/.exec(text ?? "");
  return found && { epoch: found[1], seq: Number(found[2]) };
}

/** Whether position `a` is at or behind `b` in the same epoch. */
export function isUpTo(a, b) {
  const [one, other] = [parsePosition(a), parsePosition(b)];
  return Boolean(one && other) && one.epoch === other.epoch && one.seq <= other.seq;
}

/**
 * Decides what is news. `cursor` is what to send as Last-Event-ID; while a snapshot is due it
 * stays null, because the server sends none to a client that resumes.
 */
export class Progress {
  #versions = new Map();
  #wantsSnapshot;
  #snapshotDue = false;

  constructor(cursor, { snapshot = false } = {}) {
    this.cursor = cursor ?? null;
    this.#wantsSnapshot = snapshot;
  }

  connected(frame, { resumed }) {
    this.#snapshotDue = this.#wantsSnapshot && !resumed;
    // With a cursor and not resumed, a reset follows: until it is told, nothing is.
    if (resumed || this.cursor === null) this.move(frame);
  }

  reset(frame) {
    this.#versions.clear();
    this.#snapshotDue = this.#wantsSnapshot;
    this.cursor = null;
    this.move(frame);
  }

  snapshot(frame, executions) {
    this.#snapshotDue = false;
    this.#versions.clear();
    for (const execution of executions) this.#remember(execution);
    this.move(frame);
  }

  /** Whether an event is new: neither sent again, nor older than what is known. Takes note. */
  isNews(frame, event) {
    if (isUpTo(frame.id, this.cursor)) return false;
    this.move(frame);
    if (event.version <= (this.#versions.get(event.entity_id) ?? -1)) return false;
    // What is added again under the same id begins at version 1.
    if (event.op === "DELETE") this.#versions.delete(event.entity_id);
    else this.#remember(event);
    return true;
  }

  move(frame) {
    if (frame.id && !this.#snapshotDue) this.cursor = frame.id;
  }

  #remember({ entity_id: id, version }) {
    this.#versions.delete(id); // to the end: the first of a Map is the one not seen for longest
    this.#versions.set(id, version);
    if (this.#versions.size > MOST_VERSIONS) {
      this.#versions.delete(this.#versions.keys().next().value);
    }
  }
}
