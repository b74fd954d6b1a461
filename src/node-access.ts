/**
 * Who comes in to a node, put together: the audit log, the check of passwords, the first user, and the rule that a node which
 * can be reached from other machines is never open by oversight. A part of the composition root. Main thread.
 */
import { join } from "node:path";
import type { ClusterNode } from "./cluster/cluster-node.ts";
import { type NodeSettings, splitAddress } from "./config.ts";
import { text } from "./core/bytes.ts";
import { EnvelopeError } from "./core/errors.ts";
import type { Timer } from "./env/clock.ts";
import type { Environment } from "./env/environment.ts";
import { openAppendFile } from "./env/real-append-file.ts";
import { realPasswords } from "./env/real-passwords.ts";
import type { UserRecord } from "./record/access-format.ts";
import { Access } from "./server/access/access.ts";
import { AuditLog } from "./server/access/audit-log.ts";
import { passwordOf } from "./server/access/user-options.ts";

const AUDIT_FILE = "audit.log";
/** How soon a node without a replica of the catalog hears of a change, and how often another asks until it is answered. */
const LOOK_MS = 1_000;
/** The first user may be about to be entered by another node. */
const LOOKS_UNTIL_REFUSAL = 10;
const FIRST_ROLES = ["admin", "cluster"];

const ADVICE =
  "give it initialUser and initialPasswordFile, or bind client, peer and http to 127.0.0.1; insecureOpen = true serves everybody";

export class NodeAccess {
  readonly access: Access;
  readonly #node: ClusterNode;
  readonly #settings: NodeSettings;
  readonly #environment: Environment;
  readonly #audit: AuditLog;
  readonly #mayBeOpen: boolean;
  readonly #fail: (reason: string) => void;
  readonly #firstUser: UserRecord | null;
  #timer: Timer | null = null;
  #emptyLooks = 0;
  #isStopped = false;

  private constructor(
    node: ClusterNode,
    settings: NodeSettings,
    environment: Environment,
    audit: AuditLog,
    firstUser: UserRecord | null,
    isForOthers: boolean,
    fail: (reason: string) => void,
  ) {
    this.#node = node;
    this.#settings = settings;
    this.#environment = environment;
    this.#audit = audit;
    this.#firstUser = firstUser;
    this.#fail = fail;
    this.#mayBeOpen = settings.insecureOpen || !isForOthers;
    const { clock, log } = environment;
    const options = { mayBeOpen: this.#mayBeOpen, checksMax: settings.loginChecks };
    this.access = new Access(node.access, realPasswords, audit, clock, log, options);
  }

  /** `addresses`: where the node listens. `fail`: it must end. Throws CONFIG and IO. */
  static async open(
    node: ClusterNode,
    settings: NodeSettings,
    addresses: readonly string[],
    environment: Environment,
    fail: (reason: string) => void,
  ): Promise<NodeAccess> {
    const firstUser = await firstUserOf(settings, environment);
    const { file, lastLine } = await openAppendFile(join(settings.data, AUDIT_FILE));
    const audit = new AuditLog(file, lastLine, environment.clock, environment.log, {
      fileBytesMax: settings.auditFileBytes,
      filesKept: settings.auditFilesKept,
    });
    const isForOthers = !addresses.every((address) => isLoopback(splitAddress(address).host));
    if (settings.insecureOpen && isForOthers) {
      environment.log.warn("INSECURE: until there is a user, everybody who reaches the ports may do everything", {
        because: "insecureOpen is set",
      });
    }
    return new NodeAccess(node, settings, environment, audit, firstUser, isForOthers, fail);
  }

  /** Looks at the catalog from now on. */
  start(): void {
    this.#look();
  }

  /** Whether it is known if there are users, and the first has been entered if there was none. */
  get isKnown(): boolean {
    return this.#node.access.isConfirmed && (this.#node.access.catalog.version > 0 || this.#firstUser === null);
  }

  /** What keeps a node that is alone from serving; null: nothing. */
  get refusal(): EnvelopeError | null {
    if (this.#mayBeOpen || this.#node.access.catalog.version > 0) return null;
    return new EnvelopeError("CONFIG", `there are no users, and the ports are open to other machines: ${ADVICE}`);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#audit.close();
  }

  readonly #look = (): void => {
    if (this.#isStopped) return;
    if (this.#isUpToDate()) this.#lookLater();
    else {
      this.#node.access.refresh((result) => {
        const isUnanswered = result.kind === "error" && this.#emptyLooks === 0;
        if (isUnanswered || this.#node.access.catalog.version > 0) this.#lookLater();
        else this.#lookedInVain();
      });
    }
  };

  /** Whatever changes comes by itself to whoever has a replica of shard 0. */
  #isUpToDate(): boolean {
    const { access, coordinator } = this.#node;
    if (!access.isConfirmed || (access.catalog.version === 0 && (this.#firstUser !== null || !this.#mayBeOpen)))
      return false;
    const catalogShard = coordinator.shards()[0];
    return catalogShard?.voters.includes(coordinator.nodeName) === true;
  }

  #lookLater(): void {
    this.#timer = this.#environment.clock.after(LOOK_MS, this.#look);
  }

  /** Shard 0 has answered that there is nobody; or had, and does not answer any more, since others have ended for that. */
  #lookedInVain(): void {
    this.#emptyLooks += 1;
    if (this.#firstUser !== null) return this.#enterFirstUser(this.#firstUser);
    if (!this.#mayBeOpen && this.#emptyLooks >= LOOKS_UNTIL_REFUSAL && this.refusal !== null) {
      this.#fail(this.refusal.message);
    }
    this.#lookLater();
  }

  #enterFirstUser(user: UserRecord): void {
    const name = this.#settings.initialUser;
    const event = { event: "act", user: "", address: "", command: `user|add ${name}`, bucket: "" } as const;
    this.#audit.record({ ...event, outcome: "initialUser" }, (isRecorded) => {
      if (!isRecorded || this.#isStopped) return this.#lookLater();
      this.#node.access.found(name, user, (result) => {
        if (result.kind !== "error") this.#environment.log.info("the first user has been entered", { user: name });
        this.#lookLater();
      });
    });
  }
}

/** The user that the settings name, with the hash of their password; null: they name none. Throws CONFIG. */
async function firstUserOf(settings: NodeSettings, { disk }: Environment): Promise<UserRecord | null> {
  const { initialUser, initialPasswordFile } = settings;
  if (initialUser === "" && initialPasswordFile === undefined) return null;
  if (initialUser === "" || initialPasswordFile === undefined) {
    throw new EnvelopeError("CONFIG", "initialUser and initialPasswordFile go together");
  }
  const [password = ""] = readText(disk, initialPasswordFile).split(/\r?\n/);
  const bytes = passwordOf(password);
  if (typeof bytes === "string") {
    throw new EnvelopeError("CONFIG", `the first line of ${initialPasswordFile} is no password of 8 to 1024 bytes`);
  }
  const hash = await realPasswords.hash(bytes);
  return { id: 0, hash, enabled: true, roles: FIRST_ROLES, grants: [], revision: 0 };
}

function readText(disk: Environment["disk"], path: string): string {
  try {
    return text(disk.readWhole(path));
  } catch (cause) {
    if (!(cause instanceof EnvelopeError)) throw cause;
    throw new EnvelopeError("CONFIG", `initialPasswordFile cannot be read: ${cause.message}`);
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
