/**
 * The misfortunes of a run as a numbered list. The number of each, and the seed of the run, give it chance of its own, so
 * that a run in which some are left out (shortening.ts) meets the others as they were: that is what makes it possible to
 * look for the few that matter. What they lead to (who is up, who leads) may differ all the same.
 */
import { Random } from "../core/random.ts";
import type { Range } from "./scheduler.ts";
import type { Season } from "./season.ts";
import type { Shortening } from "./shortening.ts";

export type Misfortune =
  | "powerCut"
  | "powerCutOfAll"
  | "kill"
  | "crashInsideDiskCall"
  | "tornWrite"
  | "diskError"
  | "failingSync"
  | "diskFull"
  | "slowDisk"
  | "partition"
  | "oneWayPartition"
  | "bridge"
  | "isolateLeader"
  | "muteLeader"
  | "slowLink"
  | "cutStreams"
  | "pause"
  | "freezeLeader"
  | "stallLeader"
  | "clockJump"
  | "clockLeap"
  | "wipe"
  | "rot"
  | "join"
  | "leave"
  | "replace";

/** How often each is chosen, against the sum of all. */
type Rates = readonly (readonly [Misfortune, number])[];

const ORDINARY_RATES: Rates = [
  ["powerCut", 10],
  ["powerCutOfAll", 2],
  ["kill", 4],
  ["crashInsideDiskCall", 8],
  ["tornWrite", 3],
  ["diskError", 2],
  ["failingSync", 2],
  ["diskFull", 2],
  ["slowDisk", 2],
  ["partition", 6],
  ["oneWayPartition", 6],
  ["bridge", 3],
  ["isolateLeader", 6],
  ["slowLink", 3],
  ["cutStreams", 3],
  ["pause", 3],
  ["freezeLeader", 3],
  ["stallLeader", 3],
  ["clockJump", 2],
  ["clockLeap", 1],
  ["wipe", 2],
];

/** Leaders change while everybody lives: what is on its way to a former one comes back refused. */
const RENEWALS_RATES: Rates = [
  ["crashInsideDiskCall", 1],
  ["slowDisk", 4],
  ["muteLeader", 12],
  ["pause", 2],
];

/** Leaders change between nodes whose clocks are far apart, and come back to their logs with another idea of the time. */
const CLOCKS_RATES: Rates = [
  ["clockJump", 4],
  ["clockLeap", 12],
  ["powerCut", 3],
  ["powerCutOfAll", 2],
  ["kill", 3],
  ["isolateLeader", 6],
  ["muteLeader", 4],
  ["pause", 3],
  ["freezeLeader", 4],
];

/** Leaders that do not know that they are led by others, or find out too late, are asked for what is there. */
const LEASES_RATES: Rates = [
  ["stallLeader", 12],
  ["freezeLeader", 10],
  ["slowLink", 6],
  ["isolateLeader", 6],
  ["muteLeader", 3],
  ["oneWayPartition", 3],
  ["powerCut", 2],
  ["kill", 1],
];

/** One node's files decay while it and the others come and go. */
const ROT_RATES: Rates = [
  ["rot", 16],
  ["powerCut", 6],
  ["powerCutOfAll", 2],
  ["kill", 4],
  ["crashInsideDiskCall", 2],
  ["partition", 3],
  ["isolateLeader", 6],
  ["muteLeader", 3],
  ["pause", 2],
];

/** Who belongs to the cluster changes while its leaders do. */
const MEMBERS_RATES: Rates = [
  ["join", 6],
  ["leave", 6],
  ["replace", 4],
  ["powerCut", 6],
  ["powerCutOfAll", 1],
  ["kill", 3],
  ["crashInsideDiskCall", 5],
  ["failingSync", 1],
  ["slowDisk", 2],
  ["partition", 5],
  ["oneWayPartition", 3],
  ["isolateLeader", 8],
  ["muteLeader", 4],
  ["pause", 2],
  ["freezeLeader", 3],
];

const RATES: Readonly<Record<Season, Rates>> = {
  ordinary: ORDINARY_RATES,
  renewals: RENEWALS_RATES,
  clocks: CLOCKS_RATES,
  leases: LEASES_RATES,
  rot: ROT_RATES,
  members: MEMBERS_RATES,
  // There every misfortune follows from an election (hunt.ts).
  hunt: [],
  ballots: [],
};

export function chooseMisfortune(random: Random, season: Season): Misfortune {
  const rates = RATES[season];
  let dice = random.fraction() * rates.reduce((sum, [, rate]) => sum + rate, 0);
  for (const [misfortune, rate] of rates) {
    dice -= rate;
    if (dice < 0) return misfortune;
  }
  return "powerCut";
}

export function drawn(random: Random, range: Range): number {
  return range.min + random.fraction() * (range.max - range.min);
}

/** The misfortunes of one run, each numbered as it is due. */
export class Misfortunes {
  readonly #seed: number;
  readonly #shortening: Shortening;
  #count = 0;

  constructor(seed: number, shortening: Shortening) {
    this.#seed = seed;
    this.#shortening = shortening;
  }

  /** How many there were, those that were left out included. */
  get count(): number {
    return this.#count;
  }

  /** The next one: its number and its chance; null when it is left out. */
  next(): { readonly number: number; readonly random: Random } | null {
    this.#count += 1;
    const number = this.#count;
    return this.#shortening.omitted.has(number) ? null : { number, random: chanceOf(this.#seed, number) };
  }
}

/** Chance that depends on the seed and a number alone. */
export function chanceOf(seed: number, number: number): Random {
  return new Random(Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) + number);
}
