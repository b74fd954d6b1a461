/**
 * Whether two replies to the same command are the same. Byte for byte, but for what must differ between two servers: the
 * time that passes, the order of keys in a hash table, and what a server says about itself.
 */
import { isIntended } from "./intended-differences.ts";
import { partsOf } from "./reply-frames.ts";
import { nameOf, type Step, wordAt } from "./step.ts";

/** How far apart the two servers may be when both count from their own clocks. */
const TOLERANCE_MS = 20_000;
const DECODER = new TextDecoder("latin1");

type Same = (redis: string, ours: string, step: Step) => boolean;

const COMPARISONS: Readonly<Record<string, Same>> = {
  ttl: within(TOLERANCE_MS / 1000),
  pttl: within(TOLERANCE_MS),
  expiretime: within(TOLERANCE_MS / 1000),
  pexpiretime: within(TOLERANCE_MS),
  time: sameKind,
  lastsave: sameKind,
  randomkey: sameKind,
  hello: (redis, ours) => withoutOwn(redis) === withoutOwn(ours),
  keys: sameMembers,
  // From the middle of a walk both may begin where they like.
  scan: (redis, ours, step) => (wordAt(step, 1) === "0" ? sameMembers(redis, ours) : sameKind(redis, ours)),
  exec: sameParts,
};

/** By command and subcommand. */
const SUBCOMMANDS: Readonly<Record<string, Same>> = {
  "client id": sameKind,
  "client info": sameKind,
  "client list": sameKind,
  "object idletime": sameKind,
  "object refcount": sameKind,
  "memory usage": sameKind,
  "memory stats": sameKind,
  "memory doctor": sameKind,
  "slowlog get": sameKind,
  "latency latest": sameKind,
  "command count": sameKind,
};

export function isSame(step: Step, redis: Uint8Array, ours: Uint8Array): boolean {
  const theirs = DECODER.decode(redis);
  const mine = DECODER.decode(ours);
  if (theirs === mine) return true;
  if (wordAt(step, 1) === "help" && sameKind(theirs, mine)) return true;
  const same = SUBCOMMANDS[`${nameOf(step)} ${wordAt(step, 1)}`] ?? COMPARISONS[nameOf(step)];
  return (same?.(theirs, mine, step) ?? false) || isIntended(step, theirs, mine);
}

function within(tolerance: number): Same {
  return (redis, ours) => {
    const [a, b] = [integerOf(redis), integerOf(ours)];
    return a !== null && b !== null && a > 0 && b > 0 && Math.abs(a - b) <= tolerance;
  };
}

/** Errors are the same only when they are the same text. */
function sameKind(redis: string, ours: string): boolean {
  return redis[0] === ours[0] && redis[0] !== "-" && redis.startsWith("$-1") === ours.startsWith("$-1");
}

function sameMembers(redis: string, ours: string): boolean {
  return sorted(redis) === sorted(ours);
}

function sorted(reply: string): string {
  const parts = textParts(reply);
  if (parts === null) return reply;
  return parts.map(sorted).toSorted().join("");
}

/** Replies of a transaction: times among them may differ a little, everything else not at all. */
function sameParts(redis: string, ours: string): boolean {
  const [a, b] = [textParts(redis), textParts(ours)];
  if (a === null || b === null || a.length !== b.length) return false;
  return a.every((part, i) => {
    const other = b[i] ?? "";
    return part === other || within(TOLERANCE_MS)(part, other, EMPTY) || sameMembers(part, other);
  });
}

const EMPTY: Step = { protocol: 2, form: "raw", args: [] };

/** HELLO without the number of the connection and the version. */
function withoutOwn(reply: string): string {
  return reply.replace(/(\$2\r\nid\r\n:)\d+/, "$1").replace(/(\$7\r\nversion\r\n)\$\d+\r\n[\d.]+/, "$1");
}

function integerOf(reply: string): number | null {
  const found = /^:(-?\d+)\r\n$/.exec(reply);
  return found === null ? null : Number(found[1]);
}

function textParts(reply: string): string[] | null {
  return partsOf(Buffer.from(reply, "latin1"))?.map((part) => DECODER.decode(part)) ?? null;
}
