/**
 * The body of an entry of the kind `configuration`: who belongs to the shard's group from that entry on, and where they are
 * found. The same bytes stand wherever a configuration has to be known without the log.
 *
 *   offset  bytes
 *        0      4  CRC-32 of the rest
 *        4         MessagePack map: members, an array of maps, by ascending id
 *                    id           integer, 1–65535, of a node that never had another one and is never given to another node
 *                    name         string
 *                    incarnation  string, the data directory that speaks under this id; empty until it is first heard
 *                    peerAddress  string
 *                    role         integer: 1 voter, 2 learner
 */
import { encode } from "@msgpack/msgpack";
import { viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { NodeId } from "../core/ids.ts";
import { decodePack } from "./decode-pack.ts";

export interface ConfigurationMember {
  readonly id: NodeId;
  readonly name: string;
  readonly incarnation: string;
  readonly peerAddress: string;
  readonly role: "voter" | "learner";
}

const CHECKSUM_BYTES = 4;
const NODE_ID_MAX = 0xffff;
const ROLE_NUMBER = { voter: 1, learner: 2 } as const;
const ROLES = ["", "voter", "learner"] as const;

export function encodeConfiguration(members: readonly ConfigurationMember[]): Uint8Array {
  const sorted = [...members].sort((a, b) => a.id - b.id);
  const map = encode({
    members: sorted.map(({ id, name, incarnation, peerAddress, role }) => ({
      id,
      name,
      incarnation,
      peerAddress,
      role: ROLE_NUMBER[role],
    })),
  });
  const body = new Uint8Array(CHECKSUM_BYTES + map.length);
  viewOf(body).setUint32(0, crc32(map), true);
  body.set(map, CHECKSUM_BYTES);
  return body;
}

/** The members, by ascending id and at least one of them a voter; an error where the bytes are something else. */
export function decodeConfiguration(body: Uint8Array, source: string): ConfigurationMember[] | EnvelopeError {
  if (body.length < CHECKSUM_BYTES) return corruption(source, 0, "a configuration cut short");
  const map = body.subarray(CHECKSUM_BYTES);
  if (crc32(map) !== viewOf(body).getUint32(0, true)) {
    return corruption(source, 0, "a configuration with a wrong checksum");
  }
  const members = membersIn(map);
  return members ?? corruption(source, CHECKSUM_BYTES, "a configuration that is none");
}

function membersIn(map: Uint8Array): ConfigurationMember[] | null {
  const fields = decodeMap(map);
  if (!Array.isArray(fields?.members)) return null;
  const members: ConfigurationMember[] = [];
  let lastId = 0;
  for (const item of fields.members as unknown[]) {
    const member = memberOf(item);
    if (member === null || member.id <= lastId) return null;
    lastId = member.id;
    members.push(member);
  }
  return members.some(({ role }) => role === "voter") ? members : null;
}

function decodeMap(map: Uint8Array): { readonly members?: unknown } | null {
  try {
    return decodePack(map, "a configuration") as { readonly members?: unknown } | null;
  } catch (cause) {
    if (cause instanceof EnvelopeError) return null;
    throw cause;
  }
}

function memberOf(item: unknown): ConfigurationMember | null {
  const { id, name, incarnation, peerAddress, role } = (item ?? {}) as Record<string, unknown>;
  const isId = typeof id === "number" && Number.isInteger(id) && id >= 1 && id <= NODE_ID_MAX;
  const isNamed = typeof name === "string" && typeof incarnation === "string" && typeof peerAddress === "string";
  const roleName = typeof role === "number" ? ROLES[role] : undefined;
  if (!isId || !isNamed || roleName === undefined || roleName === "") return null;
  return { id: id as NodeId, name, incarnation, peerAddress, role: roleName };
}
