/**
 * What a node does about members: it tells the others when the list changes, sees to its own record, takes in nodes that want
 * to join, and notices when it is no member itself any more. Main thread only.
 */
import type { NodeId } from "../core/ids.ts";
import type { Environment } from "../env/environment.ts";
import { decodeMemberList, encodeMemberList, type MemberRecord } from "../record/member-format.ts";
import { errorResult, OK, type Result } from "../record/result.ts";
import { FrameType, NO_SHARD } from "../wire/peer-frame-format.ts";
import type { SystemAccess } from "./bucket-admin.ts";
import type { ClusterSettings } from "./cluster-settings.ts";
import type { Identity } from "./identity.ts";
import { JoinServer } from "./join-server.ts";
import { MemberAdmin } from "./member-admin.ts";
import type { Members } from "./members.ts";
import type { NodeHealth } from "./node-health.ts";
import type { PeerTransport } from "./peer-transport.ts";
import { removalObjection } from "./removal.ts";
import type { Transfers } from "./transfers.ts";

type Done = (result: Result) => void;

const STAYS_ALONE = errorResult(
  "INVALID_ARGUMENT",
  "a database inside a process is alone; to let others join, start a server on its directory",
);

interface MembershipParts {
  readonly system: SystemAccess;
  readonly health: NodeHealth;
  readonly transfers: Transfers;
}

export class Membership {
  readonly #self: NodeId;
  readonly #members: Members;
  readonly #transport: PeerTransport;
  readonly #health: NodeHealth;
  readonly #transfers: Transfers;
  readonly #wake: () => void;
  readonly admin: MemberAdmin;
  readonly joins: JoinServer;
  /** No peer is listened to, so nobody can come. */
  staysAlone = false;
  /** The list that the others were last told. */
  #toldVersion = 0;
  #forgotten: (() => void) | null = null;

  constructor(
    { clock, log }: Environment,
    settings: ClusterSettings,
    identity: Identity,
    members: Members,
    transport: PeerTransport,
    { system, health, transfers }: MembershipParts,
    wake: () => void,
  ) {
    this.#self = identity.nodeId;
    this.#members = members;
    this.#transport = transport;
    this.#health = health;
    this.#transfers = transfers;
    this.#wake = wake;
    const { peers, rack, requestTimeoutMs } = settings;
    const peerAddress = peers.find(({ name }) => name === identity.nodeName)?.address ?? settings.peerAddress;
    const own = { incarnation: identity.incarnation, peerAddress, rack };
    this.admin = new MemberAdmin(identity, members, own, system, log);
    this.joins = new JoinServer(identity, members, this.admin, settings, requestTimeoutMs, clock, log);
    members.onChange(() => this.#changed());
  }

  /** Runs when this node has heard that it is no member any more. */
  onForgotten(run: () => void): void {
    this.#forgotten = run;
    if (this.#members.get(this.#self) === null) run();
  }

  /** A list has come from another node. Throws PROTOCOL. */
  heard(body: Uint8Array): void {
    this.#members.adopt(decodeMemberList(body));
  }

  /** Whoever says that it knows an older list is told the newer one: the frame that brought it may have been lost. */
  heardVersion(from: NodeId, version: number): void {
    if (version < this.#members.version) this.#tell(from);
  }

  /** As `Coordinator.addMember`. */
  add(name: string, peerAddress: string, done: Done): void {
    if (this.staysAlone) return done(STAYS_ALONE);
    const admission = { incarnation: "", peerAddress, rack: "" };
    this.admin.admit(name, admission, (result) => done(result.kind === "integer" ? OK : result));
  }

  /** As `Coordinator.removeMember`. */
  remove(name: string, forced: boolean, done: Done): void {
    const member = this.#named(name);
    if (member === null) return done(noMember(name));
    const objection = removalObjection(member.id, this.#health.shardViews(), (id) => this.#health.isConnected(id));
    if (objection === null || forced) return this.admin.retire(member, forced, done);
    const advice = "wait for the others, or remove it by force";
    done(errorResult("NO_QUORUM", `${name} stays: ${objection}; ${advice}`));
  }

  /** As `Coordinator.transferShard`. */
  transfer(shard: number, name: string, done: Done): void {
    const member = this.#named(name);
    if (member === null) return done(noMember(name));
    const { voters } = this.#health.configurationOf(shard);
    if (voters.length > 0 && !voters.includes(member.id)) {
      return done(errorResult("INVALID_ARGUMENT", `${name} has no vote in shard ${shard}`));
    }
    this.#transfers.ask(shard, member.id, done);
  }

  #named(name: string): MemberRecord | null {
    return this.#members.list().find((member) => member.name === name) ?? null;
  }

  /** Whoever is connected is told at once, and tells those to whom that is news. */
  #changed(): void {
    const { version, catalogList } = this.#members;
    if (version === this.#toldVersion) return;
    this.#toldVersion = version;
    for (const { id } of catalogList.members) this.#tell(id);
    this.#wake();
    if (this.#members.get(this.#self) === null) this.#forgotten?.();
  }

  #tell(to: NodeId): void {
    const list = encodeMemberList(this.#members.catalogList);
    this.#transport.frame(to, FrameType.members, NO_SHARD, (writer) => writer.raw(list));
  }
}

function noMember(name: string): Result {
  return errorResult("NO_MEMBER", `there is no member ${name}`);
}
