/** A group of three voters, made to lead, over a shard that says what a test lets it say; and a router over such groups. */
import { createShardMemory } from "../../src/bridge/shard-memory.ts";
import { MemtableSet } from "../../src/bridge/memtable-set.ts";
import type { ShardReply, ShardRequest } from "../../src/bridge/shard-protocol.ts";
import { SharedState } from "../../src/bridge/shared-state.ts";
import { BucketUsage } from "../../src/cluster/bucket-usage.ts";
import { Catalog } from "../../src/cluster/catalog.ts";
import type { GroupOptions } from "../../src/cluster/group-events.ts";
import { Lane } from "../../src/cluster/lane.ts";
import { Router } from "../../src/cluster/router.ts";
import { ShardGroup } from "../../src/cluster/shard-group.ts";
import { TokenTable } from "../../src/core/token-table.ts";
import { logIndex, type NodeId, NO_NODE, nodeId, term } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import type { Clock } from "../../src/env/clock.ts";
import type { RaftMessage } from "../../src/raft/messages.ts";
import { entryIndex, entryTerm } from "../../src/record/entry-format.ts";

export const QUIET = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Time stands still until a test moves it; timers and turns never come by themselves. */
export class StillClock implements Clock {
  nowMs = 1000;
  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  after(): { cancel(): void } {
    return { cancel: () => undefined };
  }
  soon(): void {}
}

const OPTIONS: GroupOptions = {
  shard: 0,
  id: nodeId(1),
  firstMembers: { voters: [nodeId(1), nodeId(2), nodeId(3)], learners: [] },
  electionTicks: 6,
  heartbeatTicks: 3,
  leaseMs: 200,
  appendBytesMax: 256 * 1024,
  inflightBytesMax: 8 * 1024 * 1024,
  inflightCountMax: 256,
  uncommittedBytesMax: 64 * 1024 * 1024,
  logRetainBytes: 512 * 1024 * 1024,
  tailBytesMax: 8 * 1024 * 1024,
};

export class LeadingGroup {
  readonly group: ShardGroup;
  readonly clock = new StillClock();
  readonly requests: ShardRequest[] = [];
  readonly sent: RaftMessage[] = [];
  readonly failures: string[] = [];
  /** Frames of other kinds. */
  readonly frames: { readonly to: number; readonly type: number }[] = [];
  /** How often the group has asked for a turn. */
  wakeCount = 0;
  /** The shard does not get round to applying what is committed. */
  appliesNothing = false;
  /** The disk does not get round to anything. */
  syncsNothing = false;
  say: (reply: ShardReply) => void = () => undefined;
  readonly #state: SharedState;
  #done = 0;

  constructor(options: Partial<GroupOptions> = {}) {
    const memory = createShardMemory(64 * 1024, 3);
    this.#state = new SharedState(memory.state);
    this.#state.setWritable(true);
    const events = {
      send: (_shard: number, message: RaftMessage) => this.sent.push(message),
      wake: () => {
        this.wakeCount += 1;
      },
      touched: () => undefined,
      frame: (to: NodeId, type: number) => this.frames.push({ to, type }),
      replied: () => undefined,
      turnWallMs: () => this.clock.nowMs,
      systemChanged: () => undefined,
      leadershipChanged: () => undefined,
      failed: (_shard: number, code: string) => this.failures.push(code),
    };
    this.group = new ShardGroup(this.clock, QUIET, 1, { ...OPTIONS, ...options }, events, (_shard, onReply) => {
      this.say = onReply;
      const link = {
        congested: false,
        send: (request: ShardRequest) => this.requests.push(request),
        flush: () => undefined,
        settle: () => undefined,
      };
      return {
        link,
        state: this.#state,
        memtables: new MemtableSet(this.#state, memory.arenas),
        background: () => false,
        stir: () => undefined,
        dueInMs: () => Number.POSITIVE_INFINITY,
      };
    });
    const none = {
      firstIndex: logIndex(1),
      lastIndex: logIndex(0),
      commitIndex: logIndex(0),
      appliedIndex: logIndex(0),
    };
    const terms = {
      hardTerm: term(0),
      hardVote: NO_NODE,
      votesFrom: logIndex(0),
      lastTerm: term(0),
      previousTerm: term(0),
      termRuns: [],
    };
    this.say({
      type: "opened",
      boot: { ...none, ...terms, stampHigh: 0, stampLow: 0, configurations: [], lostEnd: null, system: [] },
    });
    this.lead();
  }

  /** Is elected, and its first entry committed, by node 2. */
  lead(): void {
    const before = this.sent.length;
    while (!this.sent.slice(before).some(({ type }) => type === "preVote")) this.tick();
    this.#grant("preVoteReply", this.group.term + 1);
    this.turn();
    this.#grant("voteReply", this.group.term);
    this.turn();
    this.acknowledge();
  }

  /** The shard applies what is committed. */
  applyCommitted(): void {
    this.#apply(this.group.commitIndex);
    this.turn();
  }

  /** Drives until nothing more comes; the disk confirms everything at once and the shard applies what is committed. */
  turn(): void {
    this.group.propose();
    do this.group.drive();
    while (this.#disk());
    this.group.drive();
  }

  tick(): void {
    this.group.tick(1_000_000);
    this.turn();
  }

  /** Node 2, or another, confirms everything it has been sent by now, its read round too. */
  acknowledge(from = 2): void {
    const { group } = this;
    const append = this.sent.findLast((message) => message.type === "append" && message.to === from);
    if (append?.type !== "append") throw new Error("nothing was sent");
    const last = append.entries.at(-1);
    const matchIndex = last === undefined ? append.previousIndex : last.index;
    const match = { rejected: false, matchIndex, hintIndex: matchIndex, hintTerm: term(0), readRound: this.round };
    group.step({ type: "appendReply", from: nodeId(from), to: nodeId(1), term: term(group.term), ...match });
    this.turn();
  }

  /** The newest read round anybody was asked to confirm. */
  get round(): number {
    return Math.max(0, ...this.sent.map((message) => ("readRound" in message ? message.readRound : 0)));
  }

  /** Node 2's answer to a round arrives; it is looked at in the next turn. */
  confirm(round: number): void {
    const reply = { readRound: round, lastIndex: logIndex(this.group.commitIndex) };
    this.group.step({ type: "heartbeatReply", from: nodeId(2), to: nodeId(1), term: term(this.group.term), ...reply });
  }

  /** From now on a miss in memory is not final: the shard is asked. */
  noteTables(): void {
    this.#state.noteTables();
  }

  /** The disk has no room any more, or has it again. */
  fill(isFull: boolean): void {
    this.#state.setWritable(!isFull);
  }

  /** So many files of the shard turn out to be damaged. */
  damage(fileCount: number): void {
    this.#state.setQuarantined(fileCount);
  }

  /** The shard is behind: a MiB of writes is to wait so long. */
  slow(delayMs: number): void {
    this.#state.publishPressure(delayMs * 1000, 0, 0);
  }

  #grant(type: "preVoteReply" | "voteReply", inTerm: number): void {
    this.group.step({ type, from: nodeId(2) as NodeId, to: nodeId(1), term: term(inTerm), granted: true });
  }

  #disk(): boolean {
    let isNews = false;
    for (; this.#done < this.requests.length; this.#done++) {
      const request = this.requests[this.#done]!;
      if (request.type === "saveHardState") {
        this.say({ type: "hardStateSaved", term: request.term, vote: request.vote });
        isNews = true;
      } else if (request.type === "append" || request.type === "commit") {
        const last = request.type === "append" ? request.entries.at(-1) : undefined;
        if (last !== undefined && !this.syncsNothing)
          this.say({ type: "persisted", lastIndex: entryIndex(last), lastTerm: entryTerm(last) });
        this.#apply(request.commitIndex);
        isNews = true;
      }
    }
    return isNews;
  }

  #apply(index: number): void {
    if (index <= this.group.appliedIndex || this.appliesNothing) return;
    this.#state.publishApplied(logIndex(index));
    this.say({ type: "applied", appliedIndex: logIndex(index), stampHigh: 0, stampLow: 0, results: [], system: [] });
  }
}

const REQUEST_TIMEOUT_MS = 5000;

/** The router of a node that leads all of its shards and knows no peer, by the clock of the first. */
export function routerOver(shards: readonly Pick<LeadingGroup, "group" | "clock">[], catalog = new Catalog(0)): Router {
  const transport = { connected: () => false, frame: () => false };
  const clock = shards[0]?.clock ?? new StillClock();
  const lanes = shards.map(
    ({ group }) =>
      new Lane(
        group,
        1,
        transport,
        clock,
        REQUEST_TIMEOUT_MS,
        () => null,
        (operation, result) => router.settled(operation, result),
        () => undefined,
        new BucketUsage(group, catalog, clock, shards.length, 1 << 20),
      ),
  );
  const view = {
    nodeName: "n1",
    members: () => [],
    figures: () => ({}),
    nameOf: () => null,
    membership: () => {
      throw new Error("a router under test has no members to change");
    },
    groupOf: () => ({ voters: [], learners: [] }),
    wake: () => undefined,
    isTurnAhead: false,
  };
  const tokens = new TokenTable(shards.length);
  const router: Router = new Router(clock, new Random(1), lanes, tokens, catalog, view, REQUEST_TIMEOUT_MS, 1 << 20);
  return router;
}
