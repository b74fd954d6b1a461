/**
 * What a node shows of itself and of the others: figures, members with their addresses, connections and health. It tells
 * the others in rounds (gossip.ts). Main thread only.
 */
import { type NodeId, nodeId } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import type { Clock } from "../env/clock.ts";
import { FrameType, NO_SHARD } from "../wire/peer-frame-format.ts";
import type { MemberStatus } from "./coordinator.ts";
import { Gossip, SUSPECT_PHI } from "./gossip.ts";
import type { Identity } from "./identity.ts";
import type { Lane } from "./lane.ts";
import { lighterNode, type Standing } from "./leader-balance.ts";
import type { PeerAddress, PeerTransport } from "./peer-transport.ts";

export class NodeHealth {
  readonly #identity: Identity;
  readonly #addresses: readonly PeerAddress[];
  readonly #transport: PeerTransport;
  readonly #lanes: readonly Lane[];
  readonly #gossip: Gossip;

  /** `session` is that of this process. */
  constructor(
    identity: Identity,
    addresses: readonly PeerAddress[],
    transport: PeerTransport,
    lanes: readonly Lane[],
    clock: Clock,
    random: Random,
    session: number,
  ) {
    this.#identity = identity;
    this.#addresses = addresses;
    this.#transport = transport;
    this.#lanes = lanes;
    this.#gossip = new Gossip(identity.nodeId, session, clock, random, (to, body) =>
      transport.frame(to, FrameType.report, NO_SHARD, (writer) => writer.raw(body)),
    );
  }

  /** Tells others how this node is. */
  round(): void {
    const groups = this.#lanes.map(({ group }) => group);
    this.#gossip.round(
      {
        leading: groups.filter((group) => group.accepting).length,
        pending: this.#pendingCount + this.#forwardedCount,
        debtBytes: groups.reduce((sum, group) => sum + group.pressure.debtBytes, 0),
        quarantined: groups.reduce((sum, group) => sum + group.quarantinedCount, 0),
        isWritable: groups.every((group) => group.writable),
      },
      this.#identity.members.map(({ id }) => nodeId(id)).filter((id) => this.#transport.connected(id)),
    );
  }

  /** Others have told. Throws PROTOCOL. */
  heard(from: NodeId, body: Uint8Array): void {
    this.#gossip.heard(from, body);
  }

  /** Who had better lead one of this node's shards, NO_NODE: nobody. Those in trouble are not asked. */
  get lighterNode(): NodeId {
    const standings: Standing[] = [];
    for (const member of this.#identity.members) {
      const node = nodeId(member.id);
      const report = this.#gossip.reportOf(node);
      const isWell = report?.isWritable === true && report.quarantined === 0;
      const isThere = this.#transport.connected(node) && this.#gossip.suspicionOf(node) < SUSPECT_PHI;
      if (isWell && isThere) standings.push({ node, leading: report.leading });
    }
    return lighterNode(this.#lanes.filter(({ group }) => group.accepting).length, standings);
  }

  nameOf(id: number): string | null {
    return this.#identity.members.find((member) => member.id === id)?.name ?? null;
  }

  members(): readonly MemberStatus[] {
    return this.#identity.members.map(({ id, name }) => {
      const isSelf = id === this.#identity.nodeId;
      return {
        name,
        peerAddress: this.#addresses.find((peer) => peer.name === name)?.address ?? "",
        connected: isSelf || this.#transport.connected(nodeId(id)),
        suspicion: Math.round(this.#gossip.suspicionOf(nodeId(id)) * 10) / 10,
        report: isSelf ? this.#gossip.ownReport : this.#gossip.reportOf(nodeId(id)),
      };
    });
  }

  figures(turnCount: number): Readonly<Record<string, number>> {
    const groups = this.#lanes.map(({ group }) => group);
    return {
      shards: groups.length,
      leading: groups.filter((group) => group.accepting).length,
      turns: turnCount,
      pending_requests: this.#pendingCount,
      forwarded_requests: this.#forwardedCount,
      compaction_debt_bytes: groups.reduce((sum, group) => sum + group.pressure.debtBytes, 0),
      write_delay_micros_per_mib: Math.max(0, ...groups.map((group) => group.pressure.writeDelayMicros)),
      write_stalls: groups.reduce((sum, group) => sum + group.pressure.stallCount, 0),
    };
  }

  get #pendingCount(): number {
    return this.#lanes.reduce((sum, { group }) => sum + group.pendingCount, 0);
  }

  get #forwardedCount(): number {
    return this.#lanes.reduce((sum, { forwarder }) => sum + forwarder.count, 0);
  }
}
