/**
 * Claims a data directory for a node of a cluster: mints the identity of a new one, and refuses one that belongs to
 * another node, another cluster or a cluster of another shape. Called once, before any shard is opened.
 */
import { EnvelopeError } from "../core/errors.ts";
import { utf8 } from "../core/bytes.ts";
import { type NodeId, nodeId } from "../core/ids.ts";
import type { Disk } from "../env/disk.ts";
import { decodeIdentity, encodeIdentity, type Member, type NodeIdentity } from "./identity-format.ts";

const FILE_NAME = "node.meta";

export interface ClaimOptions {
  readonly directory: string;
  readonly clusterName: string;
  readonly nodeName: string;
  /** Names of all first members, this node's own included. */
  readonly memberNames: readonly string[];
  readonly shardCount: number;
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
    const incarnation = hashHex(`${options.randomHex}\n${options.nodeName}\n${clusterId}`);
    const members: Member[] = names.map((name, position) => ({
      id: position + 1,
      name,
      incarnation: name === options.nodeName ? incarnation : "",
    }));
    const { nodeName, shardCount } = options;
    const identity = new Identity(disk, options.directory, { clusterId, nodeName, incarnation, shardCount, members });
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

  get members(): readonly Member[] {
    return this.#current.members;
  }

  get nodeId(): NodeId {
    const own = this.#current.members.find((member) => member.name === this.#current.nodeName);
    if (own === undefined) throw new EnvelopeError("FOREIGN_DIRECTORY", "this node is not a member of its own cluster");
    return nodeId(own.id);
  }

  /**
   * Binds a member to the incarnation of its data directory the first time it is heard, durably. False when it is
   * bound to another one: a wiped disk does not come back under its old name.
   */
  bindIncarnation(memberId: number, incarnation: string): boolean {
    const member = this.#current.members.find((candidate) => candidate.id === memberId);
    if (member === undefined) return false;
    if (member.incarnation !== "") return member.incarnation === incarnation;
    const members = this.#current.members.map((candidate) =>
      candidate.id === memberId ? { ...candidate, incarnation } : candidate,
    );
    // On disk first: a binding that a restart would forget binds nothing.
    const bound = { ...this.#current, members };
    this.#save(bound);
    this.#current = bound;
    return true;
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

function refuseForeign(found: NodeIdentity, options: ClaimOptions, clusterId: string): void {
  const refuse = (why: string): never => {
    throw new EnvelopeError("FOREIGN_DIRECTORY", `${options.directory} ${why}`);
  };
  if (found.nodeName !== options.nodeName) refuse(`belongs to node ${found.nodeName}, not to ${options.nodeName}`);
  if (found.clusterId !== clusterId) {
    const members = found.members.map((member) => member.name).join(", ");
    refuse(`belongs to another cluster (its members: ${members})`);
  }
  if (found.shardCount !== options.shardCount) {
    refuse(
      `was made with ${found.shardCount} shards; the number of shards is fixed at birth, not ${options.shardCount}`,
    );
  }
}

function hashHex(seed: string): string {
  return new Bun.CryptoHasher("sha256").update(utf8(seed)).digest("hex").slice(0, 32);
}
