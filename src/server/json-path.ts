/**
 * One field of a JSON document: `name`, `address.city`, `tags[0]`, `["any.name"]`, each step an own property or an
 * index. `$` or `$.` in front means the document itself.
 */
const JSON_DEPTH_MAX = 512;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

const DECODER = new TextDecoder("utf-8", { fatal: true });
const STEP = /(?:^|\.)([^.[\]]+)|\[(0|[1-9]\d*)\]|\[("(?:[^"\\]|\\.)*")\]/gy;

export type PathStep = string | number;

type Field =
  | { readonly kind: "found"; readonly value: unknown }
  | { readonly kind: "absent" }
  | { readonly kind: "notJson"; readonly reason: string };

/** The steps of a path, or null when it is not one. */
export function parsePath(path: string): readonly PathStep[] | null {
  const body = path === "$" || path === "." ? "" : path.replace(/^\$(?=[.[])\.?/, "");
  const steps: PathStep[] = [];
  STEP.lastIndex = 0;
  while (STEP.lastIndex < body.length) {
    const match = STEP.exec(body);
    if (match === null) return null;
    const [, name, index, quoted] = match;
    if (name !== undefined) steps.push(name);
    else if (index !== undefined) steps.push(Number(index));
    else steps.push(unquote(quoted ?? '""'));
  }
  return steps;
}

/** The field that the steps lead to. */
export function fieldOf(document: Uint8Array, steps: readonly PathStep[]): Field {
  if (depthOf(document) > JSON_DEPTH_MAX) {
    return { kind: "notJson", reason: `the value is nested deeper than ${JSON_DEPTH_MAX}` };
  }
  let value: unknown;
  try {
    value = JSON.parse(DECODER.decode(document));
  } catch (cause) {
    if (cause instanceof SyntaxError || cause instanceof TypeError) {
      return { kind: "notJson", reason: "the value is not JSON" };
    }
    throw cause;
  }
  for (const step of steps) {
    if (!isContainer(value) || !Object.hasOwn(value, step)) return { kind: "absent" };
    if (Array.isArray(value) && typeof step === "string") return { kind: "absent" };
    value = Reflect.get(value, step);
  }
  return { kind: "found", value };
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function unquote(quoted: string): string {
  try {
    return String(JSON.parse(quoted));
  } catch (cause) {
    if (cause instanceof SyntaxError) return quoted.slice(1, -1);
    throw cause;
  }
}

/** The deepest nesting, found without the recursion of a parser. */
function depthOf(document: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let i = 0; i < document.length; i++) {
    const byte = document[i]!;
    if (byte === QUOTE) quoted = !quoted;
    else if (quoted) i += byte === BACKSLASH ? 1 : 0;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
      if (depth > deepest) deepest = depth;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1;
  }
  return deepest;
}
