// A config to begin with, from an action's param_schema (JSON Schema). Pure.

const MOST_DEEP = 6;
const EMPTY = { object: {}, array: [], string: "", integer: 0, number: 0, boolean: false };

/** Returns a value with every default, and something of the right type where one is required. */
export function example(schema, root = schema, depth = 0) {
  if (schema === null || typeof schema !== "object" || depth > MOST_DEEP) return null;
  for (const name of ["default", "const"]) if (name in schema) return schema[name];
  for (const name of ["enum", "examples"]) if (schema[name]?.length) return schema[name][0];
  const other = schema.$ref ? resolve(schema.$ref, root) : (schema.anyOf ?? schema.oneOf)?.[0];
  if (other) return example(other, root, depth + 1);
  const type = [schema.type ?? (schema.properties ? "object" : null)].flat()[0];
  if (type === "object") return exampleObject(schema, root, depth);
  if (type === "integer" || type === "number") return schema.minimum ?? 0;
  return EMPTY[type] ?? null;
}

function exampleObject(schema, root, depth) {
  const required = new Set(schema.required ?? []);
  const properties = Object.entries(schema.properties ?? {});
  const asked = properties.filter(([name, sub]) => required.has(name) || sub.default !== undefined);
  const wanted = asked.length > 0 ? asked : properties;
  return Object.fromEntries(wanted.map(([name, sub]) => [name, example(sub, root, depth + 1)]));
}

function resolve(ref, root) {
  if (!ref.startsWith("#/")) return null;
  const steps = ref.slice(2).split("/");
  return steps.reduce((at, step) => at?.[step.replaceAll("~1", "/").replaceAll("~0", "~")], root);
}
