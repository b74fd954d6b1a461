/**
 * A reply of the server in RESP2 or RESP3, as a closed union. Both protocols give the same variants, so that whoever
 * prints or compares replies knows only one shape. Runs on Bun, Node and Deno.
 */

export type Reply =
  | { readonly kind: "status"; readonly text: string }
  | ErrorReply
  | { readonly kind: "integer"; readonly value: bigint }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "null" }
  | { readonly kind: "double"; readonly text: string }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "bigNumber"; readonly text: string }
  | { readonly kind: "verbatim"; readonly format: string; readonly bytes: Uint8Array }
  | { readonly kind: "array"; readonly items: readonly Reply[] }
  | { readonly kind: "set"; readonly items: readonly Reply[] }
  /** Keys and values in turn. */
  | { readonly kind: "map"; readonly items: readonly Reply[] }
  /** Sent by the server unasked; never the answer to a request. */
  | { readonly kind: "push"; readonly items: readonly Reply[] };

/** `code` is the first word when it is in capitals ("ERR", "TRYAGAIN"), otherwise "ERR". `message` is what follows it. */
export interface ErrorReply {
  readonly kind: "error";
  readonly code: string;
  readonly message: string;
}

export function errorReply(line: string): ErrorReply {
  const match = /^([A-Z][A-Z0-9_]*)(?: |$)/.exec(line);
  if (match === null) return { kind: "error", code: "ERR", message: line };
  const code = match[1] ?? "ERR";
  return { kind: "error", code, message: line.slice(code.length + 1) };
}

const DECODER = new TextDecoder();

/** The text of a reply that stands for one word or value; null for anything else. */
export function replyText(reply: Reply): string | null {
  switch (reply.kind) {
    case "status":
    case "double":
    case "bigNumber":
      return reply.text;
    case "bytes":
    case "verbatim":
      return DECODER.decode(reply.bytes);
    case "integer":
      return String(reply.value);
    case "boolean":
      return String(reply.value);
    case "error":
    case "null":
    case "array":
    case "set":
    case "map":
    case "push":
      return null;
  }
}
