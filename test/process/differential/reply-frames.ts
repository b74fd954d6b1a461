/** Cuts a stream of RESP replies into whole ones, as bytes; nothing is interpreted beyond where a reply ends. */

const LF = 0x0a;
const DECODER = new TextDecoder("latin1");

/** The replies that `bytes` holds, and what is left behind the last whole one. */
export function splitReplies(bytes: Uint8Array): { replies: Uint8Array[]; rest: Uint8Array } {
  const replies: Uint8Array[] = [];
  let start = 0;
  for (;;) {
    const end = replyEnd(bytes, start);
    if (end < 0) return { replies, rest: bytes.subarray(start) };
    replies.push(bytes.subarray(start, end));
    start = end;
  }
}

/** The parts of an aggregate reply; null: it is none. */
export function partsOf(reply: Uint8Array): Uint8Array[] | null {
  const kind = String.fromCharCode(reply[0] ?? 0);
  if (!"*~%>".includes(kind)) return null;
  return splitReplies(reply.subarray(reply.indexOf(LF) + 1)).replies;
}

/** Where the reply at `start` ends; −1: it is not whole. */
function replyEnd(bytes: Uint8Array, start: number): number {
  const lineEnd = bytes.indexOf(LF, start);
  if (lineEnd < 0) return -1;
  const next = lineEnd + 1;
  const kind = String.fromCharCode(bytes[start] ?? 0);
  const count = Number(DECODER.decode(bytes.subarray(start + 1, lineEnd - 1)));
  if ("$=!".includes(kind)) {
    if (count < 0) return next;
    return next + count + 2 <= bytes.length ? next + count + 2 : -1;
  }
  if (!"*~>%|".includes(kind)) return next;
  let end = next;
  for (let i = "%|".includes(kind) ? 2 * count : count; i > 0 && end >= 0; i--) end = replyEnd(bytes, end);
  return end;
}
