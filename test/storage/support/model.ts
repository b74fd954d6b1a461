/** What a tree must answer: the newest version of each key of everything flushed, kept in a Map. */
import { utf8 } from "../../../src/core/bytes.ts";
import type { Random } from "../../../src/core/random.ts";
import { VersionKind } from "../../../src/record/version.ts";
import type { DropRule } from "../../../src/storage/job.ts";
import { NO_RETENTION } from "../../../src/storage/retention.ts";
import type { Tree } from "../../../src/storage/tree.ts";
import { findIn, type PlainVersion, put, tombstone, walk } from "./versions.ts";

const KEY_COUNT = 60;
const BUCKET_COUNT = 3;

export interface Answer {
  readonly stamp: number;
  readonly value: string;
}

/** Makes versions with rising stamps over few keys, and remembers which batches became visible. */
export class Model {
  readonly fenced = new Set<number>();
  /** The rule of jobs as of now: fences and the last stamp, which is its own clock here. */
  nowMs = 0;
  #stamp = 0;
  #newest = new Map<string, PlainVersion>();

  /** The next batch of random versions: several of one key among them, tombstones, expiries. */
  batch(random: Random, count: number): PlainVersion[] {
    return Array.from({ length: count }, () => {
      this.#stamp += 1;
      const bucket = 1 + random.below(BUCKET_COUNT);
      const key = `key-${random.below(KEY_COUNT)}`;
      if (random.chance(0.25)) return tombstone(key, this.#stamp, bucket);
      const expiryMs = random.chance(0.2) ? this.nowMs + random.below(300) : 0;
      return put(key, this.#stamp, `${this.#stamp}`.padEnd(random.below(120), "."), bucket, expiryMs);
    });
  }

  /** The batch has been flushed. */
  show(batch: readonly PlainVersion[]): void {
    for (const version of batch) this.#newest.set(nameOf(version), version);
  }

  rule(): DropRule {
    const fenced = new Set(this.fenced);
    return { fenced: (bucket) => fenced.has(bucket), expireBeforeMs: this.nowMs, retention: NO_RETENTION };
  }

  /** Every key of every bucket that a reader may see now. */
  visible(): Map<string, Answer> {
    const answers = new Map<string, Answer>();
    for (const version of this.#newest.values()) {
      if (this.#isVisible(version)) answers.set(nameOf(version), answerOf(version));
    }
    return answers;
  }

  /** The same as the tree's look-ups say. */
  lookedUp(tree: Tree): Map<string, Answer> {
    const answers = new Map<string, Answer>();
    for (let bucket = 1; bucket <= BUCKET_COUNT; bucket++) {
      for (let i = 0; i < KEY_COUNT; i++) {
        const key = utf8(`key-${i}`);
        const found = findIn(tree, bucket, key);
        if (found === null) continue;
        const version: PlainVersion = { ...put("", 0, "", bucket), ...plain(found), key };
        if (this.#isVisible(version)) answers.set(nameOf(version), answerOf(version));
      }
    }
    return answers;
  }

  /** The same as a walk over the tree says: the first version of each key counts. */
  walked(tree: Tree): Map<string, Answer> {
    using cursor = tree.cursor();
    const answers = new Map<string, Answer>();
    let last = "";
    for (const version of walk(cursor)) {
      const name = nameOf(version);
      if (name !== last && this.#isVisible(version)) answers.set(name, answerOf(version));
      last = name;
    }
    return answers;
  }

  #isVisible(version: PlainVersion): boolean {
    if (this.fenced.has(version.bucket) || version.kind === VersionKind.tombstone) return false;
    return version.expiryMs === 0 || version.expiryMs > this.nowMs;
  }
}

export function sorted(answers: ReadonlyMap<string, Answer>): [string, Answer][] {
  return [...answers].sort(([a], [b]) => (a < b ? -1 : 1));
}

function plain(found: Omit<PlainVersion, "bucket" | "key">): Omit<PlainVersion, "bucket" | "key"> {
  const { stampHigh, stampLow, origin, kind, expiryMs } = found;
  return { stampHigh, stampLow, origin, kind, expiryMs, value: found.value.slice() };
}

function nameOf(version: PlainVersion): string {
  return `${version.bucket}/${new TextDecoder().decode(version.key)}`;
}

function answerOf(version: PlainVersion): Answer {
  return { stamp: version.stampLow, value: new TextDecoder().decode(version.value) };
}
