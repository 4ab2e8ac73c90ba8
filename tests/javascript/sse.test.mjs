import assert from "node:assert/strict";
import test from "node:test";
import { Parser } from "../../streaming/static/streaming/sse.js";

const frame = (more) => ({ id: null, event: null, data: null, retry: null, ...more });

test("it parses fields, comments and heartbeats", () => {
  const text = "retry: 50\nid: a-1\nevent: connected\ndata: {}\n\n: hello\nid: a-2\n\ndata\n\n";
  assert.deepEqual(new Parser().feed(text), [
    frame({ retry: 50, id: "a-1", event: "connected", data: "{}" }),
    frame({ id: "a-2" }),
    frame({ data: "" }),
  ]);
});

test("it gives the same frames however the text is cut", () => {
  const text = "\uFEFFid: 1\r\ndata: a\rdata: b\n\r\ndata:  c:d\r\r\nid: x\0y\nretry: 5x\nfoo: 1\n\n\n\ndata: é\n\n";
  const whole = new Parser().feed(text);
  assert.equal(whole.length, 4);
  assert.deepEqual(whole[0], frame({ id: "1", data: "a\nb" }));
  assert.deepEqual(whole[1], frame({ data: " c:d" }));
  assert.deepEqual(whole[2], frame({}));
  for (let size = 1; size < text.length; size += 1) {
    const parser = new Parser();
    const frames = [];
    for (let at = 0; at < text.length; at += size) frames.push(...parser.feed(text.slice(at, at + size)));
    assert.deepEqual(frames, whole, `chunks of ${size}`);
  }
});

test("it keeps a frame that is not complete to itself", () => {
  const parser = new Parser();
  assert.deepEqual(parser.feed("data: 1\n"), []);
  assert.deepEqual(parser.feed("\n"), [frame({ data: "1" })]);
});
