// ExecutionStream against a server of its own: real HTTP, a script for each connection.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import test from "node:test";
import { ExecutionStream, StreamError } from "../../streaming/static/streaming/attune.js";

const connected = (seq, more) =>
  `retry: 1\nid: e-${seq}\nevent: connected\ndata: ${JSON.stringify({ epoch: "e", seq, resumed: false, heartbeat_seconds: 15, ...more })}\n\n`;
const change = (seq, id, version = 1) =>
  `id: e-${seq}\ndata: ${JSON.stringify({ entity_id: id, seq, version, op: "UPDATE", data: { id, status: "running" } })}\n\n`;
const control = (name, data, id) => `${id ? `id: ${id}\n` : ""}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/** Serves one script a connection; the last one stays. A script: text to send, or (request, response). */
async function serve(t, ...scripts) {
  const requests = [];
  const server = http.createServer((request, response) => {
    const script = scripts[Math.min(requests.length, scripts.length - 1)];
    requests.push(request);
    if (typeof script === "function") return script(request, response);
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    return response.end(script);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/stream`, requests };
}

function open(t, options) {
  const stream = new ExecutionStream({ random: () => 0, ...options });
  t.after(() => stream.close());
  return stream;
}

async function take(stream, count) {
  const events = [];
  for await (const event of stream) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

async function until(stream, name) {
  while (stream.state.name !== name) await new Promise((resolve) => stream.addEventListener("state", resolve, { once: true }));
  return stream.state;
}

test("it comes back from where it was, and tells each event once", async (t) => {
  const { url, requests } = await serve(
    t,
    connected(4) + change(5, 1) + change(6, 2),
    connected(5, { resumed: true }) + change(6, 2) + change(7, 3) + "id: e-9\n: heartbeat\n\n",
    connected(9, { resumed: true }) + change(10, 4),
  );
  const events = await take(open(t, { url, filters: { status: ["a", "b"], pack: "p" } }), 4);
  assert.deepEqual(events.map((event) => event.id), ["e-5", "e-6", "e-7", "e-10"]);
  assert.equal(requests[0].url, "/stream?status=a&status=b&pack=p");
  assert.deepEqual(requests.map((request) => request.headers["last-event-id"]), [undefined, "e-6", "e-9"]);
});

test("its cursor is that of the last event handed out", async (t) => {
  const row = (id) => ({ entity_id: id, version: 1, op: "SNAPSHOT", data: { id } });
  const snapshot = control("snapshot", { executions: [row(2), row(1)], complete: true }, "e-4");
  const { url } = await serve(t, connected(4) + snapshot + change(5, 1, 2) + change(6, 2, 2) + change(9, 3));
  const stream = open(t, { url, snapshot: true });
  const cursors = [];
  for await (const { data } of stream) if (cursors.push([data.id, stream.cursor]) === 5) break;
  assert.deepEqual(cursors, [[2, null], [1, "e-4"], [1, "e-5"], [2, "e-6"], [3, "e-9"]]);
});

test("it never tells an older version after a newer", async (t) => {
  const { url } = await serve(t, connected(0) + change(1, 7, 3) + change(2, 7, 2) + change(3, 7, 4));
  assert.deepEqual((await take(open(t, { url }), 2)).map((event) => event.version), [3, 4]);
});

test("it ends with end, and does not come back", async (t) => {
  const end = control("end", { executions: [{ id: 1, status: "completed" }] }, "e-3");
  const { url, requests } = await serve(t, connected(0) + change(1, 1) + end);
  const stream = open(t, { url, until: "terminal", filters: { execution_id: 1 } });
  const ended = once(stream, "end");
  assert.equal((await take(stream)).length, 1);
  assert.deepEqual((await ended)[0].detail.executions, [{ id: 1, status: "completed" }]);
  assert.equal(stream.cursor, "e-3");
  assert.equal(requests.length, 1);
});

test("204 ends it, too", async (t) => {
  const { url } = await serve(t, (request, response) => response.writeHead(204).end());
  assert.deepEqual(await take(open(t, { url, cursor: "e-3" })), []);
});

test("it throws what no attempt would mend", async (t) => {
  const refuse = (request, response) => {
    response.writeHead(401, { "Content-Type": "application/json" });
    response.end('{"detail":"No.","code":"not_authenticated"}');
  };
  const { url, requests } = await serve(t, refuse);
  await assert.rejects(take(open(t, { url })), (error) => {
    assert.ok(error instanceof StreamError);
    return error.code === "not_authenticated" && error.status === 401 && error.message === "No.";
  });
  assert.equal(requests.length, 1);
});

test("it asks for another token when the first is refused, and when it ends", async (t) => {
  const asked = [];
  const { url, requests } = await serve(
    t,
    (request, response) => response.writeHead(401).end("{}"),
    connected(1) + control("close", { reason: "token_expired", reconnect: false }),
    connected(1) + change(2, 1),
  );
  const token = ({ refused }) => `token-${asked.push(refused)}`;
  await take(open(t, { url, token }), 1);
  assert.deepEqual(asked, [false, true, false]);
  assert.equal(requests[1].headers.authorization, "Bearer token-2");
});

test("a close without reconnect is for good", async (t) => {
  const { url } = await serve(t, connected(1) + control("close", { reason: "revoked", reconnect: false }));
  await assert.rejects(take(open(t, { url })), { code: "revoked" });
});

test("it honours Retry-After, and nudge cuts the wait short", async (t) => {
  const { url } = await serve(
    t,
    (request, response) => response.writeHead(503, { "Retry-After": "30" }).end("{}"),
    connected(1),
  );
  const stream = open(t, { url });
  const state = await until(stream, "waiting");
  assert.ok(state.retryAt - state.at >= 30_000);
  stream.nudge();
  await until(stream, "live");
});

test("who hears that it waits may nudge it at once", async (t) => {
  const busy = (request, response) => response.writeHead(503, { "Retry-After": "30" }).end("{}");
  const { url } = await serve(t, busy, busy, connected(1));
  const stream = open(t, { url });
  stream.addEventListener("state", ({ detail }) => detail.name === "waiting" && stream.nudge());
  await until(stream, "live");
});

test("a reset waits for its hook, and is told again where the hook fails", async (t) => {
  const reset = connected(50) + control("reset", { reason: "history_gone" }, "e-50") + change(51, 1);
  const { url, requests } = await serve(t, reset);
  const resets = [];
  const onReset = async (detail) => {
    resets.push(detail);
    if (resets.length === 1) throw new Error("the list cannot be had");
  };
  const [event] = await take(open(t, { url, cursor: "e-3", onReset }), 1);
  assert.deepEqual(resets, Array(2).fill({ reason: "history_gone", cursor: "e-50" }));
  assert.equal(event.id, "e-51");
  assert.deepEqual(requests.map((request) => request.headers["last-event-id"]), ["e-3", "e-3"]);
});

test("a gap is never silent", async (t) => {
  const { url } = await serve(t, connected(50) + control("reset", { reason: "epoch_changed" }, "e-50"));
  await assert.rejects(take(open(t, { url, cursor: "x-3" })), { code: "history_lost" });
});

test("it begins with the snapshot where that is asked for", async (t) => {
  const executions = [{ entity_id: 1, version: 4, op: "SNAPSHOT", data: {} }];
  const { url } = await serve(
    t,
    connected(3),
    connected(3) + control("snapshot", { executions, complete: true }, "e-5") + change(6, 1, 4) + change(7, 1, 5),
  );
  const events = await take(open(t, { url, snapshot: true }), 2);
  assert.deepEqual(events.map(({ op, version }) => [op, version]), [["SNAPSHOT", 4], ["UPDATE", 5]]);
});

test("it catches up, is live, and is stale when the server falls silent", async (t) => {
  let beat;
  const hold = (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(connected(5, { resumed: true, heartbeat_seconds: 0.05 }));
    beat = () => response.write("id: e-5\n: heartbeat\n\n");
  };
  let skipped = 0;
  const timers = {
    now: () => Date.now() + skipped,
    setTimeout: (callback, milliseconds) => setTimeout(callback, Math.min(milliseconds, 5)),
    clearTimeout,
  };
  const { url, requests } = await serve(t, hold);
  const stream = open(t, { url, cursor: "e-5", timers });
  assert.equal((await until(stream, "catching-up")).knownAt, null);
  skipped += 2500;
  await until(stream, "stale");
  beat();
  await until(stream, "live");
  const { heardAt } = stream;
  skipped += 2500; // as a machine that slept
  assert.equal((await until(stream, "stale")).knownAt, heardAt);
  beat();
  await until(stream, "live");
  skipped += 60_000;
  assert.ok((await until(stream, "catching-up")).knownAt < stream.heardAt - 60_000);
  assert.equal(requests.length, 2);
});

test("what a machine that slept finds in its buffers is not the state of now", async (t) => {
  const hold = (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(connected(5));
    beat = () => response.write(`${change(6, 1)}id: e-6\n: heartbeat\n\n`);
  };
  let beat;
  let skipped = 0;
  const now = () => Date.now() + skipped;
  // No check of its own finds out: the bytes come first.
  const timers = { now, setTimeout: (callback) => setTimeout(callback, 10_000), clearTimeout };
  const { url, requests } = await serve(t, hold, connected(6, { resumed: true }) + change(6, 1));
  const stream = open(t, { url, timers });
  await until(stream, "live");
  const states = [];
  stream.addEventListener("state", ({ detail }) => states.push(detail.name));
  skipped += 3600_000;
  beat();
  await until(stream, "waiting");
  assert.deepEqual(states, ["stale", "waiting"]);
  stream.nudge();
  await until(stream, "catching-up");
  assert.deepEqual([requests.length, requests[1].headers["last-event-id"]], [2, "e-5"]);
});

test("a slow reader slows the stream down, and loses nothing", async (t) => {
  const many = Array.from({ length: 3000 }, (_, index) => change(index + 1, index)).join("");
  const { url } = await serve(t, connected(0) + many);
  const stream = open(t, { url });
  let count = 0;
  for await (const event of stream) {
    count += 1;
    assert.equal(event.seq, count);
    if (count % 500 === 0) await new Promise((resolve) => setTimeout(resolve));
    if (count === 3000) break;
  }
});
