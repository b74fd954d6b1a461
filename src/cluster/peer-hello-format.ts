/**
 * What two nodes tell each other before anything else: the body of `hello` and `welcome`, a MessagePack map. Each side
 * checks the other against its own identity, and against the newer of their two lists of members: so one that was away
 * while all others were replaced knows them again.
 */
import { encode } from "@msgpack/msgpack";
import { EnvelopeError } from "../core/errors.ts";
import { decodePack } from "../record/decode-pack.ts";
import { isMemberName, type MemberList, memberListMap, memberListOf, NODE_ID_MAX } from "../record/member-format.ts";

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

const TEXT_LENGTH_MAX = 128;

export function encodeHello(hello: PeerHello): Uint8Array {
  return encode({ ...hello, members: memberListMap(hello.members) });
}

export function decodeHello(body: Uint8Array): PeerHello {
  const fields = decodeMap(body);
  const members = memberListOf(fields.members);
  const whole =
    isShortText(fields.clusterId) &&
    isMemberName(fields.nodeName) &&
    isNodeId(fields.nodeId) &&
    isShortText(fields.incarnation) &&
    typeof fields.shardCount === "number" &&
    typeof fields.valueBytesMax === "number" &&
    typeof fields.replicationFactor === "number" &&
    typeof fields.session === "number";
  if (!whole || members === null) throw new EnvelopeError("PROTOCOL", "a peer's hello without its fields");
  return { ...(fields as PeerHello), members };
}

function decodeMap(body: Uint8Array): Partial<PeerHello> {
  return (decodePack(body, "a peer's hello") ?? {}) as Partial<PeerHello>;
}

/** What strangers call themselves ends up in logs. */
function isShortText(value: unknown): boolean {
  return typeof value === "string" && value.length <= TEXT_LENGTH_MAX;
}

function isNodeId(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= NODE_ID_MAX;
}
