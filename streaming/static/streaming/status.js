// Statuses as people see them: an icon and the word, in this order.

export const STATUSES = [
  ...["requested", "scheduling", "scheduled", "running", "completed", "failed"],
  ...["canceling", "cancelled", "timeout", "abandoned"],
];
export const TERMINAL = new Set(["completed", "failed", "cancelled", "timeout", "abandoned"]);

const CIRCLE = "M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 0 0 0-12.4";
const ICONS = {
  requested: "M8 1.8a6.2 6.2 0 0 1 3.1.8M13.4 4.9a6.2 6.2 0 0 1 .6 4.6M12.4 12.4a6.2 6.2 0 0 1-4 1.8M5 13.4a6.2 6.2 0 0 1-2.9-3.3M1.9 6.6a6.2 6.2 0 0 1 2.4-3.5",
  scheduling: `${CIRCLE}M5 8h.01M8 8h.01M11 8h.01`,
  scheduled: `${CIRCLE}M8 4.8V8l2.2 1.6`,
  running: "M8 1.8a6.2 6.2 0 1 1-5.4 3.1",
  completed: `${CIRCLE}M5.2 8.2l2 2l3.6-4`,
  failed: `${CIRCLE}M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4`,
  canceling: "M8 1.8a6.2 6.2 0 1 1-5.4 3.1M5.6 8h4.8",
  cancelled: `${CIRCLE}M3.8 12.2l8.4-8.4`,
  timeout: "M4 1.8h8M4 14.2h8M5 1.8c0 3.4 6 3.6 6 6.2s-6 2.8-6 6.2M11 1.8c0 3.4-6 3.6-6 6.2s6 2.8 6 6.2",
  abandoned: "M8 2.2l6.2 11.2H1.8zM8 6.4v3.2M8 11.4v.01",
};

/** An <svg> of 16 by 16 that says nothing to a screen reader. */
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(svg.namespaceURI, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export function statusIcon(status) {
  return icon(ICONS[status] ?? CIRCLE);
}

/** Makes `element` the pill of a status; does nothing where it is that already. */
export function showStatus(element, status) {
  if (element.dataset.status === status) return element;
  element.className = "status";
  element.dataset.status = status;
  element.replaceChildren(statusIcon(status), status);
  return element;
}
