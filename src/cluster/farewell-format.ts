/**
 * How a replica that hears no leader learns that it is none any more. It asks with a `membershipAsk` frame, without a body,
 * and who leads the shard and knows of no such member answers with a `farewell`:
 *
 *   u64 index of the configuration in force, which is committed     u64 the leader's term
 */
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { type LogIndex, logIndex, type Term, term } from "../core/ids.ts";

export interface Farewell {
  readonly index: LogIndex;
  readonly term: Term;
}

export function encodeFarewell(farewell: Farewell, into: ByteWriter): void {
  into.u64(farewell.index);
  into.u64(farewell.term);
}

/** Throws PROTOCOL. */
export function decodeFarewell(from: ByteReader): Farewell {
  return { index: logIndex(from.u64()), term: term(from.u64()) };
}
