/** Raft messages of every type, well formed, with numbers from the reasonable to the absurd. */
import { logIndex, type NodeId, nodeId, term } from "../../../src/core/ids.ts";
import type { Random } from "../../../src/core/random.ts";
import type { Heartbeat, HeartbeatReply, RaftEntry, RaftMessage } from "../../../src/raft/messages.ts";

export const FROM: NodeId = nodeId(2);
export const TO: NodeId = nodeId(1);

const SIZES = [0, 1, 2, 3, 4, 5, 8, 17, 2 ** 16, 2 ** 31, 2 ** 32, 2 ** 48, 2 ** 52, Number.MAX_SAFE_INTEGER] as const;

/** Small more often than not. */
export function anySize(random: Random): number {
  return random.chance(0.6) ? random.below(12) : SIZES[random.below(SIZES.length)]!;
}

/** From member 2 to member 1. */
export function anyRaftMessage(
  random: Random,
  entries: readonly RaftEntry[],
): Exclude<RaftMessage, Heartbeat | HeartbeatReply> {
  const index = () => logIndex(anySize(random));
  const anyTerm = () => term(anySize(random));
  const envelope = { from: FROM, to: TO, term: anyTerm() };
  switch (random.below(8)) {
    case 0:
      return { type: "preVote", ...envelope, lastIndex: index(), lastTerm: anyTerm() };
    case 1:
      return { type: "vote", ...envelope, lastIndex: index(), lastTerm: anyTerm(), isTransfer: random.chance(0.3) };
    case 2:
      return { type: "preVoteReply", ...envelope, granted: random.chance(0.5) };
    case 3:
      return { type: "voteReply", ...envelope, granted: random.chance(0.5) };
    case 4: {
      const rejected = random.chance(0.5);
      const hints = { hintIndex: index(), hintTerm: anyTerm(), readRound: anySize(random) };
      return { type: "appendReply", ...envelope, rejected, matchIndex: index(), ...hints };
    }
    case 5:
      return { type: "timeoutNow", ...envelope };
    case 6: {
      const configuration = { voters: [TO, FROM, nodeId(3)], learners: random.chance(0.5) ? [] : [nodeId(9)] };
      const snapshot = { id: anySize(random), index: index(), term: anyTerm(), configuration };
      return { type: "installSnapshot", ...envelope, snapshot };
    }
    default:
      return {
        type: "append",
        ...envelope,
        previousIndex: logIndex(entries.length === 0 ? anySize(random) : Math.max(0, entries[0]!.index - 1)),
        previousTerm: anyTerm(),
        commitIndex: index(),
        readRound: anySize(random),
        releaseIndex: index(),
        entries,
      };
  }
}
