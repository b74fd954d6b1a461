/** All that takes bytes from strangers, or from members that lie. */
import type { FuzzTarget } from "./target.ts";
import { BINARY_REPLIES, BINARY_REQUESTS, MESSAGE_PACK } from "./targets/binary.ts";
import { COMPRESSED } from "./targets/compressed.ts";
import { PEER_FRAMES, STRANGERS } from "./targets/peers.ts";
import { RAFT } from "./targets/raft.ts";
import { RECORDS } from "./targets/records.ts";
import { REPLIES, REPLY_COUNTS } from "./targets/replies.ts";
import { INLINE, RESP_REQUESTS } from "./targets/requests.ts";

export const TARGETS: readonly FuzzTarget[] = [
  RESP_REQUESTS,
  INLINE,
  BINARY_REQUESTS,
  BINARY_REPLIES,
  MESSAGE_PACK,
  COMPRESSED,
  STRANGERS,
  PEER_FRAMES,
  RAFT,
  RECORDS,
  REPLIES,
  REPLY_COUNTS,
];
