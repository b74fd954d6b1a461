/**
 * A node that is no member yet asks one that is to be let in. It asks again while nobody answers, or the answer is that the
 * same may be asked again, and gives up after a while; a refusal that stays one is final. Main thread only.
 */
import { ByteWriter } from "../core/byte-writer.ts";
import { text } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { Timer } from "../env/clock.ts";
import type { Environment } from "../env/environment.ts";
import type { Connection, ConnectionHandler } from "../env/network.ts";
import { beginFrame, endFrame, type Frame, FrameReader, FrameType, NO_SHARD } from "../wire/peer-frame-format.ts";
import { decodeJoinAnswer, encodeJoin, type JoinRequest, type Membership } from "./join-format.ts";

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 2_000;

export interface JoinerOptions {
  /** The peer port of a member. */
  readonly seed: string;
  /** How long one answer may take. */
  readonly answerMs: number;
  /** When it is given up. */
  readonly giveUpMs: number;
}

export class Joiner {
  readonly #environment: Environment;
  readonly #request: JoinRequest;
  readonly #options: JoinerOptions;
  readonly #done: (outcome: Membership | EnvelopeError) => void;
  readonly #deadlineMs: number;
  #retryMs = RETRY_MS_MIN;
  #isDone = false;
  #lastReason = "";

  /** Asks at once; `done` gets the outcome, once. */
  constructor(
    environment: Environment,
    request: JoinRequest,
    options: JoinerOptions,
    done: (outcome: Membership | EnvelopeError) => void,
  ) {
    this.#environment = environment;
    this.#request = request;
    this.#options = options;
    this.#done = done;
    this.#deadlineMs = environment.clock.monotonicMs() + options.giveUpMs;
    this.#ask();
  }

  #ask(): void {
    const { network } = this.#environment;
    network.dial(
      this.#options.seed,
      (connection) => this.#opened(connection),
      (reason) => this.#failed(reason),
    );
  }

  #opened(connection: Connection): ConnectionHandler {
    const writer = new ByteWriter();
    const start = beginFrame(writer, FrameType.join, NO_SHARD);
    writer.raw(encodeJoin(this.#request));
    endFrame(writer, start);
    connection.write(writer.bytes, 0, writer.length);
    const reader = new FrameReader();
    let isOver = false;
    let impatience: Timer | null = null;
    const end = (conclude: () => void): void => {
      if (isOver) return;
      isOver = true;
      impatience?.cancel();
      connection.terminate();
      conclude();
    };
    impatience = this.#environment.clock.after(this.#options.answerMs, () =>
      end(() => this.#failed("it does not answer")),
    );
    return {
      onData: (bytes) => {
        try {
          reader.push(bytes, (frame) => end(() => this.#answered(frame)));
        } catch (error) {
          if (!(error instanceof EnvelopeError)) throw error;
          end(() => this.#failed(error.message));
        }
      },
      onDrain: () => undefined,
      onClose: () => end(() => this.#failed("it closed the connection")),
    };
  }

  #answered(frame: Frame): void {
    if (frame.type === FrameType.refused) return this.#failed(text(frame.body));
    if (frame.type !== FrameType.joined) return this.#failed("it answers with something else");
    const answer = decodeJoinAnswer(frame.body);
    if (answer.kind === "joined") return this.#conclude(answer.membership);
    const error = new EnvelopeError(answer.code, answer.message);
    if (error.retry === "never") this.#conclude(error);
    else this.#failed(answer.message);
  }

  /** This time; the same may be asked again. */
  #failed(reason: string): void {
    const { clock, log } = this.#environment;
    const { seed } = this.#options;
    if (this.#isDone) return;
    if (clock.monotonicMs() + this.#retryMs >= this.#deadlineMs) {
      const advice = "start the node again when a member is there; nothing is lost";
      return this.#conclude(new EnvelopeError("UNAVAILABLE", `could not join through ${seed}: ${reason}; ${advice}`));
    }
    if (reason !== this.#lastReason) log.warn("could not join yet; trying again", { seed, why: reason });
    this.#lastReason = reason;
    clock.after(this.#retryMs, () => this.#ask());
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
  }

  #conclude(outcome: Membership | EnvelopeError): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#done(outcome);
  }
}
