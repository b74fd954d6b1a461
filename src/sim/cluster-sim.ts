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
 *   - the promises of Raft's Figure 3 (raft-rules.ts), and those of every disk (node-log.ts)
 *   - replicas that have applied the same entries have the same state (state-watch.ts)
 *   - neither term, commit index nor applied index of a node falls, and applied never passes commit (watch.ts)
 *   - no operation is answered twice, nothing throws but a disk that was told to, and nobody is busy without an end
 *
 * Not checked: how long anything takes, beyond coming to rest within so many election timeouts.
 */
import { History } from "./history.ts";
import { Hunt } from "./hunt.ts";
import { Misfortunes } from "./misfortunes.ts";
import { Nemesis } from "./nemesis.ts";
import { RaftRules } from "./raft-rules.ts";
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
import { Schism } from "./schism.ts";
import { type SimClusterShape, SimNode } from "./sim-node.ts";
import { type Shortening, WHOLE } from "./shortening.ts";
import { Wire } from "./sim-network.ts";
import { StateWatch } from "./state-watch.ts";
import { Trace } from "./trace.ts";
import { isAtRest } from "./rest.ts";
import { judge } from "./verdict.ts";
import { Watch } from "./watch.ts";
import type { Weather } from "./weathers.ts";
import { finalRead, KeySpace, Workload } from "./workload.ts";

/** Election timeouts within which the cluster has to be at rest once the misfortunes are over. */
const REST_ELECTIONS_MAX = 400;

const LOOK_MS = 1;

/** Events of one instant, beyond which it is taken for one without end. */
const INSTANT_EVENTS_MAX = 100_000;

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
  /** Numbered misfortunes, those that were left out included. */
  readonly misfortuneCount: number;
  readonly clientCount: number;
  /** Virtual time with misfortunes, and all of it. */
  readonly troubledMs: number;
  readonly simulatedMs: number;
  /** Virtual time until the cluster was at rest; 0: it was not, or something was wrong before. */
  readonly restMs: number;
  /** States of replicas that were compared. */
  readonly stateCount: number;
  /** The last lines of what happened. */
  readonly tail: readonly string[];
}

/** `listener` is shown every line of the trace. */
export function runClusterSim(
  seed: number,
  weather: Weather,
  shortening: Shortening = WHOLE,
  listener: ((line: string) => void) | null = null,
): ClusterRun {
  return new ClusterSim(seed, weather, shortening, listener).run();
}

class ClusterSim {
  readonly #seed: number;
  readonly #scheduler: Scheduler;
  readonly #trace: Trace;
  readonly #history = new History(() => this.#scheduler.nowMs);
  readonly #rules = new RaftRules();
  readonly #states = new StateWatch(this.#rules);
  readonly #misfortunes: Misfortunes;
  readonly #nodes: SimNode[];
  readonly #clients: readonly SimClient[];
  readonly #nemesis: Nemesis;
  readonly #watch: Watch;
  readonly #season: Season;
  readonly #shape: SimClusterShape;
  readonly #troubledMs: number;
  readonly #violations: string[] = [];
  /** When it is next looked whether the cluster is at rest. */
  #lookAtMs = 0;
  /** What those who look on have found and nobody has gathered yet. */
  readonly #watched: readonly string[][];

  constructor(seed: number, weather: Weather, shortening: Shortening, listener: ((line: string) => void) | null) {
    this.#seed = seed;
    this.#scheduler = new Scheduler(seed);
    this.#trace = new Trace(this.#scheduler, listener);
    const { random } = this.#scheduler;
    const season = seasonOf(weather, random.fraction());
    this.#troubledMs = Math.min(troubledMsOf(season), shortening.troubledMsMax);
    this.#shape = shapeOf(random, season);
    const wire = new Wire(this.#scheduler, wireOf(random, season));
    const syncDelayMs = syncDelayOf(random);
    this.#season = season;
    const newNode = (name: string): SimNode =>
      new SimNode(name, this.#scheduler, wire, this.#trace, this.#rules, this.#shape, syncDelayMs);
    this.#nodes = this.#shape.memberNames.map(newNode);
    this.#watch = new Watch(this.#nodes, this.#rules, this.#states);
    this.#watched = [this.#rules.violations, this.#watch.violations, this.#states.violations];
    for (const node of this.#nodes) node.start();
    const usedCount = usedNodeCountOf(season);
    const usedNodes = usedCount < this.#nodes.length ? this.#nodes.slice(0, usedCount) : this.#nodes;
    this.#clients = this.#newClients(season, usedNodes, shortening.clientsMax);
    this.#misfortunes = new Misfortunes(seed, shortening);
    this.#nemesis = this.#newNemesis(season, wire, (name) => {
      const node = newNode(name);
      this.#nodes.push(node);
      return node;
    });
    for (const client of this.#clients) client.onRenewal = (process) => this.#nemesis.emptying(process, usedNodes);
  }

  #newNemesis(season: Season, wire: Wire, recruit: (name: string) => SimNode): Nemesis {
    const parts = [this.#scheduler, wire, this.#trace, this.#nodes] as const;
    const nemesis = new Nemesis(this.#seed, ...parts, season, this.#shape.electionMs, this.#misfortunes, recruit);
    if (season === "members") this.#watch.hunt = new Schism(...parts, nemesis, this.#misfortunes);
    if (isHunted(season)) this.#watch.hunt = new Hunt(...parts, nemesis, this.#misfortunes, season === "ballots");
    return nemesis;
  }

  #newClients(season: Season, nodes: readonly SimNode[], countMax: number): readonly SimClient[] {
    const { random } = this.#scheduler;
    const ofWorkload = workloadOf(random, season, this.#shape.shardCount);
    const created = new Set<string>();
    const keys = new KeySpace();
    return Array.from({ length: Math.min(countMax, random.between(3, 6)) }, (_, i) => {
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
    const restMs = this.#comeToRest();
    const { wrong, undecidedCount } = judge(this.#history.keys());
    this.#gatherViolations();
    this.#violations.push(...wrong);
    this.#violations.push(...this.#rules.writes.judge(this.#history.keys()));
    this.#violations.push(...this.#rules.writes.findLost(this.#history.keys()));
    return {
      seed: this.#seed,
      violations: this.#violations,
      fingerprint: this.#trace.fingerprint,
      callCount: this.#history.callCount,
      answeredCount: this.#history.answeredCount,
      undecidedCount,
      renewalCount: this.#history.renewalCount,
      restartCount: this.#nodes.reduce((sum, node) => sum + node.lifeCount - 1, 0),
      misfortuneCount: this.#misfortunes.count,
      clientCount: this.#clients.length,
      troubledMs: this.#troubledMs,
      simulatedMs: this.#scheduler.nowMs,
      restMs,
      stateCount: this.#states.comparedCount,
      tail: this.#trace.tail(100),
    };
  }

  /** What was seen on the way is moved to where it ends the run. */
  #gatherViolations(): void {
    for (const violations of this.#watched) {
      if (violations.length > 0) this.#violations.push(...violations.splice(0));
    }
    for (const client of this.#clients) {
      if (client.broken !== null) this.#violations.push(client.broken);
      client.broken = null;
    }
  }

  /** Runs for a while, or until `done`; whatever events throw is the end of their node, or a violation. */
  #advance(ms: number, done: () => boolean): void {
    const limitMs = this.#scheduler.nowMs + ms;
    let instantMs = this.#scheduler.nowMs;
    let eventCount = 0;
    while (!done() && this.#violations.length === 0) {
      try {
        if (!this.#scheduler.step(limitMs)) return;
      } catch (thrown) {
        this.#thrown(thrown);
      }
      this.#watch.look(this.#scheduler.running);
      this.#gatherViolations();
      eventCount = this.#scheduler.nowMs === instantMs ? eventCount + 1 : 0;
      instantMs = this.#scheduler.nowMs;
      if (eventCount > INSTANT_EVENTS_MAX) {
        this.#violations.push(`${this.#scheduler.running?.name} is busy for ever at ${instantMs} ms`);
      }
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

  /** How long it took. */
  #comeToRest(): number {
    if (this.#violations.length > 0) return 0;
    const beganMs = this.#scheduler.nowMs;
    const patienceMs = REST_ELECTIONS_MAX * this.#shape.electionMs;
    this.#advance(patienceMs, () => this.#isSeenAtRest());
    if (this.#violations.length > 0) return 0;
    const restMs = this.#scheduler.nowMs - beganMs;
    if (!this.#isAtRest()) {
      const idle = this.#clients.map((client) => client.isIdle);
      this.#violations.push(`the cluster did not come to rest: ${JSON.stringify({ idle, nodes: this.#statuses() })}`);
      return 0;
    }
    this.#readAllKeys(patienceMs);
    this.#advance(patienceMs, () => this.#isSeenAtRest());
    if (this.#violations.length === 0) this.#compareReplicas();
    return restMs;
  }

  /** Whoever is at rest stays so: there is no need to look after every event. */
  #isSeenAtRest(): boolean {
    if (this.#scheduler.nowMs < this.#lookAtMs) return false;
    this.#lookAtMs = this.#scheduler.nowMs + LOOK_MS;
    return this.#isAtRest();
  }

  #isAtRest(): boolean {
    if (!this.#clients.every((client) => client.isIdle)) return false;
    return isAtRest(this.#nodes, this.#shape, this.#season === "members");
  }

  /** The nodes that nothing has spoiled for good. */
  get #staying(): readonly SimNode[] {
    return this.#nodes.filter((node) => !node.isRetired);
  }

  #statuses() {
    return this.#staying.map((node) => node.coordinator?.shards() ?? null);
  }

  #readAllKeys(patienceMs: number): void {
    const [client] = this.#clients;
    if (client === undefined) return;
    for (const { bucket, key, calls } of this.#history.keys()) {
      let answered = false;
      client.readFinally(bucket, key, finalRead(calls), () => {
        answered = true;
      });
      this.#advance(patienceMs, () => answered);
      if (answered || this.#violations.length > 0) continue;
      this.#violations.push(`nobody answers a read of ${bucket}/${key} at rest`);
    }
  }

  #compareReplicas(): void {
    const catalogs = this.#staying
      .filter((node) => holds(node, 0))
      .map((node) => JSON.stringify(node.coordinator?.buckets()));
    if (new Set(catalogs).size > 1) this.#violations.push(`the catalogs differ:\n  ${catalogs.join("\n  ")}`);
    for (let shard = 0; shard < this.#shape.shardCount; shard++) {
      for (const node of this.#staying.filter((one) => holds(one, shard))) {
        const index = node.coordinator?.shards()[shard]?.appliedIndex ?? 0;
        this.#states.compare(node, shard, index);
      }
    }
    this.#gatherViolations();
  }
}

function holds(node: SimNode, shard: number): boolean {
  return (node.coordinator?.shards()[shard]?.appliedIndex ?? 0) > 0;
}
