/** What BUCKET CREATE and BUCKET QUOTA are told about a bucket. */
import type { BucketQuota } from "../cluster/coordinator.ts";
import { parseByteSize } from "../core/byte-size.ts";
import { parseDurability } from "../record/durability.ts";
import type { RequestArguments } from "../wire/request-arguments.ts";

const RATE_MAX = 10_000_000;

export interface BucketOptions {
  /** Null: as the node has it. */
  durability: number | null;
  /** What is said of it. */
  quota: { -readonly [Field in keyof BucketQuota]?: number };
}

/** `[DURABILITY sync|os|interval:<ms>] [QUOTA bytes] [KEYS count] [RATE commands a second]`; null: not understood. */
export function createOptions(request: RequestArguments): BucketOptions | null {
  const options: BucketOptions = { durability: null, quota: {} };
  return takePairs(request, 3, options) ? options : null;
}

/** `[bytes] [KEYS count] [RATE commands a second]`, at least one of them; 0 stands for no limit. Null: not understood. */
export function quotaOptions(request: RequestArguments): BucketOptions | null {
  const options: BucketOptions = { durability: null, quota: {} };
  const isSized = request.count % 2 === 0;
  if (isSized && !takeQuota("quota", request.text(3), options)) return null;
  const isUnderstood = takePairs(request, isSized ? 4 : 3, options) && options.durability === null;
  return isUnderstood && Object.keys(options.quota).length > 0 ? options : null;
}

function takePairs(request: RequestArguments, from: number, options: BucketOptions): boolean {
  if ((request.count - from) % 2 !== 0) return false;
  for (let i = from; i < request.count; i += 2) {
    const word = request.word(i);
    if (word === "durability") {
      const durability = parseDurability(request.word(i + 1));
      if (durability === null) return false;
      options.durability = durability;
    } else if (!takeQuota(word, request.text(i + 1), options)) return false;
  }
  return true;
}

function takeQuota(word: string, text: string, { quota }: BucketOptions): boolean {
  const value = word === "quota" ? parseByteSize(text) : /^\d{1,15}$/.test(text) ? Number(text) : null;
  if (value === null) return false;
  if (word === "quota") quota.bytes = value;
  else if (word === "keys") quota.keys = value;
  else if (word === "rate" && value <= RATE_MAX) quota.rate = value;
  else return false;
  return true;
}
