/**
 * What goes wrong in a run, and when: chosen by the seed, one misfortune after another, each repaired by itself after a
 * while. At the end everything is healed, so that what remains wrong is the database's own doing. Only what was spoiled
 * for good, by bit rot or a new disk, is taken away.
 *
 * A run spoils one node at most: what that node had acknowledged may be gone, and a majority must do without it.
 */
import { unreachable } from "../core/assert.ts";
import type { Random } from "../core/random.ts";
import { chanceOf, chooseMisfortune, drawn, type Misfortune, type Misfortunes } from "./misfortunes.ts";
import { rot } from "./rot.ts";
import type { Range, Scheduler, SimProcess } from "./scheduler.ts";
import { isHunted, type Season } from "./season.ts";
import type { Wire } from "./sim-network.ts";
import type { SimNode } from "./sim-node.ts";
import type { Trace } from "./trace.ts";
import { Turnover } from "./turnover.ts";

const EMPTYING_LOST_CHANCE = 0.1;
/** About as long as it takes to give a bucket a new id and to fence the old one. */
const EMPTYING_MS: Range = { min: 1, max: 15 };

const BETWEEN_MS: Readonly<Record<Season, Range>> = {
  ordinary: { min: 50, max: 700 },
  renewals: { min: 50, max: 300 },
  clocks: { min: 50, max: 400 },
  leases: { min: 50, max: 300 },
  rot: { min: 50, max: 500 },
  members: { min: 50, max: 500 },
  hunt: { min: 0, max: 0 },
  ballots: { min: 0, max: 0 },
};
const DOWN_MS: Range = { min: 20, max: 600 };
/** Longer than an emptied bucket takes to be fenced: the node is behind by its name's new id, and serves all the same. */
const SLOW_SYNC_MS: Range = { min: 50, max: 300 };
const SLOW_LINK_MS: Range = { min: 20, max: 200 };
const PARTITION_MS: Range = { min: 100, max: 1200 };
/** About an election. */
const MUTE_MS: Range = { min: 60, max: 160 };
const PAUSE_MS: Range = { min: 50, max: 700 };
/** In election timeouts: others lead by the time the frozen one goes on. */
const FREEZE_ELECTIONS: Range = { min: 2, max: 5 };
const FROZEN_APART_CHANCE = 0.5;
/** As many as a leader makes in some heartbeats. */
const READINGS_AHEAD_MAX = 100;
const CALLS_AHEAD_MAX = 60;
const SYNCS_AHEAD_MAX = 10;
const ROOM_BYTES_MAX = 100_000;
const JUMP_MS_MAX = 3000;
const LEAP_MS_MAX = 3_600_000;
/** How often a node is started again right after its files were damaged, so that it meets the damage at once. */
const ROT_RESTART_CHANCE = 0.5;

export class Nemesis {
  readonly #scheduler: Scheduler;
  /** For what follows from misfortunes, and for the time between them. */
  readonly #random: Random;
  readonly #wire: Wire;
  readonly #trace: Trace;
  readonly #nodes: readonly SimNode[];
  readonly #season: Season;
  readonly #electionMs: number;
  readonly #misfortunes: Misfortunes;
  readonly #turnover: Turnover;
  #spoiled: SimNode | null = null;
  /** No more misfortunes. */
  isOver = false;

  constructor(
    seed: number,
    scheduler: Scheduler,
    wire: Wire,
    trace: Trace,
    nodes: readonly SimNode[],
    season: Season,
    electionMs: number,
    misfortunes: Misfortunes,
    recruit: (name: string) => SimNode,
  ) {
    this.#scheduler = scheduler;
    this.#random = chanceOf(seed, 0);
    this.#wire = wire;
    this.#trace = trace;
    this.#nodes = nodes;
    this.#season = season;
    this.#electionMs = electionMs;
    this.#misfortunes = misfortunes;
    this.#turnover = new Turnover(scheduler, trace, nodes, (name) => this.#watched(recruit(name)));
    for (const node of nodes) this.#watched(node);
    if (!isHunted(season)) this.#strikeLater();
  }

  /**
   * To be called when a client has asked a node to empty a bucket: in the season for it that node may not live to fence the
   * old id everywhere, while another one that clients use falls behind and does not hear of the new one.
   */
  emptying(process: SimProcess, usedNodes: readonly SimNode[]): void {
    if (this.#season !== "renewals" || this.isOver) return;
    const node = this.#nodes.find((one) => one.process === process);
    const misfortune = this.#misfortunes.next();
    if (node === undefined || misfortune === null || !misfortune.random.chance(EMPTYING_LOST_CHANCE)) return;
    const { random } = misfortune;
    const others = usedNodes.filter((one) => one !== node && one.isUp);
    const behind = others[random.below(Math.max(1, others.length))];
    if (behind !== undefined) this.#slow(behind, random);
    this.#scheduler.schedule(drawn(random, EMPTYING_MS), null, () => {
      if (this.isOver || node.process !== process) return;
      node.kill();
      this.#restartLater(node, random);
    });
  }

  /** Everything is healed and everybody started who was not spoiled. Who is stopped goes on by itself soon. */
  end(): void {
    this.isOver = true;
    this.#wire.healAll();
    this.#spoiled?.retire();
    for (const node of this.#nodes) {
      node.disk.cancelPlans();
      node.disk.giveRoom();
      node.disk.slowSyncs(null);
      if (!node.isUp && !node.isRetired) node.start();
    }
  }

  /** A node died in the middle of a disk call, or of an exception: the rest of the crash, and its next life. */
  died(node: SimNode): void {
    if (this.#random.chance(0.7)) node.crash({ sector: survival(this.#random) });
    else node.kill();
    this.#restartLater(node, this.#random);
  }

  powerCut(node: SimNode, downMs: number): void {
    node.crash({ sector: survival(this.#random) });
    this.#restartAfter(node, downMs);
  }

  isolate(side: readonly SimNode[]): void {
    for (const inside of side) {
      for (const outside of this.#nodes) {
        if (!side.includes(outside)) this.#separate(inside, outside);
      }
    }
  }

  /** What befalls the node by itself is repaired. */
  #watched(node: SimNode): SimNode {
    node.onFailure = (why) => this.#failed(node, why);
    node.onDeath = () => this.died(node);
    return node;
  }

  #strikeLater(): void {
    this.#scheduler.schedule(drawn(this.#random, BETWEEN_MS[this.#season]), null, () => {
      if (this.isOver) return;
      const misfortune = this.#misfortunes.next();
      if (misfortune !== null) this.#strike(misfortune.number, misfortune.random);
      this.#strikeLater();
    });
  }

  #strike(number: number, random: Random): void {
    const misfortune = chooseMisfortune(random, this.#season);
    const up = this.#nodes.filter((node) => node.isUp);
    const victim = up[random.below(Math.max(1, up.length))];
    if (victim === undefined) return;
    this.#trace.note(`nemesis: ${number} ${misfortune} ${victim.name}`);
    this.#bring(misfortune, victim, random);
  }

  #bring(misfortune: Misfortune, victim: SimNode, random: Random): void {
    switch (misfortune) {
      case "powerCut":
        return this.#cut([victim], random);
      case "powerCutOfAll":
        return this.#cut(
          this.#nodes.filter((node) => node.isUp),
          random,
        );
      case "kill":
        victim.kill();
        return this.#restartLater(victim, random);
      case "crashInsideDiskCall":
        return victim.disk.plan(random.between(1, CALLS_AHEAD_MAX), { kind: "crash" });
      case "tornWrite":
        return victim.disk.planCall("write", random.between(1, CALLS_AHEAD_MAX), { kind: "tear", code: null });
      case "diskError":
        return victim.disk.plan(random.between(1, CALLS_AHEAD_MAX), { kind: "fail", code: "IO" });
      case "failingSync":
        return victim.disk.planCall("sync", random.between(1, SYNCS_AHEAD_MAX), { kind: "fail", code: "IO" });
      case "diskFull":
        return this.#fill(victim, random);
      case "slowDisk":
        return this.#slow(victim, random);
      case "partition":
        return this.#split(
          this.#nodes.filter(() => random.chance(0.5)),
          random,
        );
      case "isolateLeader":
        return this.#split([this.#leader() ?? victim], random);
      case "oneWayPartition":
        return this.#deafen(victim, random);
      case "bridge":
        return this.#bridge(victim, random);
      case "muteLeader":
        return this.#mute(this.#leader() ?? victim, random);
      case "slowLink":
        return this.#slowLinks(victim, random);
      case "cutStreams":
        return this.#wire.cutStreams(victim.name);
      case "pause":
        return victim.pause(drawn(random, PAUSE_MS));
      case "freezeLeader":
        return this.#freeze(this.#leader() ?? victim, random, (leader, ms) => leader.pause(ms));
      case "stallLeader": {
        const readingsAhead = random.between(1, READINGS_AHEAD_MAX);
        return this.#freeze(this.#leader() ?? victim, random, (leader, ms) => leader.stall(readingsAhead, ms));
      }
      case "clockJump":
        return victim.jumpClock(random.between(-JUMP_MS_MAX, JUMP_MS_MAX));
      case "clockLeap":
        return victim.jumpClock(random.between(-LEAP_MS_MAX, LEAP_MS_MAX));
      case "wipe":
        return this.#wipe(victim, random);
      case "rot":
        return this.#rot(victim, random);
      case "join":
        return this.#turnover.join(random);
      case "leave":
        return this.#turnover.leave(victim);
      case "replace":
        return this.#turnover.replace(victim, random);
      default:
        unreachable(misfortune);
    }
  }

  // ---- disks

  /** Another program takes nearly all of the room, for a while. */
  #fill(victim: SimNode, random: Random): void {
    victim.disk.leaveRoom(random.below(ROOM_BYTES_MAX));
    this.#scheduler.schedule(drawn(random, PARTITION_MS), null, () => victim.disk.giveRoom());
  }

  /** Its log and what it applies fall behind, while it goes on hearing and answering. */
  #slow(victim: SimNode, random: Random): void {
    victim.disk.slowSyncs(SLOW_SYNC_MS);
    this.#scheduler.schedule(drawn(random, PARTITION_MS), null, () => victim.disk.slowSyncs(null));
  }

  /**
   * The node comes back under its name with an empty disk, and has to be refused. Only when all others know it: who has
   * never heard of a node cannot tell that it is another one.
   */
  #wipe(victim: SimNode, random: Random): void {
    const others = this.#nodes.filter((node) => node !== victim);
    const isKnown = others.every((node) => node.hasBound(victim.name));
    if (this.#spoiled !== null || !isKnown || others.length < 2) return;
    this.#spoiled = victim;
    victim.wipe();
    this.#restartLater(victim, random);
  }

  #rot(victim: SimNode, random: Random): void {
    if (this.#nodes.length < 3) return;
    this.#spoiled ??= victim;
    const node = this.#spoiled;
    const done = rot(node.disk, random);
    if (done === null) return;
    node.damaged(done);
    if (!node.isUp || !random.chance(ROT_RESTART_CHANCE)) return;
    node.kill();
    this.#restartLater(node, random);
  }

  // ---- lives

  #cut(nodes: readonly SimNode[], random: Random): void {
    for (const node of nodes) {
      node.crash({ sector: survival(random) });
      this.#restartLater(node, random);
    }
  }

  #restartLater(node: SimNode, random: Random): void {
    this.#restartAfter(node, drawn(random, DOWN_MS));
  }

  #restartAfter(node: SimNode, downMs: number): void {
    this.#scheduler.schedule(downMs, null, () => {
      if (!node.isUp && !node.isRetired) node.start();
    });
  }

  /** A shard that has failed is silent for the rest of its life, so its operator starts the process again. */
  #failed(node: SimNode, why: string): void {
    this.#trace.note(`${node.name} has failed: ${why}`);
    const { process } = node;
    this.#scheduler.schedule(0, null, () => {
      if (node.process === null || node.process !== process) return;
      node.kill();
      this.#restartLater(node, this.#random);
    });
  }

  #leader(): SimNode | undefined {
    return this.#nodes.find((node) => node.coordinator?.shards()[0]?.role === "leader");
  }

  /** Until others lead; of them it may not hear at once when it goes on, nor may somebody who goes on following it. */
  #freeze(leader: SimNode, random: Random, stop: (leader: SimNode, ms: number) => void): void {
    stop(leader, this.#electionMs * drawn(random, FREEZE_ELECTIONS));
    if (!random.chance(FROZEN_APART_CHANCE)) return;
    const others = this.#nodes.filter((node) => node !== leader);
    const companions = others.length >= 4 && random.chance(0.5) ? [others[random.below(others.length)]!] : [];
    this.#split([leader, ...companions], random);
  }

  // ---- the network

  #separate(one: SimNode, other: SimNode): void {
    this.#wire.block(one.name, other.name);
    this.#wire.block(other.name, one.name);
  }

  #split(side: readonly SimNode[], random: Random): void {
    this.isolate(side);
    this.#healLater(random);
  }

  /** Two halves that only one node connects. */
  #bridge(bridge: SimNode, random: Random): void {
    const others = this.#nodes.filter((node) => node !== bridge);
    const half = random.between(1, Math.max(1, others.length - 1));
    for (const one of others.slice(0, half)) for (const other of others.slice(half)) this.#separate(one, other);
    this.#healLater(random);
  }

  #deafen(victim: SimNode, random: Random): void {
    const hears = random.chance(0.5);
    for (const other of this.#nodes) {
      if (other === victim || random.chance(0.3)) continue;
      if (hears) this.#wire.block(victim.name, other.name);
      else this.#wire.block(other.name, victim.name);
    }
    this.#healLater(random);
  }

  /** Everything between a node and another one, or all others, takes about as long as an election, in one direction or both. */
  #slowLinks(victim: SimNode, random: Random): void {
    const isAll = random.chance(0.3);
    const isBoth = random.chance(0.5);
    const others = this.#nodes.filter((node) => node !== victim);
    const one = others[random.below(Math.max(1, others.length))];
    for (const other of isAll ? others : others.filter((node) => node === one)) {
      this.#wire.slowDown(victim.name, other.name, SLOW_LINK_MS);
      if (isBoth) this.#wire.slowDown(other.name, victim.name, SLOW_LINK_MS);
    }
    this.#healLater(random);
  }

  /** Nobody hears it, so that another one is elected, of whom it hears at once. */
  #mute(leader: SimNode, random: Random): void {
    for (const { name } of this.#nodes) if (name !== leader.name) this.#wire.block(leader.name, name);
    this.#scheduler.schedule(drawn(random, MUTE_MS), null, () => this.#wire.healAll());
  }

  #healLater(random: Random): void {
    this.#scheduler.schedule(drawn(random, PARTITION_MS), null, () => this.#wire.healAll());
  }
}

/** How much of what was not synced a power cut leaves behind: the chance of each sector. */
function survival(random: Random): number {
  return [0, 0, 0.5, 0.9][random.below(4)] ?? 0;
}
