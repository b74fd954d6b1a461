/**
 * What a run is like apart from its misfortunes (nemesis.ts): cluster, wire, disks and clients, drawn from the seed's
 * random numbers after the season, which is the weather of that one run.
 */
import type { Random } from "../core/random.ts";
import { FrameReader, FrameType } from "../wire/peer-frame-format.ts";
import type { Range } from "./scheduler.ts";
import type { ClientOptions } from "./sim-client.ts";
import type { WireOptions } from "./sim-network.ts";
import type { SimClusterShape } from "./sim-node.ts";
import type { Weather } from "./weathers.ts";
import type { WorkloadOptions } from "./workload.ts";

export type Season = "ordinary" | Exclude<Weather, "mixed">;

/** Of the runs in mixed weather; the others are ordinary. */
const SHARES: readonly (readonly [Season, number])[] = [
  ["hunt", 0.2],
  ["ballots", 0.05],
  ["renewals", 0.1],
  ["clocks", 0.1],
  ["leases", 0.05],
  ["rot", 0.1],
  ["members", 0.1],
];

const PADDING_BYTES = 6000;
/** Clients that open sessions. */
const SESSION_CHANCE = 0.4;
const LONG_TTL_MS = 60_000;
/** Everybody goes through so few nodes while buckets are emptied: there the operations of many connections mingle. */
const CROWDED_NODE_COUNT = 2;

/** Of a shard, where the members of the cluster change. */
const PLACED_REPLICAS = 3;

const NODE_COUNTS: Readonly<Record<Season, readonly number[]>> = {
  ordinary: [3, 3, 3, 3, 3, 3, 5, 1],
  renewals: [5],
  clocks: [3, 3, 5, 1],
  leases: [3, 5, 5],
  rot: [3, 3, 5],
  hunt: [3],
  ballots: [5],
  members: [3, 3, 4, 5, 1],
};

const THINK_MS_MAX: Readonly<Record<Season, number>> = {
  ordinary: 40,
  renewals: 10,
  clocks: 30,
  leases: 8,
  rot: 15,
  hunt: 10,
  ballots: 200,
  members: 40,
};
const GIVE_UP_MS: Readonly<Record<Season, number>> = {
  ordinary: 1500,
  renewals: 500,
  clocks: 600,
  leases: 600,
  rot: 600,
  hunt: 100,
  ballots: 1500,
  members: 1000,
};

/**
 * About a tenth of the defaults, so that much happens in little virtual time. Not so for `ballots`: a peer is dialled
 * again after a time that does not shrink with them, and a vote has to be asked for again in the same election.
 */
const TIMINGS: Readonly<Record<Season, Pick<SimClusterShape, "heartbeatMs" | "electionMs" | "requestTimeoutMs">>> = {
  ordinary: { heartbeatMs: 15, electionMs: 45, requestTimeoutMs: 600 },
  renewals: { heartbeatMs: 20, electionMs: 60, requestTimeoutMs: 400 },
  clocks: { heartbeatMs: 15, electionMs: 45, requestTimeoutMs: 600 },
  leases: { heartbeatMs: 15, electionMs: 45, requestTimeoutMs: 600 },
  rot: { heartbeatMs: 15, electionMs: 45, requestTimeoutMs: 600 },
  hunt: { heartbeatMs: 15, electionMs: 45, requestTimeoutMs: 600 },
  ballots: { heartbeatMs: 150, electionMs: 450, requestTimeoutMs: 3000 },
  members: { heartbeatMs: 15, electionMs: 45, requestTimeoutMs: 600 },
};

/** `chance`: uniform in [0, 1). */
export function seasonOf(weather: Weather, chance: number): Season {
  if (weather !== "mixed") return weather;
  let rest = chance;
  for (const [season, share] of SHARES) {
    rest -= share;
    if (rest < 0) return season;
  }
  return "ordinary";
}

/** Whether leaders are: one shard, and nothing else goes wrong. */
export function isHunted(season: Season): boolean {
  return season === "hunt" || season === "ballots";
}

/** Virtual time with misfortunes. */
export function troubledMsOf(season: Season): number {
  return season === "ballots" ? 15_000 : season === "members" ? 8000 : 4000;
}

export function shapeOf(random: Random, season: Season): SimClusterShape {
  const counts = NODE_COUNTS[season];
  const nodeCount = counts[counts.length === 1 ? 0 : random.below(counts.length)] ?? 3;
  return {
    memberNames: Array.from({ length: nodeCount }, (_, i) => `n${i + 1}`),
    shardCount: isHunted(season) ? 1 : random.between(1, 2),
    replicationFactor: season === "members" ? PLACED_REPLICAS : nodeCount,
    ...TIMINGS[season],
  };
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

export function wireOf(random: Random, season: Season): WireOptions {
  if (season === "ballots") return BALLOTS_WIRE;
  const isHard = random.chance(0.3);
  return {
    delayMs: { min: 0.1, max: random.between(1, 6) },
    slowChance: season === "hunt" ? 0.05 : season === "renewals" ? 0.015 : random.chance(0.3) ? 0.02 : 0,
    slowMs: { min: 10, max: season === "hunt" ? 200 : 80 },
    cutChance: random.chance(0.3) ? 0.002 : 0,
    frames: isHard ? { loss: 0.03, reordering: 0.05, duplication: 0.05, standsAlone: isRaftOnly } : null,
    windowBytes: 1 << 20,
  };
}

const RAFT_FRAMES: ReadonlySet<FrameType> = new Set([FrameType.raft, FrameType.heartbeats, FrameType.heartbeatReplies]);

/** Raft's messages may come twice and in any order. Forwarded operations may not: they rely on the stream for that. */
function isRaftOnly(chunk: Uint8Array): boolean {
  let isRaft = true;
  new FrameReader().push(chunk, (frame) => {
    if (!RAFT_FRAMES.has(frame.type)) isRaft = false;
  });
  return isRaft;
}

export function syncDelayOf(random: Random): Range {
  return random.chance(0.2) ? { min: 5, max: 40 } : { min: 0.05, max: 3 };
}

export function workloadOf(random: Random, season: Season, shardCount: number): WorkloadOptions {
  const isCrowded = season === "renewals";
  const isMixed = !isCrowded && !isHunted(season);
  return {
    keyCount: random.between(6, 16),
    paddingBytes: PADDING_BYTES,
    paddingChance: isHunted(season) ? 0.7 : season === "rot" ? 0.8 : 0.2,
    otherBuckets: isCrowded ? ["1"] : random.chance(0.4) ? ["1", "named"] : [],
    otherBucketChance: isCrowded ? 1 : 0.5,
    adminChance: isCrowded ? 0.06 : 0.1,
    expiringChance: season === "clocks" ? 0.3 : isMixed ? 0.08 : 0,
    setChance: isMixed ? 0.12 : 0,
    manyChance: isMixed ? 0.06 : 0,
    pairChance: isMixed ? 0.1 : 0,
    shardCount,
  };
}

/** How many of the cluster's nodes the clients use. */
export function usedNodeCountOf(season: Season): number {
  return season === "renewals" ? CROWDED_NODE_COUNT : Infinity;
}

export function clientOf(random: Random, season: Season): ClientOptions {
  const isCrowded = season === "renewals";
  const isPipelining = isCrowded || random.chance(0.4);
  return {
    depthMax: isPipelining ? random.between(2, 8) : 1,
    thinkMs: { min: 0, max: THINK_MS_MAX[season] * (isPipelining ? 2 : 1) },
    giveUpMs: GIVE_UP_MS[season],
    leaderChance: isHunted(season) ? 0.8 : season === "leases" ? 0.5 : 0.2,
    leaseChance: season === "leases" ? 0.4 : 0,
    sessionTtlMs: random.chance(SESSION_CHANCE) ? sessionTtlOf(random) : 0,
  };
}

/** Now and then so short that sessions end between two commands. */
function sessionTtlOf(random: Random): number {
  return random.chance(0.2) ? random.between(100, 1500) : LONG_TTL_MS;
}
