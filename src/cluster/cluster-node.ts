/**
 * A node of the cluster on its main thread: a group per shard, the transport to the peers, the router in front, and
 * the turn that moves everything forward. A turn runs after the events of the loop that filled it, whoever they came
 * from, so that one sync, one frame and one write serve all of them:
 *
 *   propose → until Raft wants nothing more: drive → peers flush → links flush (the disk works) → clients flush
 *   → links settle (a shard on this thread applies, while everyone else has their answers)
 *
 * Main thread only.
 *
 * Length: what a turn, a tick and a frame set in motion meets here; each of it is done in files of its own.
 */
import type { ErrorCode } from "../core/errors.ts";
import { NO_NODE, type NodeId } from "../core/ids.ts";
import { Random } from "../core/random.ts";
import type { Environment } from "../env/environment.ts";
import type { Timer } from "../env/clock.ts";
import type { RaftMessage } from "../raft/messages.ts";
import { FrameType } from "../wire/peer-frame-format.ts";
import type { SystemChange } from "../bridge/shard-protocol.ts";
import { AccessAdmin } from "./access-admin.ts";
import { AccessCatalog } from "./access-catalog.ts";
import { BucketUsage } from "./bucket-usage.ts";
import { Catalog } from "./catalog.ts";
import type { ClusterSettings } from "./cluster-settings.ts";
import type { Coordinator } from "./coordinator.ts";
import { ForwardServers } from "./forward-servers.ts";
import { GOSSIP_MS } from "./gossip.ts";
import { GroupAims } from "./group-aims.ts";
import type { Neighbours } from "./group-members.ts";
import type { Identity } from "./identity.ts";
import { Heartbeats } from "./heartbeats.ts";
import { Lane } from "./lane.ts";
import { BALANCE_MS } from "./leader-balance.ts";
import type { MemberAdmin } from "./member-admin.ts";
import { Members } from "./members.ts";
import { Membership } from "./membership.ts";
import { NodeHealth } from "./node-health.ts";
import { PeerFrames } from "./peer-frames.ts";
import { PeerTransport } from "./peer-transport.ts";
import { encodeRaftMessage } from "./raft-message-format.ts";
import { type RaftTimes, raftTimes } from "./raft-times.ts";
import type { Refused } from "./refusal-log.ts";
import { type NodeView, Router } from "./router.ts";
import { ShardGroup } from "./shard-group.ts";
import type { OpenShard } from "./shard-port.ts";
import { Transfers } from "./transfers.ts";
import { TokenTable } from "../core/token-table.ts";
import { TouchedGroups } from "./touched-groups.ts";

/** How often the leader of shard 0 looks for fences nobody finished, in ticks. */
const RESUME_TICKS = 20;

/** A turn waits at most for so many more looks at the sockets while requests keep arriving: a larger group, a sync less. */
const LINGER_LOOKS_MAX = 4;

/** A turn goes from Raft to the disk and back at most so often: to write, to answer, and once for what that brought. */
const PASSES_MAX = 4;

/** A node that stops waits at most so long for others to take over what it leads, and no longer than an election takes. */
const HAND_OVER_MS_MAX = 1500;

export class ClusterNode {
  readonly #environment: Environment;
  readonly #identity: Identity;
  readonly #settings: ClusterSettings;
  readonly #transport: PeerTransport;
  readonly #heartbeats: Heartbeats;
  readonly #groups: readonly ShardGroup[];
  readonly #touched: TouchedGroups;
  readonly #lanes: readonly Lane[];
  readonly #router: Router;
  readonly #health: NodeHealth;
  readonly #catalog: Catalog;
  readonly #accessCatalog = new AccessCatalog();
  readonly access: AccessAdmin;
  readonly members: Members;
  readonly #membership: Membership;
  readonly #aims: GroupAims;
  readonly #neighbours: Neighbours;
  readonly #transfers: Transfers;
  readonly #servers: ForwardServers;
  readonly #frames: PeerFrames;
  readonly #nodeId: NodeId;
  readonly #times: RaftTimes;
  readonly #isWell = (node: NodeId): boolean => this.#health.isWell(node);
  #turnEnd: (() => void) | null = null;
  #onFailure: ((shard: number, code: ErrorCode, message: string) => void) | null = null;
  #onPeerRefused: Refused = () => undefined;
  #timer: Timer | null = null;
  #ticks = 0;
  /** As if one were, until the node is whole: one of which a shard could not be opened has no turns. */
  #turnScheduled = true;
  #inTurn = false;
  /** Everything that has asked for a turn, counted. */
  #arrivals = 0;
  #turnWallMs = 0;
  #backgroundScheduled = false;
  #dueTimer: Timer | null = null;
  /** When a node that stops waits no longer for its leaderships to be taken over. */
  #departureMs = Number.POSITIVE_INFINITY;
  #stopping = false;
  #turnCount = 0;
  /** The others have not been told yet what this node leads now. */
  #hasNews = false;

  constructor(environment: Environment, settings: ClusterSettings, identity: Identity, openShard: OpenShard) {
    this.#environment = environment;
    this.#settings = settings;
    this.#identity = identity;
    this.#nodeId = identity.nodeId;
    this.#catalog = new Catalog(settings.durability);
    const members = new Members(identity, settings.peers, environment.log);
    this.members = members;
    this.#aims = new GroupAims(members, settings.replicationFactor, identity.shardCount);
    this.#neighbours = {
      get members() {
        return members.list();
      },
      isConnected: (id) => this.#transport.connected(id),
    };
    this.#times = raftTimes(settings.heartbeatMs, settings.electionMs);
    const random = new Random(environment.seed);
    const session = random.u32();
    this.#transport = this.#newTransport(session);
    this.#heartbeats = new Heartbeats(identity.nodeId, this.#transport, (shard, message) =>
      this.#groups[shard]?.step(message),
    );
    this.#servers = new ForwardServers(this.#transport, () => this.#wake());
    this.#touched = new TouchedGroups(identity.shardCount);
    this.#groups = Array.from({ length: identity.shardCount }, (_, shard) =>
      this.#newGroup(shard, random.u32(), openShard),
    );
    this.#touched.serve(this.#groups);
    this.#lanes = this.#groups.map((group) => this.#newLane(group, session));
    this.#health = new NodeHealth(
      identity.nodeId,
      this.members,
      this.#transport,
      this.#lanes,
      environment.clock,
      random,
      session,
    );
    this.#transfers = new Transfers(
      identity.nodeId,
      this.#lanes,
      this.#transport,
      settings.electionMs,
      environment.clock,
    );
    const tokens = new TokenTable(identity.shardCount);
    this.#router = new Router(
      environment.clock,
      random,
      this.#lanes,
      tokens,
      this.#catalog,
      this.#newView(),
      settings.requestTimeoutMs,
      settings.valueBytesMax,
    );
    this.access = new AccessAdmin(this.#accessCatalog, this.#router.system);
    this.#membership = new Membership(
      environment,
      settings,
      identity,
      this.members,
      this.#transport,
      { system: this.#router.system, health: this.#health, transfers: this.#transfers },
      () => this.#wake(),
    );
    this.#frames = this.#newFrames();
    this.#turnScheduled = false;
    this.#wake();
  }

  #newTransport(session: number): PeerTransport {
    const { clusterName, valueBytesMax, replicationFactor, electionMs } = this.#settings;
    const { log } = this.#environment;
    return new PeerTransport(
      this.#environment,
      this.#identity,
      this.members,
      { clusterName, session, valueBytesMax, replicationFactor, electionMs },
      {
        onFrame: (from, peerSession, frame) => this.#frames.received(from, peerSession, frame),
        onConnected: (peer) => {
          log.info("peer connected", { peer: this.#health.nameOf(peer) });
          this.#hasNews = true;
          this.#wake();
        },
        onJoin: (body, say, isNamed) => this.#membership.joins.asked(body, say, isNamed),
        onLost: (peer) => this.#onLost(peer),
        onRefused: (from, why) => this.#onPeerRefused(from, why),
      },
    );
  }

  #newFrames(): PeerFrames {
    const receivers = {
      lanes: this.#lanes,
      servers: this.#servers,
      heartbeats: this.#heartbeats,
      health: this.#health,
      membership: this.#membership,
      transfers: this.#transfers,
    };
    return new PeerFrames(this.#nodeId, receivers, () => this.#wake());
  }

  #newView(): NodeView {
    const isTurnAhead = (): boolean => this.#turnScheduled;
    return {
      get isTurnAhead() {
        return isTurnAhead();
      },
      nodeName: this.#identity.nodeName,
      members: () => this.#health.members(),
      figures: () => this.#health.figures(this.#turnCount),
      nameOf: (id) => this.#health.nameOf(id),
      groupOf: (shard) => this.#health.groupOf(shard),
      membership: () => this.#membership,
      wake: () => this.#wake(),
    };
  }

  get memberAdmin(): MemberAdmin {
    return this.#membership.admin;
  }

  get coordinator(): Coordinator {
    return this.#router;
  }

  /** Listens for peers and starts the clock. Returns the peer port. */
  start(): number {
    const port = this.#transport.start(this.#settings.peerAddress);
    this.#startClock();
    return port;
  }

  /** Starts the clock of a node that has no peers, and that nobody can join. */
  startAlone(): void {
    this.#membership.staysAlone = true;
    this.#startClock();
  }

  #startClock(): void {
    this.#scheduleTick();
    this.#wake();
  }

  /** Lets everybody know where this node serves clients. */
  tellClientAddress(address: string): void {
    this.#health.clientAddress = address;
    this.#hasNews = true;
    this.#wake();
  }

  /** Whether every shard has recovered. */
  get opened(): boolean {
    return this.#groups.every((group) => group.opened);
  }

  /** Whether every shard has a leader that this node knows. */
  get hasLeaders(): boolean {
    return this.#lanes.every(({ leader, group }) => leader !== NO_NODE && (leader !== this.#nodeId || group.accepting));
  }

  /** Runs after each turn: where replies gathered in it are written. */
  onTurnEnd(run: () => void): void {
    this.#turnEnd = run;
  }

  /** Runs when a shard has failed: its disk is not to be trusted until a restart has read it again. */
  onFailure(run: (shard: number, code: ErrorCode, message: string) => void): void {
    this.#onFailure = run;
  }

  /** Runs whenever somebody at the peer port was not heard. */
  onPeerRefused(run: Refused): void {
    this.#onPeerRefused = run;
  }

  /** Runs when this node has heard that it is no member any more. */
  onForgotten(run: () => void): void {
    this.#membership.onForgotten(run);
  }

  /**
   * Hands over what this node leads, as far as others can take it, then takes no more part in the cluster and lets the
   * shards finish. `stopped` tells when they have.
   */
  stop(): void {
    if (this.#departureMs !== Number.POSITIVE_INFINITY) return;
    const patienceMs = Math.min(this.#settings.electionMs, HAND_OVER_MS_MAX);
    this.#departureMs = this.#environment.clock.monotonicMs() + patienceMs;
    for (const group of this.#groups) group.leave((peer) => this.#transport.connected(peer));
    this.#leaveWhenHandedOver();
  }

  #leaveWhenHandedOver(): void {
    if (this.#stopping || this.#departureMs === Number.POSITIVE_INFINITY) return;
    const isLate = this.#environment.clock.monotonicMs() >= this.#departureMs;
    if (!isLate && this.#groups.some((group) => group.isHandingOver)) return;
    this.#stopping = true;
    this.#timer?.cancel();
    this.#dueTimer?.cancel();
    this.#transport.stop();
    for (const group of this.#groups) group.stop();
  }

  get stopped(): boolean {
    return this.#groups.every((group) => group.isStopped);
  }

  /** Something came in from a worker: the turn runs now, because the replies of a batch come together. */
  turnNow(): void {
    this.#turnScheduled = false;
    this.#turn();
  }

  // ---- the turn --------------------------------------------------------------------------------------------------

  #wake(): void {
    this.#arrivals += 1;
    if (this.#turnScheduled || this.#stopping) return;
    this.#turnScheduled = true;
    this.#turnWallMs = this.#environment.clock.wallMs();
    this.#linger(0);
  }

  /** The turn comes when the sockets have been looked at once more and brought nothing new, or often enough. */
  #linger(looks: number): void {
    const seen = this.#arrivals;
    this.#environment.clock.soon(() => {
      // A turn that ran meanwhile has done this one's work.
      if (!this.#turnScheduled) return;
      if (this.#arrivals > seen && looks < LINGER_LOOKS_MAX) return this.#linger(looks + 1);
      this.#turnScheduled = false;
      this.#turn();
    });
  }

  #turn(): void {
    if (this.#stopping) return;
    this.#turnCount += 1;
    this.#inTurn = true;
    this.#touched.beginTurn();
    this.#router.pump();
    this.#servers.pump();
    let passes = 0;
    while (passes < PASSES_MAX && this.#drive()) passes += 1;
    if (this.#hasNews) this.#tellNews();
    this.#flushPeers();
    this.#turnEnd?.();
    this.#touched.settle();
    this.#turnEnd?.();
    this.#inTurn = false;
    if (passes === PASSES_MAX) this.#wake();
    this.#scheduleBackground();
    this.#leaveWhenHandedOver();
  }

  #tellNews(): void {
    this.#hasNews = false;
    this.#health.announce();
  }

  /** Carries out what Raft wants and lets the disks work; false: nothing was wanted. */
  #drive(): boolean {
    const isBusy = this.#touched.drive();
    this.#flushPeers();
    this.#touched.flush();
    return isBusy;
  }

  #flushPeers(): void {
    this.#servers.flush();
    this.#heartbeats.flush();
    this.#transport.flush();
  }

  /** Where shards have no thread of their own, their flushes and compactions run here, a bounded step at a time. */
  #scheduleBackground(): void {
    if (this.#backgroundScheduled || !this.#touched.owesSteps) return;
    this.#backgroundScheduled = true;
    this.#environment.clock.soon(() => {
      this.#backgroundScheduled = false;
      if (this.#stopping) return;
      this.#touched.step(this.#environment.clock.monotonicMs());
      if (this.#touched.owesSteps) this.#scheduleBackground();
      else this.#wakeWhenDue();
    });
  }

  /** What is due after the next tick is seen by it. */
  #wakeWhenDue(): void {
    const { clock } = this.#environment;
    const dueInMs = this.#touched.nextDueMs - clock.monotonicMs();
    if (this.#dueTimer !== null || dueInMs >= this.#times.tickMs) return;
    this.#dueTimer = clock.after(Math.max(1, dueInMs), () => {
      this.#dueTimer = null;
      this.#touched.touchDue(clock.monotonicMs());
      this.#wake();
    });
  }

  #scheduleTick(): void {
    this.#timer = this.#environment.clock.after(this.#times.tickMs, () => {
      if (this.#stopping) return;
      this.#tick();
      this.#leaveWhenHandedOver();
      if (!this.#stopping) this.#scheduleTick();
    });
  }

  #tick(): void {
    const { requestTimeoutMs, electionMs } = this.#settings;
    const nowMs = this.#environment.clock.monotonicMs();
    this.#ticks += 1;
    // All beat at the same ticks, so that their heartbeats share frames.
    const isBeat = this.#ticks % this.#times.heartbeatTicks === 0;
    for (const lane of this.#lanes) {
      const { group } = lane;
      group.tick(requestTimeoutMs);
      group.reconcile(this.#aims.of(group.shard), this.#neighbours);
      group.relieve(this.#isWell);
      if (isBeat) group.beat();
      if (lane.isWaiting) lane.expire(nowMs, this.#nodeId, electionMs, requestTimeoutMs);
    }
    this.#servers.expire(nowMs, nowMs - requestTimeoutMs);
    if (this.#isTurnOf(GOSSIP_MS)) this.#health.round();
    if (this.#isTurnOf(BALANCE_MS)) this.#spreadLeaders();
    // Until the first members are entered nobody can join.
    if (this.#ticks % RESUME_TICKS === 0 || this.members.version === 0) this.#tend();
    this.#membership.joins.look();
    this.#transfers.look();
    this.#touched.touchDue(nowMs);
    if (this.#touched.any || this.#awaitsTurn) this.#wake();
    this.#flushPeers();
  }

  /** Finishes what was left half done in the catalog. */
  #tend(): void {
    const leadsCatalog = this.#groups[0]?.accepting === true;
    if (leadsCatalog) this.#router.admin.resume();
    this.#membership.admin.tend(leadsCatalog, leadsCatalog ? this.#health.departed : []);
  }

  /** Whether anything is held that the next turn may move, though nothing has come for it. */
  get #awaitsTurn(): boolean {
    return this.#router.awaitsTurn || this.#servers.awaitsTurn;
  }

  /** Whether what is done at this interval is due at this tick. */
  #isTurnOf(intervalMs: number): boolean {
    return this.#ticks % Math.max(1, Math.round(intervalMs / this.#times.tickMs)) === 0;
  }

  /** Hands one shard over to a node that leads fewer. */
  #spreadLeaders(): void {
    const next = this.#health.nextHandOver;
    if (next !== null) this.#groups[next.shard]?.handOverTo(next.to);
  }

  // ---- peers -----------------------------------------------------------------------------------------------------

  #newGroup(shard: number, seed: number, openShard: OpenShard): ShardGroup {
    const { clock, log } = this.#environment;
    const options = {
      shard,
      id: this.#nodeId,
      firstMembers: { voters: this.#identity.founders, learners: [] },
      heartbeatTicks: this.#times.heartbeatTicks,
      electionTicks: this.#times.electionTicks,
      leaseMs: this.#times.leaseMs,
      appendBytesMax: this.#settings.appendBytesMax,
      inflightBytesMax: this.#settings.inflightBytesMax,
      inflightCountMax: this.#settings.inflightCountMax,
      uncommittedBytesMax: this.#settings.uncommittedBytesMax,
      logRetainBytes: this.#settings.logRetainBytes,
      tailBytesMax: this.#settings.tailBytesMax,
    };
    const events = {
      send: (from: number, message: RaftMessage) => this.#send(from, message),
      frame: this.#transport.frame.bind(this.#transport),
      touched: () => this.#touched.touch(shard),
      wake: () => {
        this.#touched.touch(shard);
        this.#wake();
      },
      replied: () => {
        this.#touched.touch(shard);
        if (!this.#inTurn) this.#wake();
      },
      turnWallMs: () => this.#turnWallMs,
      systemChanged: (from: number, changes: readonly SystemChange[], isWhole: boolean) => {
        if (from !== 0) return;
        for (const change of changes) this.#catalog.learn(change);
        this.members.learn(changes, isWhole);
        this.#accessCatalog.learn(changes, isWhole);
      },
      leadershipChanged: () => {
        this.#hasNews = true;
      },
      failed: (failed: number, code: ErrorCode, message: string) => {
        log.error("shard failed", { shard: failed, code, message });
        this.#onFailure?.(failed, code, message);
      },
    };
    return new ShardGroup(clock, log, seed, options, events, openShard);
  }

  #newLane(group: ShardGroup, session: number): Lane {
    const { clock } = this.#environment;
    const { requestTimeoutMs, valueBytesMax } = this.#settings;
    return new Lane(
      group,
      session,
      this.#transport,
      clock,
      requestTimeoutMs,
      () => this.#health.leadOf(group.shard),
      (operation, result) => this.#router.settled(operation, result),
      () => this.#wake(),
      new BucketUsage(group, this.#catalog, clock, this.#identity.shardCount, valueBytesMax),
    );
  }

  #send(shard: number, message: RaftMessage): void {
    if (message.type === "heartbeat" || message.type === "heartbeatReply") return this.#heartbeats.send(shard, message);
    this.#transport.frame(message.to, FrameType.raft, shard, (writer) => encodeRaftMessage(message, writer));
  }

  #onLost(peer: NodeId): void {
    if (this.#stopping) return;
    this.#environment.log.info("peer lost", { peer: this.#health.nameOf(peer) });
    for (const { forwarder } of this.#lanes) forwarder.onLost(peer);
    this.#servers.lost(peer);
    this.#wake();
  }
}
