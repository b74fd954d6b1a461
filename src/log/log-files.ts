/**
 * The names of the log's files in a shard's directory. Other parts keep files of their own there, told apart by their
 * endings. A name that ends in `.next` belongs to a file still being made; it never counts and is removed at start.
 */
const SEGMENT_NAME = /^(\d{8,})\.evp$/;
const HINT_NAME = /^(\d{8,})\.hint$/;
const UNFINISHED_NAME = /^\d{8,}\.(evp|hint)\.next$/;
const STEM_DIGITS = 8;

export interface LogFiles {
  /** Ids of the segments, ascending. */
  readonly segments: readonly number[];
  /** Ids that have a hint, ascending. */
  readonly hints: readonly number[];
  /** Names of files that were still being made. */
  readonly unfinished: readonly string[];
}

export function segmentPath(directory: string, id: number): string {
  return `${directory}/${stem(id)}.evp`;
}

/** The name of a segment that has left the log and is kept for the values in it: no part of the log any more. */
export function keptSegmentPath(directory: string, id: number): string {
  return `${directory}/${stem(id)}.kept.evp`;
}

export function hintPath(directory: string, id: number): string {
  return `${directory}/${stem(id)}.hint`;
}

/** Where a file is made before it takes its name. */
export function unfinishedPath(path: string): string {
  return `${path}.next`;
}

/** Sorts a directory's names. */
export function sortLogFiles(names: readonly string[]): LogFiles {
  return {
    segments: idsOf(names, SEGMENT_NAME),
    hints: idsOf(names, HINT_NAME),
    unfinished: names.filter((name) => UNFINISHED_NAME.test(name)),
  };
}

function stem(id: number): string {
  return String(id).padStart(STEM_DIGITS, "0");
}

function idsOf(names: readonly string[], pattern: RegExp): number[] {
  const ids: number[] = [];
  for (const name of names) {
    const match = pattern.exec(name);
    if (match?.[1] !== undefined) ids.push(Number(match[1]));
  }
  return ids.sort((a, b) => a - b);
}
