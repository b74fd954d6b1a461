/**
 * Where EnvelopeDB does not answer as Redis does, on purpose, each with its reason; the table in docs/redis.md says the
 * same. An entry either keeps a step from being sent (its effect would differ, and with it everything after it), or says
 * which of two different answers are meant.
 */
import { nameOf, type Step, textAt, wordAt } from "./step.ts";

interface IntendedDifference {
  readonly what: string;
  readonly why: string;
  readonly omits?: (step: Step) => boolean;
  readonly admits?: (step: Step, redis: string, ours: string) => boolean;
}

const CALENDAR_END_MS = BigInt(Number.MAX_SAFE_INTEGER);
const FLEETING_MS = 900_000n;
const I64_MAX = 0x7fff_ffff_ffff_ffffn;
/** Where a time stands in the arguments, and how many milliseconds one of its units has. */
const TIMES: Readonly<Record<string, readonly [place: number, unit: bigint]>> = {
  setex: [2, 1000n],
  psetex: [2, 1n],
  expire: [2, 1000n],
  pexpire: [2, 1n],
  expireat: [2, 1000n],
  pexpireat: [2, 1n],
};
const TIME_OPTIONS: Readonly<Record<string, bigint>> = { ex: 1000n, px: 1n, exat: 1000n, pxat: 1n };

export const INTENDED_DIFFERENCES: readonly IntendedDifference[] = [
  {
    what: "an expiry beyond the year 287396 is an invalid expire time",
    why: "times are kept in 53 bits of milliseconds, which every language's numbers hold exactly",
    omits: (step) => timesIn(step).some((ms) => ms > CALENDAR_END_MS - 10_000_000_000_000n && ms <= I64_MAX),
  },
  {
    what: "the longest value has `valueBytesMax` (16 MiB), in Redis `proto-max-bulk-len` (512 MB)",
    why: "a value travels through logs and peers in one piece; the text of the error is the same",
    omits: (step) => ["setbit", "getbit", "setrange"].includes(nameOf(step)) && isBetweenLimits(step, textAt(step, 2)),
  },
  {
    what: "OBJECT ENCODING says int, embstr or raw by the value alone",
    why: "Redis tells how a value came to be (APPEND leaves raw behind, INCRBYFLOAT no int); here all are kept alike",
    admits: (step, redis, ours) =>
      wordAt(step, 0) === "object" && wordAt(step, 1) === "encoding" && isEncoding(redis) && isEncoding(ours),
  },
  {
    what: "a pattern of several stars matches the empty key",
    why: "in Redis one star does and two do not, by an oversight",
    admits: (step, redis, ours) =>
      ["keys", "scan"].includes(nameOf(step)) &&
      step.args.some((_, i) => /^\*\*+$/.test(textAt(step, i))) &&
      ours.includes("$0\r\n\r\n") &&
      !redis.includes("$0\r\n\r\n"),
  },
  {
    what: "CLIENT PAUSE of more than 0 ms is refused",
    why: "clients of the other nodes of a cluster would write on, and that they do not is what it is used for",
    omits: (step) =>
      wordAt(step, 0) === "client" && wordAt(step, 1) === "pause" && /^0*[1-9]\d*$/.test(textAt(step, 2)),
  },
  {
    what: "more than 1,048,576 arguments are an invalid multibulk length",
    why: "the limit of Redis before 7; nobody means them",
    admits: (step) => step.form === "raw" && textAt(step, 0) === "*1048577\r\n",
  },
  {
    what: "between MULTI and EXEC, logins, LCS and commands about whole buckets or the node are refused",
    why: "a transaction is one command about keys of one shard (the generator keeps them apart)",
  },
  {
    what: "a key that is absent when it is watched, set, and removed again has not changed",
    why: "whether a removal leaves a trace is a compaction's affair (the generator keeps them apart)",
  },
  {
    what: "WATCH of keys of two buckets at once is refused",
    why: "the same",
  },
  {
    what: "COPY with DB to another bucket is refused",
    why: "the same",
    omits: (step) =>
      nameOf(step) === "copy" && step.args.some((_, i) => i > 2 && /^(\d|1[0-5])$/.test(textAt(step, i))),
  },
  {
    what: "a HELLO that is refused changes nothing",
    why: "in Redis the name of SETNAME stays when a later option is wrong",
    omits: (step) => nameOf(step) === "hello" && step.args.some((_, i) => i > 1 && wordAt(step, i) === "setname"),
  },
  {
    what: "ROLE with arguments is about the roles of users",
    why: "without any it tells what Redis tells",
    omits: (step) => nameOf(step) === "role" && step.args.length > 1,
  },
  {
    what: "an empty request does not use up CLIENT REPLY SKIP",
    why: "it is no request (the generator keeps the two apart)",
  },
  {
    what: "a broken request is answered and its connection closed, whatever CLIENT REPLY was told",
    why: "Redis keeps the connection and is silent for ever (the generator keeps the two apart)",
  },
];

/** An offset at which Redis still makes a value, and the node none. */
function isBetweenLimits(step: Step, offset: string): boolean {
  if (!/^\d{1,10}$/.test(offset)) return false;
  const byteOffset = nameOf(step) !== "setrange" ? Number(offset) / 8 : Number(offset);
  return byteOffset > 1_000_000 && byteOffset < 512 * 1024 * 1024;
}

function isEncoding(reply: string): boolean {
  return /^\$\d+\r\n(int|embstr|raw)\r\n$/.test(reply);
}

/** Whether a step is never sent, because its effect differs on purpose. */
export function isOmitted(step: Step): boolean {
  return INTENDED_DIFFERENCES.some(({ omits }) => omits?.(step) ?? false);
}

/** Whether two answers to a step differ as they are meant to. */
export function isIntended(step: Step, redis: string, ours: string): boolean {
  return INTENDED_DIFFERENCES.some(({ admits }) => admits?.(step, redis, ours) ?? false);
}

/** Whether what a step does hangs on how soon another one comes: times to live of moments. */
export function isFleeting(step: Step): boolean {
  return timesIn(step).some((ms) => ms > 0n && ms < FLEETING_MS);
}

/** Every time to live in a step, in milliseconds. */
function timesIn(step: Step): bigint[] {
  const found: bigint[] = [];
  const take = (place: number, unit: bigint): void => {
    const text = textAt(step, place);
    if (/^-?\d{1,19}$/.test(text)) found.push(BigInt(text) * unit);
  };
  const fixed = TIMES[nameOf(step)];
  if (fixed !== undefined) take(...fixed);
  for (let i = 2; i < step.args.length; i++) {
    const unit = TIME_OPTIONS[wordAt(step, i)];
    if (unit !== undefined) take(i + 1, unit);
  }
  return found;
}
