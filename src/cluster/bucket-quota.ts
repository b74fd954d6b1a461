/**
 * How much a bucket may hold, and how fast it may be used: as its profile in the catalog has it. 0: without a limit.
 */
import type { BucketQuota } from "./coordinator.ts";

export const NO_QUOTA: BucketQuota = { bytes: 0, keys: 0, rate: 0 };

/** The fields of a profile. */
interface QuotaFields {
  readonly quotaBytes?: number;
  readonly quotaKeys?: number;
  readonly rate?: number;
}

export function quotaOf({ quotaBytes = 0, quotaKeys = 0, rate = 0 }: QuotaFields): BucketQuota {
  return { bytes: quotaBytes, keys: quotaKeys, rate };
}

/** Only what is to change. */
export function quotaFields({ bytes, keys, rate }: Partial<BucketQuota>): QuotaFields {
  return {
    ...(bytes === undefined ? {} : { quotaBytes: bytes }),
    ...(keys === undefined ? {} : { quotaKeys: keys }),
    ...(rate === undefined ? {} : { rate }),
  };
}
