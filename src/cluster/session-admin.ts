/**
 * Opening and ending client sessions (record/session-format.ts). A session is opened in every shard before its first
 * command, because any of them may have the key of one. Main thread only.
 */
import { SESSION_BUCKET } from "../core/ids.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import type { Random } from "../core/random.ts";
import { ownedSession } from "../core/session-owner.ts";
import { type ByteRange, CommandType, withSession } from "../record/command-format.ts";
import { OK, type Result } from "../record/result.ts";
import { encodeSessionTtl } from "../record/session-format.ts";
import { detachedCommand } from "./operation.ts";

/** Bits of a session's number beside those of a u32: together as many as a number holds. */
const HIGH_BITS = 21;
const NOTHING: ByteRange = { bytes: EMPTY_BYTES, start: 0, end: 0 };

/** Has a command carried out by a shard, wherever its leader is. */
type SubmitCommand = (shard: number, command: Uint8Array, done: (result: Result) => void) => void;

export class SessionAdmin {
  readonly #shardCount: number;
  readonly #random: Random;
  readonly #submit: SubmitCommand;

  constructor(shardCount: number, random: Random, submit: SubmitCommand) {
    this.#shardCount = shardCount;
    this.#random = random;
    this.#submit = submit;
  }

  /** The number of a new session that lives for `ttlMs` from each use, as its owner knows it, or why there is none. */
  open(owner: string, ttlMs: number, done: (result: Result) => void): void {
    const session = this.#random.below(2 ** HIGH_BITS) * 2 ** 32 + this.#random.u32();
    this.#everywhere(CommandType.openSession, ownedSession(owner, session), encodeSessionTtl(ttlMs), (result) =>
      done(result.kind === "error" ? result : { kind: "integer", value: BigInt(session) }),
    );
  }

  close(session: number, done: (result: Result) => void): void {
    this.#everywhere(CommandType.closeSession, session, EMPTY_BYTES, done);
  }

  #everywhere(type: CommandType, session: number, value: Uint8Array, done: (result: Result) => void): void {
    const range = { bytes: value, start: 0, end: value.length };
    const command = withSession(detachedCommand(type, 0, SESSION_BUCKET, NOTHING, range, 0), session, 0);
    let waiting = this.#shardCount;
    let failure: Result | null = null;
    for (let shard = 0; shard < this.#shardCount; shard++) {
      this.#submit(shard, command, (result) => {
        if (result.kind === "error") failure = result;
        waiting -= 1;
        if (waiting === 0) done(failure ?? OK);
      });
    }
  }
}
