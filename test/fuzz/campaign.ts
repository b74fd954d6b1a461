/**
 * Many inputs for one target, each from a seed of its own. What must not happen is a *finding*: an error that is none of the
 * target's refusals, or an input that is never done with. A finding is made as small as it gets before it is told.
 */
import { EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import type { FuzzTarget } from "./target.ts";

export interface Finding {
  readonly target: string;
  readonly inputSeed: number;
  readonly what: string;
  readonly input: Uint8Array;
}

export interface CampaignResult {
  readonly inputCount: number;
  /** Inputs that yielded messages without an error. */
  readonly acceptedCount: number;
  readonly messageCount: number;
  readonly findings: readonly Finding[];
  /** Of the heap, after a collection: when a tenth of the inputs was through, and at the end. */
  readonly heapBytesEarly: number;
  readonly heapBytesLate: number;
  readonly slowestMs: number;
}

const FINDINGS_MAX = 5;
const INPUTS_PER_TURN = 64;
const SHRINK_ROUNDS_MAX = 200;

export async function runCampaign(target: FuzzTarget, inputCount: number, seed: number): Promise<CampaignResult> {
  const random = new Random(seed);
  const findings: Finding[] = [];
  let acceptedCount = 0;
  let messageCount = 0;
  let heapBytesEarly = 0;
  let slowestMs = 0;
  for (let i = 0; i < inputCount && findings.length < FINDINGS_MAX; i++) {
    const inputSeed = random.u32();
    const input = target.make(new Random(inputSeed));
    const begunMs = performance.now();
    const outcome = outcomeOf(target, input, inputSeed);
    slowestMs = Math.max(slowestMs, performance.now() - begunMs);
    if (typeof outcome === "number") {
      acceptedCount += 1;
      messageCount += outcome;
    } else if (outcome !== "refused") findings.push(shrunk(target, inputSeed, input, outcome.what));
    // What is held for the end of a turn (a decompressor that has failed) is let go there, as in a node.
    if (i % INPUTS_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    if (i === Math.floor(inputCount / 10)) heapBytesEarly = heapBytes();
  }
  await new Promise((resolve) => setImmediate(resolve));
  const heapBytesLate = heapBytes();
  return { inputCount, acceptedCount, messageCount, findings, heapBytesEarly, heapBytesLate, slowestMs };
}

/** How many messages, or that it was refused as it should be, or what went wrong. */
export function outcomeOf(
  target: FuzzTarget,
  input: Uint8Array,
  inputSeed: number,
): number | "refused" | { readonly what: string } {
  try {
    return target.take(input.slice(), new Random(inputSeed));
  } catch (cause) {
    if (cause instanceof EnvelopeError && target.refusals.includes(cause.code)) return "refused";
    return { what: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause) };
  }
}

/** Pieces are left out as long as the same goes wrong. */
function shrunk(target: FuzzTarget, inputSeed: number, input: Uint8Array, what: string): Finding {
  let smallest = input;
  let pieceBytes = Math.ceil(input.length / 2);
  for (let round = 0; round < SHRINK_ROUNDS_MAX && pieceBytes > 0; round++) {
    const smaller = withoutOnePiece(target, inputSeed, smallest, pieceBytes, what);
    if (smaller === null) pieceBytes = pieceBytes === 1 ? 0 : Math.ceil(pieceBytes / 2);
    else smallest = smaller;
  }
  return { target: target.name, inputSeed, what, input: smallest };
}

function withoutOnePiece(
  target: FuzzTarget,
  inputSeed: number,
  input: Uint8Array,
  pieceBytes: number,
  what: string,
): Uint8Array | null {
  for (let start = 0; start < input.length; start += pieceBytes) {
    const smaller = new Uint8Array(Buffer.concat([input.subarray(0, start), input.subarray(start + pieceBytes)]));
    const outcome = outcomeOf(target, smaller, inputSeed);
    if (typeof outcome === "object" && firstWords(outcome.what) === firstWords(what)) return smaller;
  }
  return null;
}

function firstWords(what: string): string {
  return what.slice(0, 40);
}

function heapBytes(): number {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}
