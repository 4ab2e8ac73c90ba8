// The SharedWorker that has the browser's streams; see hubs.js, hub.js and connection.js.

import { ExecutionStream } from "./attune.js";
import { Hubs } from "./hubs.js";

const PULSE_MS = 5000; // connection.js counts on it

const url = new URL(self.location.href).searchParams.get("stream");
const hubs = new Hubs((filters, cursor) => new ExecutionStream({ url, filters, cursor }));

self.addEventListener("connect", ({ ports: [port] }) => {
  const tab = { send: (message) => port.postMessage(message) };
  let pulse = null;
  port.addEventListener("message", ({ data }) => {
    if (data.join) hubs.join(tab, data.join);
    if (data.join) pulse ??= setInterval(() => tab.send({ state: hubs.stateFor(tab) }), PULSE_MS);
    if (data.nudge) hubs.nudge(tab);
    if (data.asked) tab.send({ state: hubs.stateFor(tab), answered: data.asked });
    if (data.leave) {
      hubs.leave(tab);
      clearInterval(pulse);
      pulse = null;
    }
  });
  port.start();
});
