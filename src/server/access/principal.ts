/**
 * Who is on the other side of a connection, and what they may do: grants made ready for the question that every command
 * asks. A principal never changes; when rights do, the connections get another (client-port.ts).
 *
 * A right on a key comes from any grant whose pattern matches the bucket and whose prefix the key begins with; a right on
 * a bucket as a whole (its keys listed, counted, emptied; itself created or dropped) only from grants without a prefix. What
 * is not granted is denied. Rights of several grants add up. A token's principal is held by two: its user and its own limits.
 */
import { utf8 } from "../../core/bytes.ts";
import { globMatches } from "../../core/glob.ts";
import { ALL_RIGHTS, type Grant, Right } from "../../record/access-format.ts";
import type { ByteRange } from "../../record/command-format.ts";

export class Principal {
  /** Of the user; empty: nobody has logged in. */
  readonly name: string;
  readonly isLoggedIn: boolean;
  readonly #grants: readonly Grant[];
  /** Rights on everything there is. */
  readonly #everywhere: number;
  readonly #limit: Principal | null;
  /** The grants that reach the bucket asked for last. */
  #bucket: string | null = null;
  #inBucket: readonly Grant[] = [];

  constructor(name: string, isLoggedIn: boolean, grants: readonly Grant[], limit: Principal | null) {
    this.name = name;
    this.isLoggedIn = isLoggedIn;
    this.#grants = grants;
    this.#limit = limit;
    let everywhere = 0;
    for (const { bucket, prefix, rights } of grants) if (bucket === "*" && prefix.length === 0) everywhere |= rights;
    this.#everywhere = everywhere;
  }

  /** Whether all of `rights` are granted on a key, or (null) on the whole bucket. */
  may(rights: number, bucket: string, key: ByteRange | null): boolean {
    if (this.#limit !== null && !this.#limit.may(rights, bucket, key)) return false;
    if ((this.#everywhere & rights) === rights) return true;
    let granted = this.#everywhere;
    for (const grant of this.#of(bucket)) if (reaches(grant.prefix, key)) granted |= grant.rights;
    return (granted & rights) === rights;
  }

  /** Whether all of `rights` are granted on every key of every bucket. */
  mayEverywhere(rights: number): boolean {
    return (this.#everywhere & rights) === rights && (this.#limit?.mayEverywhere(rights) ?? true);
  }

  /** Whether any of `rights` is granted anywhere. */
  hasAny(rights: number): boolean {
    if (this.#limit !== null && !this.#limit.hasAny(rights)) return false;
    return this.#grants.some((grant) => (grant.rights & rights) !== 0);
  }

  /** Whether anything in this bucket is theirs: to others it is as if it were not there. */
  sees(bucket: string): boolean {
    if (this.#limit !== null && !this.#limit.sees(bucket)) return false;
    return this.#of(bucket).some((grant) => (grant.rights & ~Right.cluster) !== 0);
  }

  #of(bucket: string): readonly Grant[] {
    if (bucket !== this.#bucket) {
      const name = utf8(bucket);
      this.#inBucket = this.#grants.filter((grant) => grant.bucket === bucket || globMatches(utf8(grant.bucket), name));
      this.#bucket = bucket;
    }
    return this.#inBucket;
  }
}

const EVERYTHING: Grant = { bucket: "*", prefix: new Uint8Array(0), rights: ALL_RIGHTS };

/** Whoever connects to a node that is open. */
export const ANYBODY = new Principal("default", true, [EVERYTHING], null);

/** Whoever has not logged in. */
export const NOBODY = new Principal("", false, [], null);

function reaches(prefix: Uint8Array, key: ByteRange | null): boolean {
  const { length } = prefix;
  if (length === 0) return true;
  if (key === null || key.end - key.start < length) return false;
  for (let i = 0; i < length; i++) if (prefix[i] !== key.bytes[key.start + i]) return false;
  return true;
}
