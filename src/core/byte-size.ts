/** Sizes as people write them: 4096, 64KiB, 100MiB, 1GiB. Any thread. */

const KIB = 1024;
const BYTES_OF_SUFFIX: Readonly<Record<string, number>> = {
  "": 1,
  kib: KIB,
  mib: KIB * KIB,
  gib: KIB * KIB * KIB,
  tib: KIB * KIB * KIB * KIB,
};

/** Null: it is none, or beyond what a number holds exactly. */
export function parseByteSize(text: string): number | null {
  const match = /^(\d{1,16})\s*([a-z]*)$/i.exec(text);
  const unit = BYTES_OF_SUFFIX[match?.[2]?.toLowerCase() ?? "none"];
  if (match === null || unit === undefined) return null;
  const byteCount = Number(match[1]) * unit;
  return Number.isSafeInteger(byteCount) ? byteCount : null;
}
