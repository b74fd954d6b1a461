/**
 * Looks at a node after every event of its process, and after every start: who leads, whether anything falls that must
 * not, and whether replicas that have applied the same entries have the same state.
 *
 *   - in one life of a node neither commit index nor applied index falls, unless it gives up its log, and applied never
 *     passes commit
 *   - a node's term never falls
 *   - a node that came back with an empty disk hears of no term and leads nobody
 */
import type { ShardStatus } from "../cluster/coordinator.ts";
import type { RaftRules } from "./raft-rules.ts";
import type { SimProcess } from "./scheduler.ts";
import type { SimNode } from "./sim-node.ts";
import type { StateWatch } from "./state-watch.ts";

interface Progress {
  life: number;
  /** How often the log had been given up. */
  emptied: number;
  /** Configurations that have come to the log. */
  changes: number;
  term: number;
  commit: number;
  applied: number;
  /** Its log is still to be held against what is committed, as that of the leader of this term; 0: it is not. */
  checksLogOf: number;
}

/** Who waits for the moments in which a misfortune is worst. */
export interface Hunter {
  elected(leaderName: string): void;
  /** A leader's commit index has risen. */
  committed(leaderName: string): void;
  /** A leader has proposed a change of members. */
  changed(leaderName: string): void;
}

export class Watch {
  readonly violations: string[] = [];
  readonly #nodes: readonly SimNode[];
  readonly #rules: RaftRules;
  readonly #states: StateWatch;
  /** Of each node, by shard. */
  readonly #progress = new Map<SimNode, Progress[]>();
  /** The life of each node that was looked at last. */
  readonly #lives = new Map<SimNode, SimProcess | null>();
  hunt: Hunter | null = null;

  constructor(nodes: readonly SimNode[], rules: RaftRules, states: StateWatch) {
    this.#nodes = nodes;
    this.#rules = rules;
    this.#states = states;
  }

  /** `running`: the process whose event it was; what happens to nobody's process changes no node but by a start. */
  look(running: SimProcess | null): void {
    for (const node of this.#nodes) {
      const { process } = node;
      if (process === null || (process !== running && process === this.#lives.get(node))) continue;
      this.#lives.set(node, process);
      for (const status of node.coordinator?.shards() ?? []) this.#lookAt(node, status);
    }
  }

  #lookAt(node: SimNode, status: ShardStatus): void {
    const { shard, role, term, commitIndex, appliedIndex } = status;
    const key = `${node.name}/${shard}`;
    const last = this.#progressOf(node, shard);
    const { emptiedCount } = node.logOf(shard);
    const isSameLife = last.life === node.lifeCount && last.emptied === emptiedCount;
    if (isSameLife && (commitIndex < last.commit || appliedIndex < last.applied)) {
      this.violations.push(`${key} fell from ${JSON.stringify(last)} to ${JSON.stringify(status)}`);
    }
    if (isSameLife && term < last.term) this.violations.push(`${key} fell from term ${last.term} to ${term}`);
    // Who votes alone applies before it is told that an entry is committed.
    const deciding = node.logOf(shard).votersAt(appliedIndex);
    if (appliedIndex > commitIndex && !(deciding.length === 1 && deciding[0] === node.name)) {
      this.violations.push(`${key} applied more than is committed: ${JSON.stringify(status)}`);
    }
    if (node.isWiped && (role === "leader" || term > 0)) {
      this.violations.push(`${key} came back with an empty disk and was let in: ${JSON.stringify(status)}`);
    }
    if (role === "leader") {
      if (this.#rules.elected(shard, term, node.name)) {
        last.checksLogOf = term;
        this.hunt?.elected(node.name);
      }
      if (commitIndex > (isSameLife ? last.commit : 0)) this.hunt?.committed(node.name);
      if (node.logOf(shard).changeCount > last.changes) this.hunt?.changed(node.name);
    }
    this.#checkLeader(node, status, last);
    if (!isSameLife || appliedIndex > last.applied) this.#states.look(node, shard);
    last.life = node.lifeCount;
    last.emptied = emptiedCount;
    last.changes = node.logOf(shard).changeCount;
    last.term = term;
    last.commit = commitIndex;
    last.applied = appliedIndex;
  }

  #progressOf(node: SimNode, shard: number): Progress {
    const ofNode = this.#progress.get(node) ?? [];
    this.#progress.set(node, ofNode);
    ofNode[shard] ??= { life: 0, emptied: 0, changes: 0, term: 0, commit: 0, applied: 0, checksLogOf: 0 };
    return ofNode[shard];
  }

  /** As soon as its first entry is in its log: before that the disk may be behind what the node has in memory. */
  #checkLeader(node: SimNode, { shard, role, term }: ShardStatus, progress: Progress): void {
    if (progress.checksLogOf === 0) return;
    const log = node.logOf(shard);
    const isStill = role === "leader" && term === progress.checksLogOf;
    if (isStill && !log.hasTerm(term)) return;
    if (isStill) this.#rules.checkLeader(shard, term, node.name, log);
    progress.checksLogOf = 0;
  }
}
