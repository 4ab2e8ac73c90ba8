import assert from "node:assert/strict";
import test from "node:test";
import { throttled } from "../../streaming/static/streaming/throttled.js";

test("it asks at once, and then once for all that came meanwhile", async ({ mock }) => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let asked = 0;
  const refresh = throttled(async () => (asked += 1), { leastMs: 2000 });
  const pass = async (ms) => {
    mock.timers.tick(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  refresh();
  await pass(0);
  assert.equal(asked, 1);
  for (let call = 0; call < 100; call += 1) refresh();
  await pass(1999);
  assert.equal(asked, 1);
  await pass(1);
  assert.equal(asked, 2);
  await pass(10_000);
  assert.equal(asked, 2, "nothing has called since");
});

test("it leaves a slow server time", async ({ mock }) => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let answer;
  let asked = 0;
  const refresh = throttled(() => new Promise((resolve) => ((asked += 1), (answer = resolve))), { leastMs: 100 });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  refresh();
  mock.timers.tick(0);
  refresh();
  mock.timers.tick(1000);
  assert.equal(asked, 1, "it still asks");
  answer();
  await settle();
  mock.timers.tick(3999);
  assert.equal(asked, 1);
  mock.timers.tick(1);
  assert.equal(asked, 2);
});
