// Server-Sent Events from text. Pure.
// Source: WHATWG HTML, "Server-sent events", §9.2.6, but for two things that a stream needs:
// a block without data is a frame too (a heartbeat, which moves the cursor), and `id` is what
// the block itself said.

const LINE_END = /\r\n|\n|\r/;

/**
 * Parses chunks as they come; `feed` returns the frames that are complete.
 * A frame: {id, event, data, retry}; what the block did not have is null.
 */
export class Parser {
  #rest = "";
  #frame = emptyFrame();
  #isFirst = true;

  feed(text) {
    let buffer = this.#rest + text;
    if (this.#isFirst && buffer) {
      this.#isFirst = false;
      if (buffer.startsWith("\uFEFF")) buffer = buffer.slice(1);
    }
    // A CR at the end may be half of a CRLF.
    const held = buffer.endsWith("\r") ? "\r" : "";
    const lines = buffer.slice(0, buffer.length - held.length).split(LINE_END);
    this.#rest = lines.pop() + held;
    return lines.map((line) => this.#take(line)).filter((frame) => frame !== null);
  }

  #take(line) {
    if (line === "") {
      const frame = this.#frame;
      this.#frame = emptyFrame();
      return frame.isEmpty ? null : finished(frame);
    }
    this.#frame.isEmpty = false;
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") this.#frame.lines.push(value);
    else if (name === "event") this.#frame.event = value;
    else if (name === "id" && !value.includes("\0")) this.#frame.id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.#frame.retry = Number(value);
    return null;
  }
}

function emptyFrame() {
  return { id: null, event: null, lines: [], retry: null, isEmpty: true };
}

function finished({ id, event, lines, retry }) {
  return { id, event, data: lines.length ? lines.join("\n") : null, retry };
}
