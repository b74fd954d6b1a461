/** Replies as text: for people (the manner of redis-cli, which many can read), or raw for pipes. */
import { unreachable } from "../core/assert.ts";
import type { Reply } from "../client/reply.ts";

const DECODER = new TextDecoder("utf-8", { fatal: true });
const LOSSY = new TextDecoder();
const NAMED_ESCAPES: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\x07": "\\a",
  "\b": "\\b",
  '"': '\\"',
  "\\": "\\\\",
};

/** Several lines without an end of line; nested items are indented by `indent`. */
export function formatReply(reply: Reply, indent = ""): string {
  switch (reply.kind) {
    case "status":
      return reply.text;
    case "error":
      return `(error) ${reply.code} ${reply.message}`;
    case "integer":
      return `(integer) ${reply.value}`;
    case "double":
      return `(double) ${reply.text}`;
    case "bigNumber":
      return `(big number) ${reply.text}`;
    case "boolean":
      return reply.value ? "(true)" : "(false)";
    case "null":
      return "(nil)";
    case "bytes":
      return quote(reply.bytes);
    case "verbatim":
      return LOSSY.decode(reply.bytes).trimEnd();
    case "array":
      return reply.items.length === 0 ? "(empty array)" : formatItems(reply.items, indent, ")");
    case "set":
      return reply.items.length === 0 ? "(empty set)" : formatItems(reply.items, indent, "~");
    case "push":
      return reply.items.length === 0 ? "(empty push)" : formatItems(reply.items, indent, ">");
    case "map":
      return reply.items.length === 0 ? "(empty map)" : formatMap(reply.items, indent);
    default:
      return unreachable(reply);
  }
}

/** Values as they are, one a line, for other programs. */
export function rawReply(reply: Reply): Uint8Array {
  const pieces: Uint8Array[] = [];
  collectRaw(reply, pieces);
  return Buffer.concat(pieces);
}

function formatItems(items: readonly Reply[], indent: string, mark: string): string {
  const width = String(items.length).length;
  const inner = indent + " ".repeat(width + 2);
  return items
    .map((item, i) => `${i === 0 ? "" : indent}${String(i + 1).padStart(width)}${mark} ${formatReply(item, inner)}`)
    .join("\n");
}

function formatMap(items: readonly Reply[], indent: string): string {
  const pairCount = items.length / 2;
  const width = String(pairCount).length;
  const inner = indent + " ".repeat(width + 2);
  const lines: string[] = [];
  for (let i = 0; i < pairCount; i++) {
    const [key, value] = [items[2 * i], items[2 * i + 1]];
    if (key === undefined || value === undefined) break;
    const label = `${i === 0 ? "" : indent}${String(i + 1).padStart(width)}# ${formatReply(key, inner)} => `;
    const isNested = "items" in value && value.items.length > 0;
    lines.push(isNested ? `${label}\n${inner}${formatReply(value, inner)}` : label + formatReply(value, inner));
  }
  return lines.join("\n");
}

/** Text in quotes; bytes that are not printable UTF-8 as escapes that a command line takes back. */
function quote(bytes: Uint8Array): string {
  let text: string;
  try {
    text = DECODER.decode(bytes);
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    return `"${Array.from(bytes, quoteByte).join("")}"`;
  }
  return `"${Array.from(text, (letter) => (/\p{Cc}/u.test(letter) ? quoteByte(letter.charCodeAt(0)) : (NAMED_ESCAPES[letter] ?? letter))).join("")}"`;
}

function quoteByte(byte: number): string {
  const letter = String.fromCharCode(byte);
  const named = NAMED_ESCAPES[letter];
  if (named !== undefined) return named;
  return byte >= 0x20 && byte < 0x7f ? letter : `\\x${byte.toString(16).padStart(2, "0")}`;
}

function collectRaw(reply: Reply, pieces: Uint8Array[]): void {
  if ("items" in reply) {
    for (const [i, item] of reply.items.entries()) {
      if (i > 0) pieces.push(Buffer.from("\n"));
      collectRaw(item, pieces);
    }
    return;
  }
  if (reply.kind === "bytes" || reply.kind === "verbatim") pieces.push(reply.bytes);
  else if (reply.kind === "error") pieces.push(Buffer.from(`${reply.code} ${reply.message}`));
  else if (reply.kind === "integer") pieces.push(Buffer.from(String(reply.value)));
  else if (reply.kind === "boolean") pieces.push(Buffer.from(String(reply.value)));
  else if (reply.kind !== "null") pieces.push(Buffer.from(reply.text));
}
