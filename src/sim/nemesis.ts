/**
 * What goes wrong in a run, and when: chosen by the seed, one misfortune after another, each repaired by itself after a
 * while. At the end everything is healed, so that what remains wrong is the database's own doing.
 */
import { unreachable } from "../core/assert.ts";
import type { Random } from "../core/random.ts";
import type { Range, Scheduler, SimProcess } from "./scheduler.ts";
import { isHunted, type Season } from "./season.ts";
import type { Wire } from "./sim-network.ts";
import type { SimNode } from "./sim-node.ts";
import type { Trace } from "./trace.ts";

type Misfortune =
  | "powerCut"
  | "powerCutOfAll"
  | "kill"
  | "crashInsideDiskCall"
  | "diskError"
  | "diskFull"
  | "slowDisk"
  | "partition"
  | "oneWayPartition"
  | "isolateLeader"
  | "muteLeader"
  | "pause"
  | "clockJump";

type Weights = readonly (readonly [Misfortune, number])[];

const WEIGHTS: Weights = [
  ["powerCut", 5],
  ["powerCutOfAll", 1],
  ["kill", 2],
  ["crashInsideDiskCall", 4],
  ["diskError", 1],
  ["diskFull", 1],
  ["partition", 3],
  ["oneWayPartition", 3],
  ["isolateLeader", 3],
  ["pause", 2],
  ["clockJump", 1],
];
/** Leaders change while everybody lives: what is on its way to a former one comes back refused. */
const RENEWALS_WEIGHTS: Weights = [
  ["crashInsideDiskCall", 1],
  ["slowDisk", 4],
  ["muteLeader", 12],
  ["pause", 2],
];

/** A hunted leader is cut off before its first entry reaches anybody, or in the moment in which it first commits. */
const AT_ONCE_CHANCE = 0.5;
/** The hunt goes on when nobody has been elected for so long. */
const HUNT_PATIENCE_MS = 150;
const VOTER_LOST_CHANCE = 0.15;
const BALLOT_LOST_CHANCE = 0.4;
/** So soon is a voter back whose vote is to be forgotten, if it can be: in the same election. */
const BALLOTS_DOWN_MS: Range = { min: 1, max: 10 };
const BALLOTS_PATIENCE_MS = 1500;
const FOUND_AGAIN_MS: Range = { min: 60, max: 200 };
const VOTES_AGAIN_MS: Range = { min: 460, max: 600 };

const EMPTYING_LOST_CHANCE = 0.1;
/** About as long as it takes to give a bucket a new id and to fence the old one. */
const EMPTYING_MS: Range = { min: 1, max: 15 };

const BETWEEN_MS: Range = { min: 50, max: 700 };
const RENEWALS_BETWEEN_MS: Range = { min: 50, max: 300 };
const DOWN_MS: Range = { min: 20, max: 600 };
const SHORT_DOWN_MS: Range = { min: 1, max: 30 };
/** Longer than an emptied bucket takes to be fenced: the node is behind by its name's new id, and serves all the same. */
const SLOW_SYNC_MS: Range = { min: 50, max: 300 };
const PARTITION_MS: Range = { min: 100, max: 1200 };
/** About an election. */
const MUTE_MS: Range = { min: 60, max: 160 };
const PAUSE_MS: Range = { min: 50, max: 700 };
const CALLS_AHEAD_MAX = 60;
const ROOM_BYTES_MAX = 100_000;

export class Nemesis {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #wire: Wire;
  readonly #trace: Trace;
  readonly #nodes: readonly SimNode[];
  readonly #season: Season;
  #over = false;
  #prey: string | null = null;
  #caughtCount = 0;
  /** The leader that was caught last. */
  #isolated: string | null = null;

  constructor(scheduler: Scheduler, wire: Wire, trace: Trace, nodes: readonly SimNode[], season: Season) {
    this.#scheduler = scheduler;
    this.#random = scheduler.random;
    this.#wire = wire;
    this.#trace = trace;
    this.#nodes = nodes;
    for (const node of nodes) {
      node.onFailure = (why) => this.#failed(node, why);
      node.onDeath = () => this.died(node);
    }
    this.#season = season;
    if (!isHunted(season)) this.#strikeLater();
  }

  /**
   * To be called for every new leader, in a hunt: it is cut off, and the one before it comes back, so that half
   * replicated entries of different terms meet, which is where commitment goes wrong if it can (Figure 8 of the Raft
   * paper). Sometimes a voter loses power at the same moment.
   */
  elected(leaderName: string): void {
    if (this.#season === "ballots" || this.#random.chance(AT_ONCE_CHANCE)) this.#catch(leaderName);
    else this.#prey = leaderName;
  }

  /** To be called when a leader's commit index has risen, in a hunt. */
  committed(leaderName: string): void {
    if (this.#prey === leaderName) this.#catch(leaderName);
  }

  /**
   * To be called when a client has asked a node to empty a bucket: in the season for it that node may not live to fence the
   * old id everywhere, while another one that clients use falls behind and does not hear of the new one.
   */
  emptying(process: SimProcess, usedNodes: readonly SimNode[]): void {
    if (this.#season !== "renewals" || this.#over) return;
    const node = this.#nodes.find((one) => one.process === process);
    if (node === undefined || !this.#random.chance(EMPTYING_LOST_CHANCE)) return;
    const others = usedNodes.filter((one) => one !== node && one.isUp);
    const behind = others[this.#random.below(Math.max(1, others.length))];
    if (behind !== undefined) this.#slow(behind);
    this.#scheduler.schedule(this.#scheduler.duration(EMPTYING_MS), null, () => {
      if (this.#over || node.process !== process) return;
      node.kill();
      this.#restartLater(node);
    });
  }

  #catch(leaderName: string): void {
    const leader = this.#nodes.find((node) => node.name === leaderName);
    if (leader === undefined || this.#over) return;
    this.#trace.note(`nemesis: caught ${leaderName}`);
    this.#prey = null;
    const caught = ++this.#caughtCount;
    this.#wire.healAll();
    this.#isolate([leader]);
    this.#isolated = leaderName;
    const patienceMs = this.#season === "ballots" ? BALLOTS_PATIENCE_MS : HUNT_PATIENCE_MS;
    this.#scheduler.schedule(patienceMs, null, () => {
      if (this.#caughtCount === caught) this.#wire.healAll();
    });
    if (this.#season === "ballots") {
      for (const node of this.#nodes) {
        if (node === leader || !this.#random.chance(BALLOT_LOST_CHANCE)) continue;
        this.#loseVoter(node, BALLOTS_DOWN_MS);
        this.#holdBack(node);
      }
      return;
    }
    const voter = this.#nodes[this.#random.below(this.#nodes.length)];
    if (voter !== undefined && this.#random.chance(VOTER_LOST_CHANCE)) this.#loseVoter(voter, SHORT_DOWN_MS);
  }

  /**
   * What the restarted voter is asked for in the running election reaches it only when it votes again: once its peers
   * have found it, all that is sent to it is held back for the rest of its quiet time.
   */
  #holdBack(voter: SimNode): void {
    const others = this.#nodes.filter((node) => node !== voter);
    const caught = this.#caughtCount;
    const isSame = (): boolean => this.#caughtCount === caught && !this.#over;
    this.#scheduler.schedule(this.#scheduler.duration(FOUND_AGAIN_MS), null, () => {
      if (isSame()) for (const { name } of others) this.#wire.block(name, voter.name);
    });
    this.#scheduler.schedule(this.#scheduler.duration(VOTES_AGAIN_MS), null, () => {
      if (isSame()) for (const { name } of others) if (name !== this.#isolated) this.#wire.heal(name, voter.name);
    });
  }

  /** Not within the event that told of the leader: that may be one of the voter's own. */
  #loseVoter(voter: SimNode, downMs: Range): void {
    this.#scheduler.schedule(0, null, () => {
      if (!voter.isUp) return;
      voter.crash({ sector: this.#survival() });
      this.#restartAfter(voter, downMs);
    });
  }

  /** No more misfortunes; everything is healed and everybody started. Who is stopped goes on by itself soon. */
  end(): void {
    this.#over = true;
    this.#wire.healAll();
    for (const node of this.#nodes) {
      node.disk.cancelPlans();
      node.disk.giveRoom();
      node.disk.slowSyncs(null);
      if (!node.isUp) node.start();
    }
  }

  /** A node died in the middle of a disk call, or of an exception: the rest of the crash, and its next life. */
  died(node: SimNode): void {
    if (this.#random.chance(0.7)) node.crash({ sector: this.#survival() });
    else node.kill();
    this.#restartLater(node);
  }

  #strikeLater(): void {
    const betweenMs = this.#season === "renewals" ? RENEWALS_BETWEEN_MS : BETWEEN_MS;
    this.#scheduler.schedule(this.#scheduler.duration(betweenMs), null, () => {
      if (this.#over) return;
      this.#strike(this.#choose());
      this.#strikeLater();
    });
  }

  #choose(): Misfortune {
    const weights = this.#season === "renewals" ? RENEWALS_WEIGHTS : WEIGHTS;
    let dice = this.#random.below(weights.reduce((sum, [, weight]) => sum + weight, 0));
    for (const [misfortune, weight] of weights) {
      dice -= weight;
      if (dice < 0) return misfortune;
    }
    return "powerCut";
  }

  #strike(misfortune: Misfortune): void {
    const up = this.#nodes.filter((node) => node.isUp);
    const victim = up[this.#random.below(Math.max(1, up.length))];
    if (victim === undefined) return;
    this.#trace.note(`nemesis: ${misfortune} ${victim.name}`);
    switch (misfortune) {
      case "powerCut":
        return this.#cut([victim]);
      case "powerCutOfAll":
        return this.#cut(up);
      case "kill":
        victim.kill();
        return this.#restartLater(victim);
      case "crashInsideDiskCall":
        return victim.disk.plan(this.#random.between(1, CALLS_AHEAD_MAX), { kind: "crash" });
      case "diskError":
        return victim.disk.plan(this.#random.between(1, CALLS_AHEAD_MAX), { kind: "fail", code: "IO" });
      case "diskFull":
        return this.#fill(victim);
      case "slowDisk":
        return this.#slow(victim);
      case "partition":
        return this.#split(this.#nodes.filter(() => this.#random.chance(0.5)));
      case "isolateLeader":
        return this.#split([this.#leader() ?? victim]);
      case "oneWayPartition":
        return this.#deafen(victim);
      case "muteLeader":
        return this.#mute(this.#leader() ?? victim);
      case "pause":
        return victim.pause(this.#scheduler.duration(PAUSE_MS));
      case "clockJump":
        return victim.jumpClock(this.#random.between(-3000, 3000));
      default:
        unreachable(misfortune);
    }
  }

  /** Another program takes nearly all of the room, for a while. */
  #fill(victim: SimNode): void {
    victim.disk.leaveRoom(this.#random.below(ROOM_BYTES_MAX));
    this.#scheduler.schedule(this.#scheduler.duration(PARTITION_MS), null, () => victim.disk.giveRoom());
  }

  /** Its log and what it applies fall behind, while it goes on hearing and answering. */
  #slow(victim: SimNode): void {
    victim.disk.slowSyncs(SLOW_SYNC_MS);
    this.#scheduler.schedule(this.#scheduler.duration(PARTITION_MS), null, () => victim.disk.slowSyncs(null));
  }

  #cut(nodes: readonly SimNode[]): void {
    for (const node of nodes) {
      node.crash({ sector: this.#survival() });
      this.#restartLater(node);
    }
  }

  #survival(): number {
    return [0, 0, 0.5, 0.9][this.#random.below(4)] ?? 0;
  }

  #restartLater(node: SimNode): void {
    this.#restartAfter(node, DOWN_MS);
  }

  #restartAfter(node: SimNode, downMs: Range): void {
    this.#scheduler.schedule(this.#scheduler.duration(downMs), null, () => {
      if (!node.isUp) node.start();
    });
  }

  /** A shard that has failed is silent for the rest of its life, so its operator starts the process again. */
  #failed(node: SimNode, why: string): void {
    this.#trace.note(`${node.name} has failed: ${why}`);
    const { process } = node;
    this.#scheduler.schedule(0, null, () => {
      if (node.process === null || node.process !== process) return;
      node.kill();
      this.#restartLater(node);
    });
  }

  #leader(): SimNode | undefined {
    return this.#nodes.find((node) => node.coordinator?.shards()[0]?.role === "leader");
  }

  #split(side: readonly SimNode[]): void {
    this.#isolate(side);
    this.#healLater();
  }

  #isolate(side: readonly SimNode[]): void {
    for (const inside of side) {
      for (const outside of this.#nodes) {
        if (side.includes(outside)) continue;
        this.#wire.block(inside.name, outside.name);
        this.#wire.block(outside.name, inside.name);
      }
    }
  }

  #deafen(victim: SimNode): void {
    const hears = this.#random.chance(0.5);
    for (const other of this.#nodes) {
      if (other === victim || this.#random.chance(0.3)) continue;
      if (hears) this.#wire.block(victim.name, other.name);
      else this.#wire.block(other.name, victim.name);
    }
    this.#healLater();
  }

  /** Nobody hears it, so that another one is elected, of whom it hears at once. */
  #mute(leader: SimNode): void {
    for (const { name } of this.#nodes) if (name !== leader.name) this.#wire.block(leader.name, name);
    this.#scheduler.schedule(this.#scheduler.duration(MUTE_MS), null, () => this.#wire.healAll());
  }

  #healLater(): void {
    this.#scheduler.schedule(this.#scheduler.duration(PARTITION_MS), null, () => this.#wire.healAll());
  }
}
