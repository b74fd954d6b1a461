/** The names of the files that hold values and are not the log's (value-files.ts). */
import { EnvelopeError } from "../core/errors.ts";
import { type FileNumber, fileNumber, type ValueFileId } from "../core/ids.ts";
import type { Disk } from "../env/disk.ts";
import { keptSegmentPath, segmentPath } from "../log/log-files.ts";
import { isLogSegment, stemOf, valueFileOfNumber, valueFileOfSegment } from "./value-pointer-format.ts";

const NAME_PATTERN = /^(\d{8,})\.(kept|values)\.evp$/;
const STEM_DIGITS = 8;

/** Of a value segment. */
export function valueSegmentPath(directory: string, number: FileNumber): string {
  return `${directory}/${String(number).padStart(STEM_DIGITS, "0")}.values.evp`;
}

/** As its path ends while it is in the log, or for ever if it never was. */
export function valueFileName(file: ValueFileId): string {
  return `${String(stemOf(file)).padStart(STEM_DIGITS, "0")}${isLogSegment(file) ? ".evp" : ".values.evp"}`;
}

/** As it is named when it is not, or no longer, in the log. */
export function nameOutsideLog(file: ValueFileId): string {
  return `${String(stemOf(file)).padStart(STEM_DIGITS, "0")}.${isLogSegment(file) ? "kept" : "values"}.evp`;
}

/** Where the file lies: in the log or out of it. Throws MISSING_FILE. */
export function findValueFile(disk: Disk, directory: string, file: ValueFileId): string {
  const stem = stemOf(file);
  if (!isLogSegment(file)) return valueSegmentPath(directory, fileNumber(stem));
  const inLog = segmentPath(directory, stem);
  if (disk.exists(inLog)) return inLog;
  const kept = keptSegmentPath(directory, stem);
  if (disk.exists(kept)) return kept;
  throw new EnvelopeError("MISSING_FILE", `${inLog} is missing, and tables point to values in it`);
}

/** The numbers among a directory's names that value segments have taken. */
export function valueSegmentNumbers(names: readonly string[]): number[] {
  const files = names.map(valueFileOfName).filter((file) => file !== null);
  return files.filter((file) => !isLogSegment(file)).map(stemOf);
}

/** Which file bears the name; null when it is none of these. */
export function valueFileOfName(name: string): ValueFileId | null {
  const [, digits, kind] = NAME_PATTERN.exec(name) ?? [];
  if (digits === undefined || Number(digits) < 1) return null;
  return kind === "kept" ? valueFileOfSegment(Number(digits)) : valueFileOfNumber(fileNumber(Number(digits)));
}
