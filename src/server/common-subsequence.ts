/**
 * The longest common subsequence of two values, by the table of the lengths of all their beginnings (Wagner and Fischer,
 * 1974). Of several equally long ones it is the one that Redis takes: the walk back goes on in `a` only where that is
 * strictly better.
 *
 *   lengths[i, j] = length of the longest common subsequence of the first i bytes of a and the first j of b
 */

/** Bytes first to last of `a` are the same as those of `b`, and part of the subsequence; ends included. */
interface CommonRun {
  readonly aFirst: number;
  readonly aLast: number;
  readonly bFirst: number;
  readonly bLast: number;
}

export interface CommonSubsequence {
  readonly bytes: Uint8Array;
  /** The runs of it, from the back. */
  readonly runs: readonly CommonRun[];
}

/** What the table takes. */
export function tableBytes(a: Uint8Array, b: Uint8Array): number {
  return (a.length + 1) * (b.length + 1) * Uint32Array.BYTES_PER_ELEMENT;
}

export function commonSubsequence(a: Uint8Array, b: Uint8Array): CommonSubsequence {
  const lengths = lengthTable(a, b);
  const width = b.length + 1;
  const bytes = new Uint8Array(lengths[lengths.length - 1]!);
  const runs: CommonRun[] = [];
  let runBytes = 0;
  let left = bytes.length;
  let i = a.length;
  let j = b.length;
  const endRun = (): void => {
    if (runBytes > 0) runs.push({ aFirst: i, aLast: i + runBytes - 1, bFirst: j, bLast: j + runBytes - 1 });
    runBytes = 0;
  };
  while (i > 0 && j > 0) {
    if (a[i - 1] === b[j - 1]) {
      i -= 1;
      j -= 1;
      left -= 1;
      bytes[left] = a[i]!;
      runBytes += 1;
      continue;
    }
    endRun();
    if (lengths[(i - 1) * width + j]! > lengths[i * width + j - 1]!) i -= 1;
    else j -= 1;
  }
  endRun();
  return { bytes, runs };
}

function lengthTable(a: Uint8Array, b: Uint8Array): Uint32Array {
  const width = b.length + 1;
  const lengths = new Uint32Array((a.length + 1) * width);
  for (let i = 1; i <= a.length; i++) {
    const byte = a[i - 1]!;
    const row = i * width;
    const above = row - width;
    for (let j = 1; j <= b.length; j++) {
      if (byte === b[j - 1]) lengths[row + j] = lengths[above + j - 1]! + 1;
      else lengths[row + j] = Math.max(lengths[above + j]!, lengths[row + j - 1]!);
    }
  }
  return lengths;
}
