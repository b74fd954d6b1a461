/**
 * Replicas that have applied the same entries have the same state: the newest versions that are neither fenced nor
 * expired at the last applied stamp, and the system bucket. Whenever a node stops at one of the chosen indexes, its state
 * is summed up, and has to come to the same as that of every other one that stopped there.
 */
import { utf8 } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import type { RaftRules } from "./raft-rules.ts";
import type { SimNode } from "./sim-node.ts";

/** One of so many indexes is chosen. */
const INDEX_STEP = 16;

export class StateWatch {
  readonly violations: string[] = [];
  readonly #rules: RaftRules;
  /** By shard and index. */
  readonly #known = new Map<string, { readonly checksum: number; readonly by: string }>();
  /** States that had to equal another one. */
  comparedCount = 0;

  constructor(rules: RaftRules) {
    this.#rules = rules;
  }

  look(node: SimNode, shard: number): void {
    const index = node.logOf(shard).appliedIndex;
    if (index > 0 && index % INDEX_STEP === 0) this.compare(node, shard, index);
  }

  /** The node has applied exactly so much. */
  compare(node: SimNode, shard: number, index: number): void {
    const stamp = this.#rules.writes.stampAt(shard, index);
    // A single voter applies before it is told that an entry is committed.
    if (stamp === null) return;
    const state = node.state(shard, stamp, this.#rules.writes.bucketIds);
    if (state === null) return;
    const checksum = crc32(utf8(JSON.stringify([...state])), 0);
    const key = `${shard}/${index}`;
    const known = this.#known.get(key);
    if (known === undefined) {
      this.#known.set(key, { checksum, by: node.name });
      return;
    }
    this.comparedCount += 1;
    if (known.checksum === checksum) return;
    this.violations.push(
      `shard ${shard} at entry ${index} is not the same at ${known.by} and ${node.name}, which has ${describe(state)}`,
    );
  }
}

function describe(state: ReadonlyMap<string, string>): string {
  return [...state].map(([key, value]) => `${key}=${value.replace(/\.{3,}$/, "…")}`).join(" ");
}
