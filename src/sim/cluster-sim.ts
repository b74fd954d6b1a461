/**
 * One run of a whole simulated cluster, named by its seed: production nodes on simulated machines, clients, and a
 * nemesis. When the misfortunes are over, the cluster has to come to rest, and then these must hold:
 *
 *   - every client's history is linearizable, key by key: nothing acknowledged is lost, nothing stale is read
 *   - every replica of a shard shows the same state, having applied the same entries
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
import { FrameReader, FrameType } from "../wire/peer-frame-format.ts";
import { CommittedTerms } from "./committed-terms.ts";
import { History } from "./history.ts";
import { Nemesis, type Season } from "./nemesis.ts";
import { Scheduler } from "./scheduler.ts";
import { SimClient } from "./sim-client.ts";
import { type SimClusterShape, SimNode } from "./sim-node.ts";
import { Wire, type WireOptions } from "./sim-network.ts";
import { Trace } from "./trace.ts";
import { judge } from "./verdict.ts";
import { KeySpace, Workload } from "./workload.ts";

/** Virtual time with misfortunes, and the most that coming to rest may take. */
const TROUBLED_MS = 4000;
const BALLOTS_TROUBLED_MS = 15_000;
const REST_MS_MAX = 30_000;
const PADDING_BYTES = 6000;

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

/**
 * `hunt`: every new leader is cut off at once. `ballots`: that too, a voter loses power in the same moment and is back at
 * once, and many messages take as long as an election. `mixed`: so in a part of the runs.
 */
export type Weather = "mixed" | "hunt" | "ballots";

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
    const isHunt = season !== "ordinary";
    this.#troubledMs = season === "ballots" ? BALLOTS_TROUBLED_MS : TROUBLED_MS;
    this.#shape = shapeOf(this.#scheduler, season);
    const wire = new Wire(this.#scheduler, wireOf(this.#scheduler, season));
    const syncDelayMs = random.chance(0.2) ? { min: 5, max: 40 } : { min: 0.05, max: 3 };
    this.#nodes = this.#shape.memberNames.map(
      (name) => new SimNode(name, this.#scheduler, wire, this.#trace, this.#committed, this.#shape, syncDelayMs),
    );
    this.#watch = new Watch(this.#nodes);
    for (const node of this.#nodes) node.start();
    this.#clients = this.#newClients(season);
    this.#nemesis = new Nemesis(this.#scheduler, wire, this.#trace, this.#nodes, season);
    if (isHunt) this.#watch.hunter = this.#nemesis;
  }

  #newClients(season: Season): readonly SimClient[] {
    const isHunt = season !== "ordinary";
    const thinkMsMax = { ordinary: 40, hunt: 10, ballots: 200 }[season];
    const { random } = this.#scheduler;
    const ofWorkload = {
      keyCount: random.between(6, 16),
      paddingBytes: PADDING_BYTES,
      paddingChance: isHunt ? 0.7 : 0.2,
      otherBuckets: random.chance(0.4) ? ["1", "named"] : [],
    };
    const created = new Set<string>();
    const keys = new KeySpace();
    return Array.from({ length: random.between(3, 6) }, (_, i) => {
      const isPipelining = random.chance(0.4);
      const workload = new Workload(`c${i}`, random, keys, ofWorkload);
      return new SimClient(`c${i}`, this.#scheduler, this.#nodes, this.#history, workload, created, {
        depthMax: isPipelining ? random.between(2, 8) : 1,
        thinkMs: { min: 0, max: thinkMsMax * (isPipelining ? 2 : 1) },
        giveUpMs: season === "hunt" ? 100 : 1500,
        leaderChance: isHunt ? 0.8 : 0.2,
      });
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

/** A vote may be asked for in one election timeout and arrive in the next. */
const BALLOTS_WIRE: WireOptions = {
  delayMs: { min: 0.1, max: 2 },
  slowChance: 0.3,
  slowMs: { min: 50, max: 400 },
  cutChance: 0,
  frames: null,
  windowBytes: 1 << 20,
};

/**
 * Timings are a tenth of the defaults, so that much happens in little virtual time. Not so for `ballots`: a peer is dialled
 * again after a time that does not shrink with them, and a vote has to be asked for again in the same election.
 */
function shapeOf({ random }: Scheduler, season: Season): SimClusterShape {
  const isHunt = season !== "ordinary";
  const nodeCount = season === "ballots" ? 5 : isHunt ? 3 : ([3, 3, 3, 3, 3, 3, 5, 1][random.below(8)] ?? 3);
  return {
    memberNames: Array.from({ length: nodeCount }, (_, i) => `n${i + 1}`),
    shardCount: isHunt ? 1 : random.between(1, 2),
    heartbeatMs: season === "ballots" ? 150 : 15,
    electionMs: season === "ballots" ? 450 : 45,
    requestTimeoutMs: season === "ballots" ? 3000 : 600,
  };
}

function seasonOf(weather: Weather, chance: number): Season {
  if (weather !== "mixed") return weather;
  return chance < 0.2 ? "hunt" : chance < 0.25 ? "ballots" : "ordinary";
}

function wireOf({ random }: Scheduler, season: Season): WireOptions {
  if (season === "ballots") return BALLOTS_WIRE;
  const isHunt = season === "hunt";
  const isHard = random.chance(0.3);
  return {
    delayMs: { min: 0.1, max: random.between(1, 6) },
    slowChance: isHunt ? 0.05 : random.chance(0.3) ? 0.02 : 0,
    slowMs: { min: 10, max: isHunt ? 200 : 80 },
    cutChance: random.chance(0.3) ? 0.002 : 0,
    frames: isHard ? { loss: 0.03, reordering: 0.05, duplication: 0.05, standsAlone: isRaftOnly } : null,
    windowBytes: 1 << 20,
  };
}

/** Raft's messages may come twice and in any order. Forwarded operations may not: they rely on the stream for that. */
function isRaftOnly(chunk: Uint8Array): boolean {
  let isRaft = true;
  new FrameReader().push(chunk, (frame) => {
    if (frame.type !== FrameType.raft) isRaft = false;
  });
  return isRaft;
}
