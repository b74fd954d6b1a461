/** What peers say, brought to those whom it is for: frame by frame, to the node or to one of its groups. Main thread only. */
import { unreachable } from "../core/assert.ts";
import { ByteReader } from "../core/byte-reader.ts";
import type { NodeId } from "../core/ids.ts";
import { type Frame, FrameType } from "../wire/peer-frame-format.ts";
import { decodeFarewell } from "./farewell-format.ts";
import type { ForwardServers } from "./forward-servers.ts";
import type { Heartbeats } from "./heartbeats.ts";
import type { Lane } from "./lane.ts";
import type { Membership } from "./membership.ts";
import type { NodeHealth } from "./node-health.ts";
import { decodeRaftMessage } from "./raft-message-format.ts";
import { decodeRepairAsk, decodeRepairGiven } from "./repair-frame-format.ts";
import { decodeSnapshotAsk, decodeSnapshotGiven } from "./snapshot-frame-format.ts";
import type { Transfers } from "./transfers.ts";

/** Of the frames that are for one shard's group. */
type ShardFrameType = Exclude<
  FrameType,
  | typeof FrameType.report
  | typeof FrameType.members
  | typeof FrameType.heartbeats
  | typeof FrameType.heartbeatReplies
  | typeof FrameType.hello
  | typeof FrameType.welcome
  | typeof FrameType.refused
  | typeof FrameType.alive
  | typeof FrameType.join
  | typeof FrameType.joined
>;

/** Whom frames are for. */
export interface FrameReceivers {
  readonly lanes: readonly Lane[];
  readonly servers: ForwardServers;
  readonly heartbeats: Heartbeats;
  readonly health: NodeHealth;
  readonly membership: Membership;
  readonly transfers: Transfers;
}

export class PeerFrames {
  readonly #self: NodeId;
  readonly #to: FrameReceivers;
  readonly #wake: () => void;
  readonly #raftReader = new ByteReader("PROTOCOL", "a Raft message");
  readonly #farewellReader = new ByteReader("PROTOCOL", "a farewell");
  readonly #snapshotReader = new ByteReader("PROTOCOL", "a message about a snapshot");
  readonly #repairReader = new ByteReader("PROTOCOL", "a message about a repair");

  constructor(self: NodeId, to: FrameReceivers, wake: () => void) {
    this.#self = self;
    this.#to = to;
    this.#wake = wake;
  }

  /** `session`: the sender's process. Throws PROTOCOL for what does not parse. */
  received(from: NodeId, session: number, frame: Frame): void {
    const { lanes, heartbeats, membership } = this.#to;
    switch (frame.type) {
      case FrameType.report:
        return this.#onReport(from, frame.body);
      case FrameType.members:
        return membership.heard(frame.body);
      case FrameType.heartbeats:
      case FrameType.heartbeatReplies:
        return heartbeats.received(from, frame.type, frame.body);
      case FrameType.hello:
      case FrameType.welcome:
      case FrameType.refused:
      case FrameType.alive:
      case FrameType.join:
      case FrameType.joined:
        return;
      default: {
        const lane = lanes[frame.shard];
        if (lane?.group.opened === true) this.#forShard(frame.type, lane, from, session, frame.body);
      }
    }
  }

  #forShard(type: ShardFrameType, lane: Lane, from: NodeId, session: number, body: Uint8Array): void {
    const { group } = lane;
    switch (type) {
      case FrameType.raft:
        return group.step(decodeRaftMessage(this.#raftReader.over(body), from, this.#self));
      case FrameType.forward:
        return this.#to.servers.received(from, session, lane, body);
      case FrameType.forwardReply:
        lane.forwarder.onReply(from, body);
        return this.#wake();
      case FrameType.snapshotAsk:
        return group.snapshots?.asked(from, decodeSnapshotAsk(this.#snapshotReader.over(body)));
      case FrameType.snapshotGiven:
        return group.snapshots?.given(from, decodeSnapshotGiven(this.#snapshotReader.over(body)));
      case FrameType.membershipAsk:
        return group.members?.asked(from);
      case FrameType.farewell:
        return group.members?.dismissed(from, decodeFarewell(this.#farewellReader.over(body)));
      case FrameType.repairAsk:
        return group.repair?.asked(from, decodeRepairAsk(this.#repairReader.over(body)));
      case FrameType.repairGiven:
        return group.repair?.given(from, decodeRepairGiven(this.#repairReader.over(body)));
      case FrameType.handOver:
        this.#to.transfers.asked(lane, body);
        return this.#wake();
      default:
        return unreachable(type);
    }
  }

  #onReport(from: NodeId, body: Uint8Array): void {
    const { health, membership } = this.#to;
    health.heard(from, body);
    // What waits for a leader may know of one now.
    this.#wake();
    membership.heardVersion(from, health.membersVersionOf(from));
  }
}
