/**
 * What a node shows of itself and of the others: figures, members with their addresses, connections and health. It tells
 * the others in rounds (gossip.ts). Main thread only.
 */
import { NO_NODE, type NodeId, nodeId } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import type { Clock } from "../env/clock.ts";
import { type Configuration, NOBODY } from "../raft/configuration.ts";
import type { MemberRecord } from "../record/member-format.ts";
import { FrameType, NO_SHARD } from "../wire/peer-frame-format.ts";
import type { MemberStatus } from "./coordinator.ts";
import { Gossip, type Lead, type OwnReport, SUSPECT_PHI } from "./gossip.ts";
import type { Lane } from "./lane.ts";
import { nextHandOver, type Standing } from "./leader-balance.ts";
import type { Members } from "./members.ts";
import type { PeerTransport } from "./peer-transport.ts";
import type { ShardView } from "./removal.ts";

export class NodeHealth {
  readonly #self: NodeId;
  readonly #members: Members;
  readonly #transport: PeerTransport;
  readonly #lanes: readonly Lane[];
  readonly #gossip: Gossip;
  /** Where this node serves clients, for others to tell theirs. */
  clientAddress = "";

  /** `session` is that of this process. */
  constructor(
    self: NodeId,
    members: Members,
    transport: PeerTransport,
    lanes: readonly Lane[],
    clock: Clock,
    random: Random,
    session: number,
  ) {
    this.#self = self;
    this.#members = members;
    this.#transport = transport;
    this.#lanes = lanes;
    this.#gossip = new Gossip(self, session, members, clock, random, (to, body) =>
      transport.frame(to, FrameType.report, NO_SHARD, (writer) => writer.raw(body)),
    );
    members.onChange(() => this.#gossip.forgetStrangers());
  }

  /** Tells others how this node is. */
  round(): void {
    this.#gossip.round(this.#report, this.#connected);
  }

  /** Tells everybody at once what this node leads. */
  announce(): void {
    this.#gossip.announce(this.#report, this.#connected);
  }

  /** Who leads a shard by what others say. */
  leadOf(shard: number): Lead | null {
    return this.#gossip.leadOf(shard);
  }

  /** The shards, who leads and who votes in them, as far as this node knows. */
  shardViews(): readonly ShardView[] {
    return this.#lanes.map(({ group: { shard }, leader }) => ({
      shard,
      hasLeader: leader !== NO_NODE,
      voters: this.configurationOf(shard).voters,
    }));
  }

  /** Names of those who belong to a shard's group. */
  groupOf(shard: number): { readonly voters: readonly string[]; readonly learners: readonly string[] } {
    const { voters, learners } = this.configurationOf(shard);
    const named = (ids: readonly NodeId[]): string[] => ids.map((id) => this.#members.nameOf(id) ?? `(${id})`);
    return { voters: named(voters), learners: named(learners) };
  }

  /** Who belongs to a shard's group: by its leader's word, or as this node's own replica has it where that is newer. */
  configurationOf(shard: number): Configuration {
    const group = this.#lanes[shard]?.group;
    const lead = this.leadOf(shard);
    const isOwn = group?.isMember === true && group.term >= (lead?.term ?? 0) && (group.accepting || lead === null);
    if (isOwn || lead === null) return group?.configuration ?? NOBODY;
    return { voters: lead.voters.map(nodeId), learners: lead.learners.map(nodeId) };
  }

  isConnected(node: NodeId): boolean {
    return node === this.#self || this.#transport.connected(node);
  }

  /**
   * Members that are leaving and that no shard's group names any more. It takes the word of every shard's leader, given in the
   * knowledge of who is leaving.
   */
  get departed(): readonly MemberRecord[] {
    const leaving = this.#members.list().filter(({ state }) => state === "leaving");
    if (leaving.length === 0) return leaving;
    const named = new Set<number>();
    for (const { group } of this.#lanes) {
      const lead = group.accepting ? group.settledConfiguration : this.#knowingLeadOf(group.shard);
      if (lead === null) return [];
      for (const id of [...lead.voters, ...lead.learners]) named.add(id);
    }
    return leaving.filter(({ id }) => !named.has(id));
  }

  #knowingLeadOf(shard: number): Lead | null {
    const lead = this.leadOf(shard);
    if (lead === null) return null;
    const { membersVersion = 0, leads = [] } = this.#gossip.reportOf(lead.node) ?? {};
    const isItsLastWord = leads.some((led) => led.shard === shard && led.term === lead.term);
    return isItsLastWord && membersVersion >= this.#members.version ? lead : null;
  }

  get #connected(): readonly NodeId[] {
    return this.#members
      .list()
      .map(({ id }) => id)
      .filter((id) => this.#transport.connected(id));
  }

  get #report(): OwnReport {
    const groups = this.#lanes.map(({ group }) => group);
    return {
      membersVersion: this.#members.version,
      leads: groups
        .filter((group) => group.accepting)
        .map(({ shard, term, settledConfiguration }) => ({ shard, term, ...settledConfiguration })),
      pending: this.#pendingCount + this.#forwardedCount,
      debtBytes: this.#debtBytes,
      quarantined: this.#sum(({ group }) => group.quarantinedCount),
      isWritable: groups.every((group) => group.writable),
      clientAddress: this.clientAddress,
    };
  }

  /** Others have told. Throws PROTOCOL. */
  heard(from: NodeId, body: Uint8Array): void {
    this.#gossip.heard(from, body);
  }

  /** Of the list of members that a node last said it knows; as this node's own where it has said nothing. */
  membersVersionOf(node: NodeId): number {
    return this.#gossip.reportOf(node)?.membersVersion ?? this.#members.version;
  }

  /** Which of its shards this node had better hand over, and to whom; null: none. Those in trouble are not asked. */
  get nextHandOver(): { readonly shard: number; readonly to: NodeId } | null {
    const standings: Standing[] = [];
    for (const { id: node } of this.#members.list()) {
      if (this.isWell(node)) standings.push({ node, leading: this.#gossip.reportOf(node)?.leads.length ?? 0 });
    }
    const led = this.#lanes.filter(({ group }) => group.accepting);
    return nextHandOver(
      led.map(({ group: { shard, configuration } }) => ({ shard, voters: configuration.voters })),
      standings,
    );
  }

  /** Whether another node is there, has room, and is not known to be damaged. */
  isWell(node: NodeId): boolean {
    const report = this.#gossip.reportOf(node);
    const isThere = this.#transport.connected(node) && this.#gossip.suspicionOf(node) < SUSPECT_PHI;
    return isThere && report?.isWritable === true && report.quarantined === 0;
  }

  nameOf(id: number): string | null {
    return this.#members.nameOf(id);
  }

  members(): readonly MemberStatus[] {
    return this.#members.list().map(({ id, name, peerAddress, rack, state }) => {
      const isSelf = id === this.#self;
      return {
        id,
        name,
        peerAddress,
        rack,
        state,
        connected: isSelf || this.#transport.connected(id),
        suspicion: Math.round(this.#gossip.suspicionOf(id) * 10) / 10,
        report: isSelf ? this.#gossip.ownReport : this.#gossip.reportOf(id),
      };
    });
  }

  figures(turnCount: number): Readonly<Record<string, number>> {
    const lanes = this.#lanes;
    return {
      shards: lanes.length,
      leading: lanes.filter(({ group }) => group.accepting).length,
      turns: turnCount,
      pending_requests: this.#pendingCount,
      forwarded_requests: this.#forwardedCount,
      reads_from_memory: this.#sum(({ group }) => group.readCounts.memoryCount),
      reads_from_shard: this.#sum(({ group }) => group.readCounts.shardCount),
      reads_by_follower: this.#sum(({ followerReads }) => followerReads.followerCount),
      reads_stale: this.#sum(({ followerReads }) => followerReads.staleCount),
      compaction_debt_bytes: this.#debtBytes,
      write_delay_micros_per_mib: Math.max(0, ...lanes.map(({ group }) => group.pressure.writeDelayMicros)),
      write_stalls: this.#sum(({ group }) => group.pressure.stallCount),
    };
  }

  get #pendingCount(): number {
    return this.#sum(({ group }) => group.pendingCount);
  }

  get #forwardedCount(): number {
    return this.#sum(({ waitingCount }) => waitingCount);
  }

  get #debtBytes(): number {
    return this.#sum(({ group }) => group.pressure.debtBytes);
  }

  #sum(of: (lane: Lane) => number): number {
    return this.#lanes.reduce((total, lane) => total + of(lane), 0);
  }
}
