/**
 * One run of a whole simulated cluster, named by its seed: production nodes on simulated machines, clients, and a
 * nemesis. When the misfortunes are over, the cluster has to come to rest, and then these must hold:
 *
 *   - every client's history is linearizable, key by key: nothing acknowledged is lost, nothing stale is read
 *   - every replica of a shard shows the same state, having applied the same entries
 *   - the logs hold every write once, in the order in which its connection sent it (see committed-writes.ts)
 *
 * and all along:
 *
 *   - a term has one leader a shard
 *   - what one node has committed at an index, every node that commits that index commits
 *   - in one life of a node neither its commit index nor its applied index falls, and applied never passes commit
 *   - no operation is answered twice, and nothing throws but a disk that was told to
 *
 * Not checked: how long anything takes, beyond coming to rest at all.
 */
import { CommittedTerms } from "./committed-terms.ts";
import { History } from "./history.ts";
import { Nemesis } from "./nemesis.ts";
import { Scheduler } from "./scheduler.ts";
import {
  clientOf,
  isHunted,
  type Season,
  seasonOf,
  shapeOf,
  syncDelayOf,
  troubledMsOf,
  usedNodeCountOf,
  wireOf,
  workloadOf,
} from "./season.ts";
import { SimClient } from "./sim-client.ts";
import { type SimClusterShape, SimNode } from "./sim-node.ts";
import { Wire } from "./sim-network.ts";
import { Trace } from "./trace.ts";
import { judge } from "./verdict.ts";
import type { Weather } from "./weathers.ts";
import { KeySpace, Workload } from "./workload.ts";

/** The most virtual time that coming to rest may take. */
const REST_MS_MAX = 30_000;

export interface ClusterRun {
  readonly seed: number;
  /** What was wrong; empty: nothing. */
  readonly violations: readonly string[];
  /** Equal for two runs of one seed. */
  readonly fingerprint: string;
  readonly callCount: number;
  readonly answeredCount: number;
  readonly undecidedCount: number;
  /** Buckets emptied. */
  readonly renewalCount: number;
  /** How often a node was started again. */
  readonly restartCount: number;
  /** The last lines of what happened. */
  readonly tail: readonly string[];
}

export function runClusterSim(seed: number, weather: Weather): ClusterRun {
  return new ClusterSim(seed, weather).run();
}

class ClusterSim {
  readonly #seed: number;
  readonly #scheduler: Scheduler;
  readonly #trace: Trace;
  readonly #history = new History();
  readonly #committed = new CommittedTerms();
  readonly #nodes: readonly SimNode[];
  readonly #clients: readonly SimClient[];
  readonly #nemesis: Nemesis;
  readonly #watch: Watch;
  readonly #shape: SimClusterShape;
  readonly #troubledMs: number;
  readonly #violations: string[] = [];

  constructor(seed: number, weather: Weather) {
    this.#seed = seed;
    this.#scheduler = new Scheduler(seed);
    this.#trace = new Trace(this.#scheduler, null);
    const { random } = this.#scheduler;
    const season = seasonOf(weather, random.fraction());
    this.#troubledMs = troubledMsOf(season);
    this.#shape = shapeOf(random, season);
    const wire = new Wire(this.#scheduler, wireOf(random, season));
    const syncDelayMs = syncDelayOf(random);
    this.#nodes = this.#shape.memberNames.map(
      (name) => new SimNode(name, this.#scheduler, wire, this.#trace, this.#committed, this.#shape, syncDelayMs),
    );
    this.#watch = new Watch(this.#nodes);
    for (const node of this.#nodes) node.start();
    const usedNodes = this.#nodes.slice(0, usedNodeCountOf(season));
    this.#clients = this.#newClients(season, usedNodes);
    this.#nemesis = new Nemesis(this.#scheduler, wire, this.#trace, this.#nodes, season);
    if (isHunted(season)) this.#watch.hunter = this.#nemesis;
    for (const client of this.#clients) client.onRenewal = (process) => this.#nemesis.emptying(process, usedNodes);
  }

  #newClients(season: Season, nodes: readonly SimNode[]): readonly SimClient[] {
    const { random } = this.#scheduler;
    const ofWorkload = workloadOf(random, season);
    const created = new Set<string>();
    const keys = new KeySpace();
    return Array.from({ length: random.between(3, 6) }, (_, i) => {
      const options = clientOf(random, season);
      const workload = new Workload(`c${i}`, random, keys, ofWorkload);
      return new SimClient(`c${i}`, this.#scheduler, nodes, this.#history, workload, created, options);
    });
  }

  run(): ClusterRun {
    this.#scheduler.schedule(this.#troubledMs, null, () => {
      this.#nemesis.end();
      for (const client of this.#clients) client.stop();
    });
    this.#advance(this.#troubledMs, () => false);
    this.#comeToRest();
    const { wrong, undecidedCount } = judge(this.#history.keys());
    this.#violations.push(...this.#committed.violations, ...this.#watch.violations, ...wrong);
    this.#violations.push(...this.#committed.writes.judge(this.#history.keys()));
    for (const { broken } of this.#clients) if (broken !== null) this.#violations.push(broken);
    return {
      seed: this.#seed,
      violations: this.#violations,
      fingerprint: this.#trace.fingerprint,
      callCount: this.#history.callCount,
      answeredCount: this.#history.answeredCount,
      undecidedCount,
      renewalCount: this.#history.renewalCount,
      restartCount: this.#nodes.reduce((sum, node) => sum + node.lifeCount - 1, 0),
      tail: this.#trace.tail(100),
    };
  }

  /** Runs for a while, or until `done`; whatever events throw is the end of their node, or a violation. */
  #advance(ms: number, done: () => boolean): void {
    const limitMs = this.#scheduler.nowMs + ms;
    while (!done() && this.#violations.length === 0) {
      try {
        if (!this.#scheduler.step(limitMs)) return;
      } catch (thrown) {
        this.#thrown(thrown);
      }
      this.#watch.look();
    }
  }

  #thrown(thrown: unknown): void {
    const node = this.#nodes.find(({ disk, process }) => disk.isDead || process === this.#scheduler.running);
    if (node === undefined || !node.excuses(thrown)) {
      const what = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
      this.#violations.push(`${node?.name ?? "the simulation"} threw ${what}`);
      return;
    }
    this.#trace.note(`${node.name} died: ${String(thrown)}`);
    this.#nemesis.died(node);
  }

  #comeToRest(): void {
    if (this.#violations.length > 0) return;
    this.#advance(REST_MS_MAX, () => this.#isAtRest());
    if (this.#violations.length > 0) return;
    if (!this.#isAtRest()) {
      const idle = this.#clients.map((client) => client.isIdle);
      this.#violations.push(`the cluster did not come to rest: ${JSON.stringify({ idle, nodes: this.#statuses() })}`);
      return;
    }
    this.#readAllKeys();
    this.#advance(REST_MS_MAX, () => this.#isAtRest());
    if (this.#violations.length === 0) this.#compareReplicas();
  }

  /** Everybody is up and idle and has applied what is committed. */
  #isAtRest(): boolean {
    if (!this.#clients.every((client) => client.isIdle)) return false;
    const statuses = this.#statuses();
    if (statuses.some((shards) => shards === null)) return false;
    for (let shard = 0; shard < this.#shape.shardCount; shard++) {
      const views = statuses.map((shards) => shards?.[shard]);
      const leader = views.find((view) => view?.role === "leader");
      if (leader === undefined || leader.commitIndex === 0) return false;
      if (views.some((view) => view?.appliedIndex !== leader.commitIndex || view.term !== leader.term)) return false;
    }
    return true;
  }

  #statuses() {
    return this.#nodes.map((node) => node.coordinator?.shards() ?? null);
  }

  #readAllKeys(): void {
    const [client] = this.#clients;
    if (client === undefined) return;
    for (const { bucket, key } of this.#history.keys()) {
      let answered = false;
      client.readFinally(bucket, key, () => {
        answered = true;
      });
      this.#advance(REST_MS_MAX, () => answered);
      if (answered || this.#violations.length > 0) continue;
      this.#violations.push(`nobody answers a read of ${bucket}/${key} at rest`);
    }
  }

  #compareReplicas(): void {
    const catalogs = this.#nodes.map((node) => JSON.stringify(node.coordinator?.buckets()));
    if (new Set(catalogs).size > 1) this.#violations.push(`the catalogs differ:\n  ${catalogs.join("\n  ")}`);
    const buckets = new Set(this.#history.keys().map(({ bucket }) => bucket));
    for (const bucket of buckets) {
      for (let shard = 0; shard < this.#shape.shardCount; shard++) {
        const states = this.#nodes.map((node) => JSON.stringify([...node.visibleState(shard, bucket)]));
        if (new Set(states).size === 1) continue;
        this.#violations.push(`replicas of shard ${shard} differ in bucket ${bucket}:\n  ${states.join("\n  ")}`);
      }
    }
  }
}

/** Looks at every node after every event. */
class Watch {
  readonly violations: string[] = [];
  readonly #nodes: readonly SimNode[];
  readonly #leaders = new Map<string, string>();
  readonly #progress = new Map<string, { commit: number; applied: number }>();

  /** Hears of elections and commits. */
  hunter: Nemesis | null = null;

  constructor(nodes: readonly SimNode[]) {
    this.#nodes = nodes;
  }

  look(): void {
    for (const node of this.#nodes) {
      for (const status of node.coordinator?.shards() ?? []) {
        const { shard, role, term, commitIndex, appliedIndex } = status;
        if (role === "leader") this.#leads(node.name, shard, term);
        const key = `${node.name}/${node.lifeCount}/${shard}`;
        const last = this.#progress.get(key);
        if (last !== undefined && (commitIndex < last.commit || appliedIndex < last.applied)) {
          this.violations.push(`${key} fell from ${JSON.stringify(last)} to ${JSON.stringify(status)}`);
        }
        if (appliedIndex > commitIndex && this.#nodes.length > 1) {
          this.violations.push(`${key} applied more than is committed: ${JSON.stringify(status)}`);
        }
        if (role === "leader" && commitIndex > (last?.commit ?? 0)) this.hunter?.committed(node.name);
        if (last === undefined) this.#progress.set(key, { commit: commitIndex, applied: appliedIndex });
        else {
          last.commit = commitIndex;
          last.applied = appliedIndex;
        }
      }
    }
  }

  #leads(name: string, shard: number, term: number): void {
    const key = `${shard}/${term}`;
    const known = this.#leaders.get(key);
    if (known === name) return;
    if (known === undefined) {
      this.#leaders.set(key, name);
      this.hunter?.elected(name);
    } else this.violations.push(`${known} and ${name} both lead shard ${shard} in term ${term}`);
  }
}
