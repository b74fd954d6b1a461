/**
 * Members come and go by commands of the catalog. Whoever leads shard 0 enters the members that the cluster was born with;
 * every node sees to its own record: that it names its data directory, where it is reached, and its rack. Main thread only.
 */
import { utf8, viewOf } from "../core/bytes.ts";
import type { Logger } from "../env/environment.ts";
import { CommandType } from "../record/command-format.ts";
import {
  type Admission,
  encodeAdmission,
  encodeMemberList,
  encodeRetirement,
  type MemberRecord,
} from "../record/member-format.ts";
import type { Result } from "../record/result.ts";
import type { SystemAccess } from "./bucket-admin.ts";
import type { Identity } from "./identity.ts";
import type { Members } from "./members.ts";

const CATALOG_SHARD = 0;

type Done = (result: Result) => void;

export class MemberAdmin {
  readonly #identity: Identity;
  readonly #members: Members;
  readonly #own: Admission;
  readonly #access: SystemAccess;
  readonly #log: Logger;
  #isBusy = false;
  #lastComplaint = "";

  /** `own`: how this node wants to be known. */
  constructor(identity: Identity, members: Members, own: Admission, access: SystemAccess, log: Logger) {
    this.#identity = identity;
    this.#members = members;
    this.#own = own;
    this.#access = access;
    this.#log = log;
  }

  /** Called now and then. `leadsCatalog`: this node leads shard 0. `departed`: those leaving who have given away what they had. */
  tend(leadsCatalog: boolean, departed: readonly MemberRecord[]): void {
    if (this.#isBusy) return;
    const [gone] = departed;
    if (this.#members.version === 0) {
      if (leadsCatalog) this.#found();
    } else if (leadsCatalog && gone !== undefined) this.#forget(gone);
    else this.#tendOwn();
  }

  /** Makes a node a member, or what it is already known by something else; integer: its id. */
  admit(name: string, admission: Admission, done: Done): void {
    this.#access.command(CATALOG_SHARD, CommandType.admitMember, utf8(name), encodeAdmission(admission), done);
  }

  /** Lets a member give away what it has and be forgotten. */
  retire({ id, name }: MemberRecord, forced: boolean, done: Done): void {
    const retirement = encodeRetirement({ id, forced });
    this.#access.command(CATALOG_SHARD, CommandType.retireMember, utf8(name), retirement, done);
  }

  /** A member that is leaving has left. */
  #forget({ name, id }: MemberRecord): void {
    const value = new Uint8Array(4);
    viewOf(value).setUint32(0, id, true);
    this.#isBusy = true;
    this.#access.command(CATALOG_SHARD, CommandType.forgetMember, utf8(name), value, (result) => {
      if (result.kind !== "error") this.#log.info("a member has left the cluster", { name, id });
      this.#settled(result);
    });
  }

  #found(): void {
    const { nextId } = this.#members.catalogList;
    const list = encodeMemberList({ version: 0, nextId, members: this.#members.list() });
    this.#isBusy = true;
    this.#access.command(CATALOG_SHARD, CommandType.foundCluster, utf8("members"), list, (result) =>
      this.#settled(result),
    );
  }

  #tendOwn(): void {
    const { nodeId, nodeName } = this.#identity;
    const { incarnation, peerAddress, rack } = this.#own;
    const record = this.#members.catalogList.members.find(({ id }) => id === nodeId);
    if (record === undefined) return;
    if (record.incarnation === incarnation && record.peerAddress === peerAddress && record.rack === rack) return;
    this.#isBusy = true;
    this.admit(nodeName, this.#own, (result) => this.#settled(result));
  }

  #settled(result: Result): void {
    this.#isBusy = false;
    if (result.kind !== "error" || result.message === this.#lastComplaint) return;
    this.#lastComplaint = result.message;
    this.#log.warn("the catalog does not take what this node knows of members", { why: result.message });
  }
}
