/**
 * What two nodes tell each other before anything else: the body of `hello` and `welcome`, a MessagePack map. Each side
 * checks the other against its own identity, and against the newer of their two lists of members: so one that was away
 * while all others were replaced knows them again.
 */
import { decode, encode } from "@msgpack/msgpack";
import { EnvelopeError } from "../core/errors.ts";
import { type MemberList, memberListMap, memberListOf, NODE_ID_MAX } from "../record/member-format.ts";

export interface PeerHello {
  readonly clusterId: string;
  readonly nodeName: string;
  readonly nodeId: number;
  readonly incarnation: string;
  readonly shardCount: number;
  /** The longest value APPEND may make decides results, so it is the same on every node. */
  readonly valueBytesMax: number;
  /** Leaders that disagree on it would undo each other's changes of a shard's members for ever. */
  readonly replicationFactor: number;
  /** Drawn anew at every start of the process: answers to an earlier process are recognised and dropped. */
  readonly session: number;
  /** The newest that the sender knows. */
  readonly members: MemberList;
}

export function encodeHello(hello: PeerHello): Uint8Array {
  return encode({ ...hello, members: memberListMap(hello.members) });
}

export function decodeHello(body: Uint8Array): PeerHello {
  const fields = decodeMap(body);
  const members = memberListOf(fields.members);
  const whole =
    typeof fields.clusterId === "string" &&
    typeof fields.nodeName === "string" &&
    isNodeId(fields.nodeId) &&
    typeof fields.incarnation === "string" &&
    typeof fields.shardCount === "number" &&
    typeof fields.valueBytesMax === "number" &&
    typeof fields.replicationFactor === "number" &&
    typeof fields.session === "number";
  if (!whole || members === null) throw new EnvelopeError("PROTOCOL", "a peer's hello without its fields");
  return { ...(fields as PeerHello), members };
}

function decodeMap(body: Uint8Array): Partial<PeerHello> {
  try {
    return (decode(body) ?? {}) as Partial<PeerHello>;
  } catch (cause) {
    throw new EnvelopeError("PROTOCOL", `a peer's hello that is not MessagePack: ${String(cause)}`);
  }
}

function isNodeId(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= NODE_ID_MAX;
}
