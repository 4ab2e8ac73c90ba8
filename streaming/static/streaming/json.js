// JSON without loss: an integer beyond 2^53 keeps its digits, where the browser can. Pure.

/** As JSON.parse; integers that a Number cannot hold become JSON.rawJSON objects. */
export function parse(text) {
  return JSON.rawJSON ? JSON.parse(text, keepDigits) : JSON.parse(text);
}

function keepDigits(key, value, context) {
  if (!isInexact(value) || !/^-?[0-9]+$/.test(context?.source ?? "")) return value;
  return JSON.rawJSON(context.source);
}

/** Whether a Number may stand for another integer than was written. */
function isInexact(value) {
  if (typeof value !== "number") return false;
  return !Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value));
}

/** Whether a value parsed in the plain way may have lost digits. */
export function mayBeInexact(value) {
  if (value === null || typeof value !== "object") return isInexact(value);
  return Object.values(value).some(mayBeInexact);
}

/** The text of a value that is no object and no array, as JSON has it; null for those. */
export function scalarText(value) {
  if (JSON.isRawJSON?.(value)) return value.rawJSON;
  return value !== null && typeof value === "object" ? null : JSON.stringify(value);
}

/** What is inside, in few words: "3 keys", "1 item", "empty". */
export function sizeText(value) {
  const count = Object.keys(value).length;
  if (count === 0) return "empty";
  const noun = Array.isArray(value) ? "item" : "key";
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
