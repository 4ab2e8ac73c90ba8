/** Says something to a screen reader, when it is done with what it says. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}
