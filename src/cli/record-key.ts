/**
 * Finds the key of a JSON line. A key template is the path of a field (`id`, `address.city`, `tags.0`), or text with
 * such paths in braces (`city:{country}:{id}`).
 */
import { EnvelopeError } from "../core/errors.ts";

export type KeyOf = (line: string) => string | KeyProblem;

export interface KeyProblem {
  readonly problem: string;
}

/** Throws INVALID_ARGUMENT for a template that cannot name a key. */
export function keyTemplate(template: string): KeyOf {
  const parts = template.includes("{") ? parseBraces(template) : [{ path: splitPath(template, template) }];
  return (line) => {
    let document: unknown;
    try {
      document = JSON.parse(line);
    } catch (cause) {
      return { problem: `not JSON: ${cause instanceof Error ? cause.message : String(cause)}` };
    }
    let key = "";
    for (const part of parts) {
      const piece = typeof part === "string" ? part : textAt(document, part.path);
      if (typeof piece !== "string") return piece;
      key += piece;
    }
    return key === "" ? { problem: "the key is empty" } : key;
  };
}

type Part = string | { readonly path: readonly string[] };

function parseBraces(template: string): Part[] {
  const parts: Part[] = [];
  let rest = template;
  while (rest.length > 0) {
    const open = rest.indexOf("{");
    const close = rest.indexOf("}", open);
    if (open < 0) {
      parts.push(rest);
      break;
    }
    if (close < 0) throw new EnvelopeError("INVALID_ARGUMENT", `key template ${JSON.stringify(template)}: { without }`);
    if (open > 0) parts.push(rest.slice(0, open));
    parts.push({ path: splitPath(rest.slice(open + 1, close), template) });
    rest = rest.slice(close + 1);
  }
  return parts;
}

function splitPath(path: string, template: string): readonly string[] {
  const names = path.split(".");
  if (names.some((name) => name === "")) {
    throw new EnvelopeError("INVALID_ARGUMENT", `key template ${JSON.stringify(template)}: a field name is empty`);
  }
  return names;
}

function textAt(document: unknown, path: readonly string[]): string | KeyProblem {
  let value = document;
  for (const name of path) {
    const found = value !== null && typeof value === "object" && Object.hasOwn(value, name);
    if (!found) return { problem: `no field ${path.join(".")}` };
    value = (value as Record<string, unknown>)[name];
  }
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return String(value);
  if (typeof value !== "number") return { problem: `field ${path.join(".")} is not text, number or boolean` };
  // A larger whole number has already lost digits in JSON.parse, and would name another record.
  const exact = !Number.isInteger(value) || Number.isSafeInteger(value);
  return exact ? String(value) : { problem: `field ${path.join(".")} is a number beyond 2^53; write it as text` };
}
