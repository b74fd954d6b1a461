/**
 * The promises of Raft (Ongaro and Ousterhout, 2014, Figure 3), held against what the nodes of a run hand to their disks:
 *
 *   election safety         a term has one leader a shard
 *   leader append-only      who leads a term supersedes nothing of its own log in it
 *   log matching            an entry of one index and term is everywhere the same bytes, behind an entry of the same term
 *   leader completeness     what was committed in a term is in the log of the leader of every later one
 *   state machine safety    what any node commits at an index, every node that commits that index commits
 *   membership              a log is given up only by who is not named in a configuration that is committed
 *
 * What passes between a node and its shards is enough to see all that (node-log.ts), so production code knows nothing of
 * it. The last one for states instead of entries is in state-watch.ts; what is in the entries is in committed-writes.ts.
 */
import { crc32 } from "../core/crc32.ts";
import { decodeConfiguration } from "../record/configuration-format.ts";
import { ENTRY_HEADER_BYTES, isConfigurationEntry } from "../record/entry-format.ts";
import { CommittedWrites } from "./committed-writes.ts";

interface Entry {
  readonly checksum: number;
  /** Null: nobody has said so yet. */
  previousTerm: number | null;
  readonly by: string;
}

interface Committed {
  readonly term: number;
  /** A term in which it was certainly committed, or before. */
  readonly committedIn: number;
  readonly by: string;
}

/** What is known of the log of one node. */
export interface KnownLog {
  readonly firstIndex: number;
  termAt(index: number): number | undefined;
}

export class RaftRules {
  readonly violations: string[] = [];
  /** What is in the entries. */
  readonly writes = new CommittedWrites();
  /** Of each shard, by index. */
  readonly #committed = new Map<number, Committed[]>();
  /** By shard, index and term. */
  readonly #entries = new Map<string, Entry>();
  /** Names of the members of configurations, by shard, index and term. */
  readonly #configurations = new Map<string, readonly string[]>();
  /** By shard and term. */
  readonly #leaders = new Map<string, string>();

  /** True when it was not known that the node leads in this term. */
  elected(shard: number, term: number, name: string): boolean {
    const key = `${shard}/${term}`;
    const known = this.#leaders.get(key);
    if (known === name) return false;
    if (known !== undefined) this.violations.push(`${known} and ${name} both lead shard ${shard} in term ${term}`);
    else this.#leaders.set(key, name);
    return known === undefined;
  }

  leaderOf(shard: number, term: number): string | undefined {
    return this.#leaders.get(`${shard}/${term}`);
  }

  /** An entry has gone to somebody's disk. */
  appended(
    shard: number,
    index: number,
    term: number,
    previousTerm: number | undefined,
    bytes: Uint8Array,
    by: string,
  ): void {
    this.writes.appended(shard, bytes);
    const key = `${shard}/${index}/${term}`;
    if (isConfigurationEntry(bytes)) this.#configurations.set(key, namesIn(bytes));
    const checksum = crc32(bytes, 0);
    const known = this.#entries.get(key);
    if (known === undefined) {
      this.#entries.set(key, { checksum, previousTerm: previousTerm ?? null, by });
      return;
    }
    const which = `entry ${index} of term ${term} of shard ${shard}`;
    if (known.checksum !== checksum) {
      this.violations.push(`${which} is not the same at ${known.by} and at ${by}`);
    }
    known.previousTerm ??= previousTerm ?? null;
    if (previousTerm !== undefined && known.previousTerm !== previousTerm) {
      const terms = `term ${known.previousTerm} at ${known.by}, of term ${previousTerm} at ${by}`;
      this.violations.push(`${which} stands behind an entry of ${terms}`);
    }
  }

  /** Whether a configuration at this index is committed that does not name a node. */
  isDismissed(shard: number, name: string, index: number): boolean {
    const committed = this.#committed.get(shard)?.[index];
    const names = this.#configurations.get(`${shard}/${index}/${committed?.term}`);
    return names !== undefined && !names.includes(name);
  }

  /** Whether somebody has written such an entry. */
  knows(shard: number, index: number, term: number): boolean {
    return this.#entries.has(`${shard}/${index}/${term}`);
  }

  /** A node, which is in term `nodeTerm`, takes an entry for committed. */
  committed(shard: number, index: number, term: number, nodeTerm: number, by: string): void {
    const ofShard = this.#committed.get(shard) ?? [];
    this.#committed.set(shard, ofShard);
    const known = ofShard[index];
    if (known === undefined) {
      ofShard[index] = { term, committedIn: nodeTerm, by };
      this.writes.committed(shard, index, term);
    } else if (known.term !== term) {
      const said = `entry ${index} of shard ${shard} was committed by ${known.by} in term ${known.term}`;
      this.violations.push(`${said}, and by ${by} in term ${term}`);
    }
  }

  /** To be called when the first entry of a leader is in its log: everything that lies before it is, too. */
  checkLeader(shard: number, leaderTerm: number, name: string, log: KnownLog): void {
    const ofShard = this.#committed.get(shard) ?? [];
    for (let index = Math.max(1, log.firstIndex); index < ofShard.length; index++) {
      const committed = ofShard[index];
      if (committed === undefined || committed.committedIn > leaderTerm) continue;
      const term = log.termAt(index);
      if (term === committed.term) continue;
      const said = `entry ${index} of shard ${shard}, committed by ${committed.by} in term ${committed.committedIn}`;
      const found = term === undefined ? "missing" : `of term ${term} instead of ${committed.term}`;
      this.violations.push(`${said}, is ${found} in the log of ${name}, who leads term ${leaderTerm}`);
    }
  }
}

function namesIn(entry: Uint8Array): readonly string[] {
  const members = decodeConfiguration(entry.subarray(ENTRY_HEADER_BYTES), "an entry");
  return members instanceof Error ? [] : members.map(({ name }) => name);
}
