/**
 * The hunt for leaders: each new one is cut off, and the one before it comes back, so that half replicated entries of
 * different terms meet, which is where commitment goes wrong if it can (Figure 8 of the Raft paper). Sometimes a voter
 * loses power in the same moment. In the season of ballots that voter is back in the same election.
 */
import type { Random } from "../core/random.ts";
import { drawn, type Misfortunes } from "./misfortunes.ts";
import type { Nemesis } from "./nemesis.ts";
import type { Range, Scheduler } from "./scheduler.ts";
import type { Wire } from "./sim-network.ts";
import type { SimNode } from "./sim-node.ts";
import type { Trace } from "./trace.ts";

/** A hunted leader is cut off before its first entry reaches anybody, or in the moment in which it first commits. */
const AT_ONCE_CHANCE = 0.5;
/** The hunt goes on when nobody has been elected for so long. */
const HUNT_PATIENCE_MS = 150;
const VOTER_LOST_CHANCE = 0.15;
const SHORT_DOWN_MS: Range = { min: 1, max: 30 };

const BALLOT_LOST_CHANCE = 0.4;
/** So soon is a voter back whose vote is to be forgotten, if it can be: in the same election. */
const BALLOTS_DOWN_MS: Range = { min: 1, max: 10 };
const BALLOTS_PATIENCE_MS = 1500;
const FOUND_AGAIN_MS: Range = { min: 60, max: 200 };
const VOTES_AGAIN_MS: Range = { min: 460, max: 600 };

export class Hunt {
  readonly #scheduler: Scheduler;
  readonly #wire: Wire;
  readonly #trace: Trace;
  readonly #nodes: readonly SimNode[];
  readonly #nemesis: Nemesis;
  readonly #misfortunes: Misfortunes;
  readonly #isOfBallots: boolean;
  #prey: { readonly name: string; readonly random: Random } | null = null;
  #caughtCount = 0;
  /** The leader that was caught last. */
  #isolated: string | null = null;

  constructor(
    scheduler: Scheduler,
    wire: Wire,
    trace: Trace,
    nodes: readonly SimNode[],
    nemesis: Nemesis,
    misfortunes: Misfortunes,
    isOfBallots: boolean,
  ) {
    this.#scheduler = scheduler;
    this.#wire = wire;
    this.#trace = trace;
    this.#nodes = nodes;
    this.#nemesis = nemesis;
    this.#misfortunes = misfortunes;
    this.#isOfBallots = isOfBallots;
  }

  /** To be called for every new leader. */
  elected(leaderName: string): void {
    if (this.#nemesis.isOver) return;
    const misfortune = this.#misfortunes.next();
    if (misfortune === null) return;
    const { random } = misfortune;
    if (this.#isOfBallots || random.chance(AT_ONCE_CHANCE)) this.#catch(leaderName, random);
    else this.#prey = { name: leaderName, random };
  }

  /** To be called when a leader's commit index has risen. */
  committed(leaderName: string): void {
    if (this.#prey?.name === leaderName) this.#catch(leaderName, this.#prey.random);
  }

  changed(): void {}

  #catch(leaderName: string, random: Random): void {
    const leader = this.#nodes.find((node) => node.name === leaderName);
    if (leader === undefined || this.#nemesis.isOver) return;
    this.#trace.note(`nemesis: caught ${leaderName}`);
    this.#prey = null;
    const caught = ++this.#caughtCount;
    this.#wire.healAll();
    this.#nemesis.isolate([leader]);
    this.#isolated = leaderName;
    const patienceMs = this.#isOfBallots ? BALLOTS_PATIENCE_MS : HUNT_PATIENCE_MS;
    this.#scheduler.schedule(patienceMs, null, () => {
      if (this.#caughtCount === caught) this.#wire.healAll();
    });
    if (this.#isOfBallots) {
      for (const node of this.#nodes) {
        if (node === leader || !random.chance(BALLOT_LOST_CHANCE)) continue;
        this.#loseVoter(node, drawn(random, BALLOTS_DOWN_MS));
        this.#holdBack(node, random);
      }
      return;
    }
    const voter = this.#nodes[random.below(this.#nodes.length)];
    if (voter !== undefined && random.chance(VOTER_LOST_CHANCE)) this.#loseVoter(voter, drawn(random, SHORT_DOWN_MS));
  }

  /**
   * What the restarted voter is asked for in the running election reaches it only when it votes again: once its peers
   * have found it, all that is sent to it is held back for the rest of its quiet time.
   */
  #holdBack(voter: SimNode, random: Random): void {
    const others = this.#nodes.filter((node) => node !== voter);
    const caught = this.#caughtCount;
    const isSame = (): boolean => this.#caughtCount === caught && !this.#nemesis.isOver;
    this.#scheduler.schedule(drawn(random, FOUND_AGAIN_MS), null, () => {
      if (isSame()) for (const { name } of others) this.#wire.block(name, voter.name);
    });
    this.#scheduler.schedule(drawn(random, VOTES_AGAIN_MS), null, () => {
      if (isSame()) for (const { name } of others) if (name !== this.#isolated) this.#wire.heal(name, voter.name);
    });
  }

  /** Not within the event that told of the leader: that may be one of the voter's own. */
  #loseVoter(voter: SimNode, downMs: number): void {
    this.#scheduler.schedule(0, null, () => {
      if (voter.isUp) this.#nemesis.powerCut(voter, downMs);
    });
  }
}
