// Small things that views need. Whatever comes from data goes in as text.

/** A new element with a class and children; strings become text. */
export function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

/** Whether something is on its way to `element`; the page says so where it takes long. */
export function setBusy(element, isBusy) {
  element.setAttribute("aria-busy", String(isBusy));
  document.getElementById("busy").hidden = !isBusy;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
