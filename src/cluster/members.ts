/**
 * Who belongs to the cluster, as far as this node knows: the newest list that it has applied itself (with a replica of
 * shard 0) or has been told of, and where it reaches each of them. It outlives a restart in `node.meta`.
 *
 * Invariants: the version only grows, and lists of one version are the same everywhere. A member that the catalog has not
 * bound to a data directory yet is bound here to the first one heard, on disk before it counts. Main thread only.
 */
import type { SystemChange } from "../bridge/shard-protocol.ts";
import { text } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { NodeId } from "../core/ids.ts";
import type { Logger } from "../env/environment.ts";
import {
  type Census,
  CENSUS_KEY,
  decodeCensus,
  decodeMemberRecord,
  MEMBER_PREFIX,
  type MemberList,
  type MemberRecord,
} from "../record/member-format.ts";
import type { PeerAddress } from "./cluster-settings.ts";
import type { Identity } from "./identity.ts";

export class Members {
  readonly #identity: Identity;
  readonly #addresses: ReadonlyMap<string, string>;
  readonly #log: Logger;
  readonly #listeners: (() => void)[] = [];
  #list: MemberList;
  #records: readonly MemberRecord[] = [];
  readonly #byId = new Map<number, MemberRecord>();
  /** What this node's own replica of shard 0 has applied, which may be behind what it has been told. */
  readonly #applied = new Map<string, MemberRecord>();
  #census: Census | null = null;

  /** `peers`: where this node reaches some of them, whatever the catalog says. */
  constructor(identity: Identity, peers: readonly PeerAddress[], log: Logger) {
    this.#identity = identity;
    this.#addresses = new Map(peers.map(({ name, address }) => [name, address]));
    this.#log = log;
    this.#list = identity.members;
    this.#look();
  }

  /** How many changes of the catalog are in here; 0: it is the list of the first members. */
  get version(): number {
    return this.#list.version;
  }

  /** By ascending id. */
  list(): readonly MemberRecord[] {
    return this.#records;
  }

  get(id: NodeId): MemberRecord | null {
    return this.#byId.get(id) ?? null;
  }

  nameOf(id: number): string | null {
    return this.#byId.get(id)?.name ?? null;
  }

  /** As the catalog has it, for others. */
  get catalogList(): MemberList {
    return this.#list;
  }

  /** Whether this id was a member's once. */
  isForgotten(id: number): boolean {
    return id > 0 && id < this.#list.nextId && !this.#byId.has(id);
  }

  /** Runs after every change. */
  onChange(run: () => void): void {
    this.#listeners.push(run);
  }

  /** Takes a list if it is newer than what is known; false: it is not, or is that of another cluster. */
  adopt(list: MemberList): boolean {
    if (list.version <= this.#list.version || this.#contradicts(list)) return false;
    this.#list = list;
    try {
      this.#identity.saveMembers(list);
    } catch (cause) {
      // It can be had again from anybody: nothing rests on it but whom to dial after a restart.
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#log.warn("the list of members could not be saved", { why: cause.message });
    }
    this.#changed();
    return true;
  }

  /** This node's replica of shard 0 has applied something; `isWhole`: these are all keys that it has, and no others. */
  learn(changes: readonly SystemChange[], isWhole: boolean): void {
    if (isWhole) {
      this.#applied.clear();
      this.#census = null;
    }
    for (const { key, value } of changes) {
      const name = text(key);
      if (name === CENSUS_KEY && value !== null) this.#census = decodeCensus(value);
      if (!name.startsWith(MEMBER_PREFIX)) continue;
      if (value === null) this.#applied.delete(name.slice(MEMBER_PREFIX.length));
      else this.#applied.set(name.slice(MEMBER_PREFIX.length), decodeMemberRecord(value));
    }
    if (this.#census === null || this.#census.version <= this.version) return;
    const { version, nextId } = this.#census;
    this.adopt({ version, nextId, members: [...this.#applied.values()].sort((a, b) => a.id - b.id) });
  }

  /**
   * Whether a member speaks from the data directory that it is bound to; the first one heard binds it, durably. So a wiped
   * disk does not come back under its old name.
   */
  bind(id: number, incarnation: string): boolean {
    const member = this.#byId.get(id);
    if (member === undefined) return false;
    if (member.incarnation !== "") return member.incarnation === incarnation;
    this.#identity.saveHeard(id, incarnation);
    this.#changed();
    return true;
  }

  /**
   * Whether a list cannot have come of what is known here: an id is given once, to one name, bound to one data directory, and
   * never comes back. Clusters of the same name and first members have the same cluster id, and are told apart by this.
   */
  #contradicts({ nextId, members }: MemberList): boolean {
    const { nodeId, nodeName, incarnation } = this.#identity;
    const own = { id: nodeId, name: nodeName, incarnation };
    const known = new Map([...this.#list.members, own].map((record) => [record.id, record]));
    const isOther = ({ id, name, incarnation: bound }: MemberRecord): boolean => {
      const here = known.get(id);
      if (here === undefined) return id < this.#list.nextId;
      return here.name !== name || (here.incarnation !== "" && bound !== "" && here.incarnation !== bound);
    };
    return nextId < this.#list.nextId || members.some(isOther);
  }

  #changed(): void {
    this.#look();
    for (const run of this.#listeners) run();
  }

  #look(): void {
    const { heard } = this.#identity;
    this.#records = this.#list.members.map((record) => ({
      ...record,
      incarnation: record.incarnation === "" ? (heard.get(record.id) ?? "") : record.incarnation,
      peerAddress: this.#addresses.get(record.name) ?? record.peerAddress,
    }));
    this.#byId.clear();
    for (const record of this.#records) this.#byId.set(record.id, record);
  }
}
