/**
 * Takes in nodes that want to become members: any member may be asked. The catalog decides; the answer leaves when this
 * node knows the list that has the new member in it, so that the new one can be told it. Main thread only.
 */
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import type { ErrorCode } from "../core/errors.ts";
import { nodeId } from "../core/ids.ts";
import type { Identity } from "./identity.ts";
import { decodeJoin, encodeJoinAnswer, type JoinAnswer, type JoinRequest } from "./join-format.ts";
import type { MemberAdmin } from "./member-admin.ts";
import type { Members } from "./members.ts";

/** Nodes that may be about to join at once. */
const JOINS_MAX = 64;

const SHARED = ["valueBytesMax", "electionMs", "replicationFactor"] as const;

/** What has to be the same on every node. */
export type SharedSettings = Pick<JoinRequest, (typeof SHARED)[number]>;

/** Admitted; the list that says so has not come yet. */
interface Admitted {
  readonly id: number;
  readonly answer: (answer: JoinAnswer) => void;
  readonly deadlineMs: number;
}

export class JoinServer {
  readonly #identity: Identity;
  readonly #members: Members;
  readonly #admin: MemberAdmin;
  readonly #shared: SharedSettings;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #patienceMs: number;
  #admitted: Admitted[] = [];
  #count = 0;

  constructor(
    identity: Identity,
    members: Members,
    admin: MemberAdmin,
    shared: SharedSettings,
    patienceMs: number,
    clock: Clock,
    log: Logger,
  ) {
    this.#identity = identity;
    this.#members = members;
    this.#admin = admin;
    this.#shared = shared;
    this.#patienceMs = patienceMs;
    this.#clock = clock;
    this.#log = log;
    members.onChange(() => this.look());
  }

  /** A node asks to join; `say` gets the answer, once; `isNamed`: whether its certificate is that of this node. Throws PROTOCOL. */
  asked(body: Uint8Array, say: (body: Uint8Array) => void, isNamed: (node: string) => boolean): void {
    const request = decodeJoin(body);
    this.#count += 1;
    const answer = (what: JoinAnswer): void => {
      this.#count -= 1;
      const outcome = what.kind === "joined" ? { id: what.membership.nodeId } : { code: what.code, why: what.message };
      this.#log.info(what.kind === "joined" ? "a node has joined" : "a node may not join", {
        name: request.name,
        ...outcome,
      });
      say(encodeJoinAnswer(what));
    };
    const objection = isNamed(request.name)
      ? this.#objection(request)
      : `its certificate is not that of ${request.name}`;
    if (objection !== null) return answer(refusal("CONFIG", objection));
    if (this.#count > JOINS_MAX)
      return answer(refusal("OVERLOADED", "too many nodes join at once; it is safe to retry"));
    const { name, incarnation, peerAddress, rack } = request;
    this.#admin.admit(name, { incarnation, peerAddress, rack }, (result) => {
      if (result.kind === "error") return answer(refusal(result.code, result.message));
      const id = result.kind === "integer" ? Number(result.value) : 0;
      this.#admitted.push({ id, answer, deadlineMs: this.#clock.monotonicMs() + this.#patienceMs });
      this.look();
    });
  }

  /** Called now and then, and when the list changes: whoever waits for that is told. */
  look(): void {
    const waiting = this.#admitted;
    if (waiting.length === 0) return;
    this.#admitted = [];
    const nowMs = this.#clock.monotonicMs();
    for (const one of waiting) {
      if (this.#members.get(nodeId(one.id)) !== null) one.answer(this.#welcome(one.id));
      else if (nowMs < one.deadlineMs) this.#admitted.push(one);
      else one.answer(refusal("UNAVAILABLE", "the list of members has not come in time; it is safe to retry"));
    }
  }

  #welcome(id: number): JoinAnswer {
    const { clusterId, shardCount } = this.#identity;
    return { kind: "joined", membership: { clusterId, nodeId: id, shardCount, members: this.#members.catalogList } };
  }

  #objection(request: JoinRequest): string | null {
    const differing = SHARED.find((setting) => request[setting] !== this.#shared[setting]);
    if (differing === undefined) return null;
    return `${differing} is ${this.#shared[differing]} in this cluster, not ${request[differing]}`;
  }
}

function refusal(code: ErrorCode, message: string): JoinAnswer {
  return { kind: "refused", code, message };
}
