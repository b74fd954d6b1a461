/**
 * Claims a data directory for a node of a cluster: mints the identity of a new one, and refuses one that belongs to
 * another node, another cluster or a cluster of another shape. Called once, before any shard is opened. A node that is to
 * join a cluster has an incarnation, on disk, before it asks, and the rest when it is answered; so it may ask again after
 * any crash and is always the same one.
 */
import { assert } from "../core/assert.ts";
import { EnvelopeError } from "../core/errors.ts";
import { utf8 } from "../core/bytes.ts";
import { type NodeId, nodeId } from "../core/ids.ts";
import type { Disk } from "../env/disk.ts";
import type { Membership } from "./join-format.ts";
import type { MemberList, MemberRecord } from "../record/member-format.ts";
import { decodeIdentity, encodeIdentity, type NodeIdentity } from "./identity-format.ts";

const FILE_NAME = "node.meta";

export interface ClaimOptions {
  readonly directory: string;
  readonly clusterName: string;
  readonly nodeName: string;
  /** Names of all first members, this node's own included. */
  readonly memberNames: readonly string[];
  readonly shardCount: number;
  /** A directory that was made with another number is refused; otherwise it keeps its own. */
  readonly areShardsSaid: boolean;
  /** The node is whoever the directory belongs to, if that one is alone; names are for a new directory. */
  readonly adopts: boolean;
  /** The node is not one of the first members: it joins a cluster that is there, or has joined it. */
  readonly joins: boolean;
  /** What the incarnation of a new directory is drawn from. */
  readonly randomHex: string;
}

export class Identity {
  readonly #disk: Disk;
  readonly #directory: string;
  #current: NodeIdentity;

  private constructor(disk: Disk, directory: string, current: NodeIdentity) {
    this.#disk = disk;
    this.#directory = directory;
    this.#current = current;
  }

  /** Throws FOREIGN_DIRECTORY, NEWER_FORMAT or CORRUPTION; the directory must exist and be locked by the caller. */
  static claim(disk: Disk, options: ClaimOptions): Identity {
    const path = `${options.directory}/${FILE_NAME}`;
    const names = [...options.memberNames].sort();
    const clusterId = hashHex(`${options.clusterName}\n${names.join("\n")}`);
    if (disk.exists(path)) {
      const found = decodeIdentity(disk.readWhole(path), path);
      refuseForeign(found, options, clusterId);
      return new Identity(disk, options.directory, found);
    }
    if (disk.list(options.directory).some((name) => name.startsWith("shard-"))) {
      throw new EnvelopeError("MISSING_FILE", `${path} is missing although the directory holds shards`);
    }
    const identity = new Identity(disk, options.directory, minted(options, names, clusterId));
    identity.#save(identity.#current);
    return identity;
  }

  get clusterId(): string {
    return this.#current.clusterId;
  }

  get nodeName(): string {
    return this.#current.nodeName;
  }

  get incarnation(): string {
    return this.#current.incarnation;
  }

  get shardCount(): number {
    return this.#current.shardCount;
  }

  /** Its number among the members; NO_NODE until it has joined. */
  get nodeId(): NodeId {
    return nodeId(this.#current.nodeId);
  }

  /** The members that the cluster was born with, where this node is one of them; else nobody. */
  get founders(): readonly NodeId[] {
    return this.#current.founders.map(nodeId);
  }

  /** The newest list of members that was saved. */
  get members(): MemberList {
    return this.#current.members;
  }

  /** The data directories that members were first heard from, by id. */
  get heard(): ReadonlyMap<number, string> {
    return new Map(this.#current.heard.map(({ id, incarnation }) => [id, incarnation]));
  }

  /** The cluster has taken this node in, under a number that is its own for ever. */
  becomeMember({ clusterId, nodeId: id, shardCount, members }: Membership): void {
    assert(this.#current.nodeId === 0, "a node joins once");
    this.#replace({ ...this.#current, clusterId, nodeId: id, shardCount, members });
  }

  saveMembers(members: MemberList): void {
    const isThere = (id: number): boolean => members.members.some((member) => member.id === id);
    this.#replace({ ...this.#current, members, heard: this.#current.heard.filter(({ id }) => isThere(id)) });
  }

  /** Binds a member to a data directory. */
  saveHeard(id: number, incarnation: string): void {
    this.#replace({ ...this.#current, heard: [...this.#current.heard, { id, incarnation }] });
  }

  /** On disk first: a binding that a restart would forget binds nothing. */
  #replace(identity: NodeIdentity): void {
    this.#save(identity);
    this.#current = identity;
  }

  #save(identity: NodeIdentity): void {
    const path = `${this.#directory}/${FILE_NAME}`;
    const draft = `${path}.new`;
    if (this.#disk.exists(draft)) this.#disk.remove(draft);
    const file = this.#disk.open(draft, "create");
    file.write(encodeIdentity(identity), 0);
    file.sync();
    file.close();
    this.#disk.rename(draft, path);
    this.#disk.syncDirectory(this.#directory);
  }
}

function minted(options: ClaimOptions, names: readonly string[], clusterId: string): NodeIdentity {
  const { nodeName, shardCount, randomHex, joins } = options;
  const incarnation = hashHex(`${randomHex}\n${nodeName}\n${joins ? "" : clusterId}`);
  if (joins) {
    const members = { version: 0, nextId: 1, members: [] };
    return { clusterId: "", nodeName, nodeId: 0, incarnation, shardCount: 0, founders: [], members, heard: [] };
  }
  const members = names.map((name, position): MemberRecord => {
    const rest = { incarnation: "", peerAddress: "", rack: "", state: "member" } as const;
    return { id: nodeId(position + 1), name, ...rest };
  });
  const own = names.indexOf(nodeName) + 1;
  return {
    clusterId,
    nodeName,
    nodeId: own,
    incarnation,
    shardCount,
    founders: members.map(({ id }) => id),
    members: { version: 0, nextId: members.length + 1, members },
    heard: [{ id: own, incarnation }],
  };
}

function refuseForeign(found: NodeIdentity, options: ClaimOptions, clusterId: string): void {
  const refuse = (why: string): never => {
    throw new EnvelopeError("FOREIGN_DIRECTORY", `${options.directory} ${why}`);
  };
  const { members } = found.members;
  const isBorn = found.founders.length > 0 && !options.joins;
  if (options.adopts) {
    if (members.length !== 1) refuse("belongs to a node of a cluster, which has to be started as one");
  } else {
    if (found.nodeName !== options.nodeName) refuse(`belongs to node ${found.nodeName}, not to ${options.nodeName}`);
    if (found.nodeId === 0 && !options.joins) refuse("has not joined its cluster yet: start the node with --join");
    // Whoever has joined was told the cluster and its number of shards; only first members are told by their settings.
    if (isBorn && found.clusterId !== clusterId) {
      refuse(`belongs to another cluster (its members: ${members.map((member) => member.name).join(", ")})`);
    }
  }
  if (isBorn && options.areShardsSaid && found.shardCount !== options.shardCount) {
    refuse(
      `was made with ${found.shardCount} shards; the number of shards is fixed at birth, not ${options.shardCount}`,
    );
  }
}

function hashHex(seed: string): string {
  return new Bun.CryptoHasher("sha256").update(utf8(seed)).digest("hex").slice(0, 32);
}
