/**
 * What a node does about members: it tells the others when the list changes, sees to its own record, takes in nodes that want
 * to join, and notices when it is no member itself any more. Main thread only.
 */
import type { NodeId } from "../core/ids.ts";
import type { Environment } from "../env/environment.ts";
import { decodeMemberList, encodeMemberList } from "../record/member-format.ts";
import { FrameType, NO_SHARD } from "../wire/peer-frame-format.ts";
import type { SystemAccess } from "./bucket-admin.ts";
import type { ClusterSettings } from "./cluster-settings.ts";
import type { Identity } from "./identity.ts";
import { JoinServer } from "./join-server.ts";
import { MemberAdmin } from "./member-admin.ts";
import type { Members } from "./members.ts";
import type { PeerTransport } from "./peer-transport.ts";

export class Membership {
  readonly #self: NodeId;
  readonly #members: Members;
  readonly #transport: PeerTransport;
  readonly #wake: () => void;
  readonly admin: MemberAdmin;
  readonly joins: JoinServer;
  /** The list that the others were last told. */
  #toldVersion = 0;
  #forgotten: (() => void) | null = null;

  constructor(
    { clock, log }: Environment,
    settings: ClusterSettings,
    identity: Identity,
    members: Members,
    transport: PeerTransport,
    system: SystemAccess,
    wake: () => void,
  ) {
    this.#self = identity.nodeId;
    this.#members = members;
    this.#transport = transport;
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
