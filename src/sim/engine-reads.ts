/**
 * Whether the answer to a read is right at a place of the log, by the model. A page may end wherever the engine stopped
 * looking, for it counts keys that no reader sees; between its ends it must hold every visible key and no other.
 */
import type { ReadRequest } from "../bridge/shard-protocol.ts";
import type { Result } from "../record/result.ts";
import { textOf } from "./engine-command.ts";
import type { EngineModel, ModelValue } from "./engine-model.ts";

type PageRequest = Extract<ReadRequest, { type: "page" }>;

/** What is wrong with an answer; null: nothing. */
export function judgeRead(
  model: EngineModel,
  read: ReadRequest,
  result: Result,
  place: number,
  nowMs: number,
): string | null {
  switch (read.type) {
    case "get": {
      const key = textOf(read.key);
      return judgeGet(read.metadataOnly, `${read.bucket}/${key}`, result, model.get(read.bucket, key, place, nowMs));
    }
    case "page":
      return judgePage(read, result, model.keys(read.bucket, place, nowMs));
    case "sample": {
      const keys = model.keys(read.bucket, place, nowMs);
      if (result.kind === "nil") return keys.length === 0 ? null : "no sample of a bucket that is not empty";
      if (result.kind !== "bytes") return `a sample came as ${result.kind}`;
      return keys.includes(textOf(result.bytes)) ? null : `the sample ${textOf(result.bytes)} is no visible key`;
    }
    case "scan":
    case "stamped":
      return `a ${read.type} was answered, and nobody here asks for one`;
  }
}

function judgeGet(metadataOnly: boolean, name: string, result: Result, expected: ModelValue | null): string | null {
  if (result.kind !== "version") {
    return result.kind === "nil" && expected === null
      ? null
      : `${name} is ${result.kind === "error" ? `${result.code} ${result.message}` : result.kind}, not ${shown(expected)}`;
  }
  const found = { value: textOf(result.value), expiryMs: result.expiryMs };
  const value = metadataOnly ? "" : expected?.value;
  const isRight =
    expected !== null &&
    found.value === value &&
    found.expiryMs === expected.expiryMs &&
    result.valueBytes === expected.value.length;
  return isRight ? null : `${name} is ${shown(found)}, not ${shown(expected)}`;
}

function judgePage(read: PageRequest, result: Result, visible: readonly string[]): string | null {
  if (result.kind !== "page") return `a page came as ${result.kind}`;
  const after = read.after === null ? null : textOf(read.after);
  const next = result.next === null ? null : textOf(result.next);
  const pattern = read.pattern === null ? null : regularExpression(textOf(read.pattern));
  const expected = visible.filter(
    (key) => (after === null || key > after) && (next === null || key <= next) && (pattern?.test(key) ?? true),
  );
  if (next !== null && after !== null && next <= after) return "a page that does not get on";
  const keys = result.keys.map(textOf);
  const wanted = read.mode === "keys" ? expected : [];
  if (result.matchCount !== expected.length) return `a page counts ${result.matchCount} of ${expected.length} keys`;
  if (expected.length > read.examineMax) return `a page of ${expected.length} keys looked at ${read.examineMax}`;
  const isRight = keys.length === wanted.length && keys.every((key, i) => key === wanted[i]);
  return isRight ? null : `a page holds [${keys.map(short).join(", ")}], not [${wanted.map(short).join(", ")}]`;
}

/** Of a glob that has no classes and no backslashes. */
function regularExpression(glob: string): RegExp {
  const source = glob
    .replaceAll(/[\\^$.|+(){}[\]]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`, "s");
}

function shown(value: ModelValue | null): string {
  return value === null ? "nil" : `${short(value.value)} until ${value.expiryMs}`;
}

function short(value: string): string {
  const quoted = JSON.stringify(value);
  return quoted.length <= 60 ? quoted : `${quoted.slice(0, 40)}… (${value.length})`;
}
