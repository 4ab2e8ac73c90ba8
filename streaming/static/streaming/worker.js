// The SharedWorker that has the browser's one stream; see hub.js and connection.js.

import { ExecutionStream } from "./attune.js";
import { Hub } from "./hub.js";

const PULSE_MS = 5000; // connection.js counts on it

const url = new URL(self.location.href).searchParams.get("stream");
const hub = new Hub((filters, cursor) => new ExecutionStream({ url, filters, cursor }));

self.addEventListener("connect", ({ ports: [port] }) => {
  const tab = { send: (message) => port.postMessage(message) };
  let pulse = null;
  port.addEventListener("message", ({ data }) => {
    if (data.join) hub.join(tab, data.join);
    if (data.join) pulse ??= setInterval(() => tab.send({ state: hub.state }), PULSE_MS);
    if (data.nudge) hub.nudge();
    if (data.asked) tab.send({ state: hub.state, answered: data.asked });
    if (data.leave) {
      hub.leave(tab);
      clearInterval(pulse);
      pulse = null;
    }
  });
  port.start();
});
