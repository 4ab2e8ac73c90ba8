// Figures and series from `GET executions/stats`. Pure.

const MOST_POINTS = 60; // of a small chart

/**
 * Returns the figures of the page; null where there is nothing to tell:
 * running, waiting, canceling   executions now
 * rate                          created a minute, over the window
 * created, ended, failed        counts in the window
 * failureRate                   share of `ended`, 0 to 1
 * minutes                       length of the window so far
 */
export function figures({ since, until, by_status: now, per_minute: minutes }) {
  const sum = (name) => minutes.reduce((total, minute) => total + minute[name], 0);
  const [created, ended, failed] = ["created", "finished", "failed"].map(sum);
  const length = (Date.parse(until) - Date.parse(since)) / 60_000;
  return {
    running: now.running,
    waiting: now.requested + now.scheduling + now.scheduled,
    canceling: now.canceling,
    ...{ created, ended, failed },
    rate: length > 0 ? created / length : null,
    failureRate: ended > 0 ? failed / ended : null,
    minutes: length,
  };
}

/**
 * Returns {at, open, created, failed}: columns of at most MOST_POINTS spans of time. `at` is the
 * beginning in seconds, `open` how many executions were not over when the span ended: counted
 * back from now, as each that was created or ended in between changed it by one.
 */
export function series({ by_status: now, per_minute: minutes }, { terminal }) {
  const size = Math.ceil(minutes.length / MOST_POINTS);
  const spans = [];
  // From the end, so that the last span is whole; the first may be shorter.
  for (let end = minutes.length; end > 0; end -= size) spans.unshift(minutes.slice(Math.max(0, end - size), end));
  const sums = (name) => spans.map((span) => span.reduce((total, minute) => total + minute[name], 0));
  const [created, ended, failed] = ["created", "finished", "failed"].map(sums);
  const open = [];
  let count = Object.entries(now).reduce((total, [status, n]) => total + (terminal.has(status) ? 0 : n), 0);
  for (let index = spans.length - 1; index >= 0; index -= 1) {
    open[index] = Math.max(0, count); // rows may have been deleted since
    count -= created[index] - ended[index];
  }
  return { at: spans.map(([{ minute }]) => Date.parse(minute) / 1000), open, created, failed, minutesEach: size };
}

/** "0", "3.4", "12", "1,240": as much as tells something. */
export function countText(number) {
  if (number === null) return "–";
  return number.toLocaleString("en", { maximumFractionDigits: number < 10 ? 1 : 0 });
}

/** "0 %", "0.4 %", "12 %". */
export function shareText(share) {
  if (share === null) return "–";
  const percent = share * 100;
  return `${countText(percent)} %`;
}
