/** What a group is told by its node, and what it tells and asks it. Main thread only. */
import type { SystemChange } from "../bridge/shard-protocol.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { NodeId } from "../core/ids.ts";
import type { Configuration } from "../raft/configuration.ts";
import type { RaftMessage } from "../raft/messages.ts";
import type { RaftOptions } from "../raft/ready.ts";
import type { FrameType } from "../wire/peer-frame-format.ts";

/** Everything about the core but what the driver itself provides. */
export type GroupOptions = Omit<RaftOptions, "emptyEntry" | "preVote"> & {
  readonly shard: number;
  /** Who belongs to the group before its log says anything else. */
  readonly firstMembers: Configuration;
  /** Log that is kept for members that are behind, once it is in tables. */
  readonly logRetainBytes: number;
};

export interface GroupEvents {
  send(shard: number, message: RaftMessage): void;
  /** Another frame for a peer, lost if it cannot be sent now. */
  readonly frame: (to: NodeId, type: FrameType, shard: number, write: (writer: ByteWriter) => void) => void;
  /** The group has work for the next turn, whenever that comes. */
  readonly touched: () => void;
  /** The group has work for the next turn, which is to come soon. */
  readonly wake: () => void;
  /** The shard has said something; during a turn that is looked at before the turn ends. */
  replied(): void;
  /** Wall-clock milliseconds at which the first event of this turn came. */
  turnWallMs(): number;
  /** This node leads the shard, and takes operations, or does so no longer. */
  leadershipChanged(): void;
  /** Keys of the shard's system bucket have changed; `isWhole`: it has these and no others. */
  systemChanged(shard: number, changes: readonly SystemChange[], isWhole: boolean): void;
  failed(shard: number, code: ErrorCode, message: string): void;
}
