/**
 * A second shard beside the simulated engine, in the same process and on the same disk: a member that is far behind. It is
 * fed decided entries, or takes over a snapshot of the engine, in pieces, over as many lives as it takes. Whatever happens,
 * it must hold at every start exactly what was decided up to some index, not before what it has acknowledged or installed;
 * with the hard state that was saved, and the configurations.
 *
 * It is given nothing that the engine could lose again, so what it holds can always be compared with the engine's model.
 */
import { MemtableSet } from "../bridge/memtable-set.ts";
import type { ReadRequest, ShardBoot, ShardReply, ShardRequest } from "../bridge/shard-protocol.ts";
import { SharedState } from "../bridge/shared-state.ts";
import { concatBytes } from "../core/bytes.ts";
import { logIndex, nodeId, term } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import type { Result } from "../record/result.ts";
import type { Shard } from "../shard/shard.ts";
import { decodeSnapshotDescription } from "../storage/snapshot-format.ts";
import { allKeys, bytesOfText, type EngineEntry, textOf } from "./engine-command.ts";
import type { EngineHost } from "./engine-host.ts";
import { placeBehind, placeIn } from "./engine-model.ts";
import { judgeRead } from "./engine-reads.ts";
import type { EngineWitness } from "./engine-witness.ts";
import { configurationFault } from "./engine-words.ts";
import type { Trace } from "./trace.ts";

const DIRECTORY = "/shard-0001-of-another";
const ROUNDS_MAX = 20_000;
/** On a disk without room, what waits may wait as long as it likes. */
const ROUNDS_WITHOUT_ROOM_MAX = 300;
const ALL_KEYS = allKeys().map(bytesOfText);

/** A snapshot of the engine, all of it: it outlives the engine's lives, as that of another node would. */
interface Offer {
  readonly index: number;
  readonly description: Uint8Array;
  readonly files: readonly Uint8Array[];
}

type Answer = ShardReply & { readonly requestId: number };
/** What is to be asked of one of the two. */
type Asked = Extract<ShardRequest, { requestId: number }>;
type GetRequest = Extract<ReadRequest, { type: "get" }>;

export class EngineReplica {
  readonly #random: Random;
  readonly #host: EngineHost;
  readonly #witness: EngineWitness;
  readonly #trace: Trace;
  #shard: Shard | null = null;
  #main: MemtableSet | null = null;
  #isFailed = false;
  /** Counts them: who belongs to an earlier one is heard no more. */
  #life = 0;
  #boot: ShardBoot | null = null;
  #hardState = { term: 0, vote: 0 };
  #savingHardState = { term: 0, vote: 0 };
  /** Durable for sure. */
  #provenIndex = 0;
  /** The last entry that it may have. */
  #possibleIndex = 0;
  #lastIndex = 0;
  #appliedIndex = 0;
  #offer: Offer | null = null;
  readonly #answers = new Map<number, Answer>();
  /** With the moment of the answer. */
  readonly #reads = new Map<number, { readonly result: Result; readonly nowMs: number }>();
  /** The request that the engine has to answer. */
  #awaited = 0;
  #requestId = 0;

  constructor(random: Random, host: EngineHost, witness: EngineWitness, trace: Trace) {
    this.#random = random;
    this.#host = host;
    this.#witness = witness;
    this.#trace = trace;
  }

  /** The process is gone. */
  ended(): void {
    this.#abandon();
  }

  /** What the engine says, and not the replica. */
  heardEngine(reply: ShardReply): void {
    if ("requestId" in reply && reply.requestId === this.#awaited) this.#answers.set(reply.requestId, reply);
  }

  /** Something happens to it: it is fed, or gets a snapshot or a part of one, or is judged. */
  step(): void {
    if (!this.#open()) return;
    if (this.#random.chance(0.3)) this.#saveHardState();
    if (this.#random.chance(0.4)) this.#feed();
    if (this.#isUp && this.#random.chance(0.8)) this.#copy();
    if (this.#isUp && this.#random.chance(0.5)) this.#feed();
    if (this.#isUp) this.#judgeContent();
    if (this.#isUp && this.#random.chance(0.3)) this.#stop();
  }

  get #isUp(): boolean {
    return this.#shard !== null && !this.#isFailed && this.#host.isUp && this.#witness.violations.length === 0;
  }

  // ---- its lives -------------------------------------------------------------------------------------------------

  #open(): boolean {
    if (this.#isUp) return true;
    if (!this.#host.isUp || this.#witness.violations.length > 0) return false;
    this.#isFailed = false;
    this.#boot = null;
    this.#life += 1;
    const life = this.#life;
    const { shard, memory } = this.#host.openBeside(DIRECTORY, (reply) => {
      if (life === this.#life) this.#heard(reply);
    });
    this.#shard = shard;
    this.#main = new MemtableSet(new SharedState(memory.state), memory.arenas);
    const boot = this.#boot as ShardBoot | null;
    if (!this.#isUp || boot === null) return false;
    this.#trace.note(
      `the replica has opened with ${boot.firstIndex} to ${boot.lastIndex}, applied ${boot.appliedIndex}`,
    );
    this.#judgeBoot(boot);
    return this.#isUp;
  }

  #stop(): void {
    this.#shard?.handle({ type: "stop" });
    this.#work(() => this.#shard?.stopped === true);
    if (this.#isUp) this.#abandon();
  }

  #heard(reply: ShardReply): void {
    switch (reply.type) {
      case "opened":
      case "installed":
        this.#boot = reply.boot;
        this.#lastIndex = reply.boot.lastIndex;
        this.#appliedIndex = reply.boot.appliedIndex;
        if (reply.type === "installed") this.#answers.set(reply.requestId, reply);
        return;
      case "applied":
        this.#appliedIndex = reply.appliedIndex;
        return;
      case "persisted":
        this.#provenIndex = reply.lastIndex;
        return;
      case "hardStateSaved":
        this.#hardState = { term: reply.term, vote: reply.vote };
        return;
      case "arenaRetired":
        this.#main?.retire(reply.arena);
        this.#shard?.handle({ type: "returnArena", arena: reply.arena });
        return;
      case "arenasRecalled":
        for (const arena of this.#main?.recall() ?? []) this.#shard?.handle({ type: "returnArena", arena });
        return;
      case "failed":
        this.#isFailed = true;
        this.#trace.note(`the replica has failed: ${reply.code} ${reply.message}`);
        if (!this.#host.excuses(reply.code, reply.message)) this.#complain(`failed: ${reply.code} ${reply.message}`);
        return;
      case "readResult":
        this.#reads.set(reply.requestId, { result: reply.result, nowMs: this.#host.wallMs });
        return;
      default:
        if ("requestId" in reply) this.#answers.set(reply.requestId, reply);
    }
  }

  /** Lets it work until something holds, or it is down. */
  #work(until: () => boolean): void {
    for (let round = 0; this.#isUp && !until(); round++) {
      this.#host.guard(() => this.#shard?.turn());
      for (let i = this.#random.below(6); i > 0; i--) this.#host.guard(() => this.#shard?.backgroundStep());
      this.#host.pass(this.#random.below(4));
      if (this.#hasWaitedLong(round)) return this.#abandon();
    }
  }

  /** Too long, if there is room; and long enough, if there is none. */
  #hasWaitedLong(round: number): boolean {
    if (round >= ROUNDS_MAX) this.#complain("comes to no end");
    return round >= (this.#host.disk.isSqueezed ? ROUNDS_WITHOUT_ROOM_MAX : ROUNDS_MAX);
  }

  /** This shard alone is killed. */
  #abandon(): void {
    this.#shard = null;
    this.#life += 1;
  }

  // ---- what it is given ------------------------------------------------------------------------------------------

  #saveHardState(): void {
    const next = { term: this.#hardState.term + 1, vote: this.#random.below(3) };
    this.#savingHardState = next;
    this.#shard?.handle({ type: "saveHardState", term: term(next.term), vote: nodeId(next.vote) });
    this.#work(() => this.#hardState.term === next.term);
  }

  /** Some of the entries that are decided, durable and applied in the engine. */
  #feed(): void {
    const { log, decidedIndex, appliedIndex } = this.#witness;
    const last = Math.min(decidedIndex, log.acknowledgedIndex, appliedIndex);
    if (last <= this.#lastIndex) return;
    const through = logIndex(this.#random.between(this.#lastIndex + 1, last));
    const entries = log.sent.slice(this.#lastIndex, through).map(({ bytes }) => bytes);
    this.#trace.note(`the replica is fed ${this.#lastIndex + 1} to ${through}`);
    this.#possibleIndex = Math.max(this.#possibleIndex, through);
    this.#shard?.handle({ type: "append", entries, commitIndex: through, applyThrough: through, wantResults: false });
    this.#work(() => this.#provenIndex === through && this.#appliedIndex === through);
    if (this.#isUp) this.#lastIndex = through;
  }

  /** A snapshot of the engine, or some pieces of it. */
  #copy(): void {
    this.#offer ??= this.#made();
    const offer = this.#offer;
    if (offer === null || !this.#isUp) return;
    const begun = this.#ask({ type: "installBegin", requestId: 0, description: offer.description });
    if (begun?.type !== "installBegun") return this.#refused(begun, offer);
    this.#possibleIndex = Math.max(this.#possibleIndex, offer.index);
    for (const [file, { byteCount, heldBytes }] of begun.files.entries()) {
      for (let offset = heldBytes; offset < byteCount; ) {
        if (this.#random.chance(0.02)) return;
        const bytes = offer.files[file]?.subarray(offset, offset + this.#random.between(1, 4000)) ?? new Uint8Array(0);
        const taken = this.#ask({ type: "installPiece", requestId: 0, file, offset, bytes });
        if (taken?.type !== "done" || taken.result.kind !== "ok") return this.#refused(taken, offer);
        offset += bytes.length;
      }
    }
    this.#install(offer);
  }

  #install(offer: Offer): void {
    const installed = this.#ask({ type: "installEnd", requestId: 0 });
    if (installed?.type !== "installed") return this.#refused(installed, offer);
    this.#trace.note(`the replica has installed ${offer.index}`);
    this.#provenIndex = offer.index;
    if (installed.boot.lastIndex !== offer.index || installed.boot.appliedIndex !== offer.index) {
      return this.#complain(`installed ${offer.index} and is at ${installed.boot.appliedIndex}`);
    }
    this.#judgeBoot(installed.boot);
    this.#offer = null;
  }

  /** A refusal is right when the replica has all of it, and excused when the disk was told to fail. */
  #refused(answer: Answer | null, offer: Offer): void {
    if (answer === null || !this.#isUp) return;
    if (answer.type !== "done" || answer.result.kind !== "error") return this.#complain(`answered ${answer.type}`);
    const { code, message } = answer.result;
    this.#trace.note(`the replica refuses: ${code} ${message}`);
    const isKnown = code === "INVALID_ARGUMENT" && offer.index <= this.#lastIndex;
    if (!isKnown && !this.#host.excuses(code, message)) this.#complain(`refused: ${code} ${message}`);
    if (isKnown) this.#offer = null;
  }

  // ---- the engine's part -----------------------------------------------------------------------------------------

  #made(): Offer | null {
    const answer = this.#askEngine({ type: "snapshot", requestId: 0 });
    if (answer?.type !== "snapshotMade") return this.#engineRefused(answer);
    const { id, index, description } = answer;
    const state = this.#witness.log.sent.slice(0, index);
    const expected = state.findLast(({ configuration }) => configuration !== null)?.configuration ?? "";
    const found = textOf(answer.configuration);
    if (expected !== found || answer.term !== (state.at(-1)?.term ?? 0)) {
      this.#complain(`got a snapshot of ${index}@${answer.term} with [${found}] instead of [${expected}]`);
    }
    this.#trace.note(`a snapshot of ${index} was made`);
    const files: Uint8Array[] = [];
    for (let file = 0; file < decodeSnapshotDescription(description, null, "the engine").files.length; file++) {
      const bytes = this.#fileOf(id, file);
      if (bytes === null) return null;
      files.push(bytes);
    }
    this.#host.send({ type: "snapshotDrop", id });
    return { index, description, files };
  }

  #fileOf(id: number, file: number): Uint8Array | null {
    const pieces: Uint8Array[] = [];
    for (let offset = 0; ; ) {
      const byteCount = this.#random.between(500, 20_000);
      const answer = this.#askEngine({ type: "snapshotRead", requestId: 0, id, file, offset, byteCount });
      if (answer?.type !== "snapshotPiece") return this.#engineRefused(answer);
      pieces.push(answer.bytes.slice());
      offset += answer.bytes.length;
      if (answer.bytes.length < byteCount) return concatBytes(pieces);
    }
  }

  #engineRefused(answer: Answer | null): null {
    if (answer === null || !this.#host.isUp) return null;
    const result: Result | null = answer.type === "done" ? answer.result : null;
    if (result?.kind !== "error") {
      this.#complain(`got ${answer.type} from the engine`);
      return null;
    }
    const { code, message } = result;
    const isDamaged = code === "CORRUPTION" && this.#host.mayReadsFail;
    if (code !== "UNAVAILABLE" && !isDamaged && !this.#host.excuses(code, message)) {
      this.#complain(`got no snapshot: ${code} ${message}`);
    }
    return null;
  }

  #askEngine(request: Asked): Answer | null {
    const requestId = this.#witness.sentMaintenance();
    this.#awaited = requestId;
    this.#host.send({ ...request, requestId });
    for (let round = 0; this.#host.isUp && !this.#answers.has(requestId); round++) {
      this.#host.run((shard) => shard.turn());
      this.#host.run((shard) => shard.backgroundStep());
      if (round % 4 === 0) this.#host.pass(this.#random.below(4));
      this.#host.returnArenas(this.#witness.retiredArenas);
      if (this.#hasWaitedLong(round)) return null;
    }
    return this.#answers.get(requestId) ?? null;
  }

  /** Numbers far from the engine's own: the answers of both are gathered in one place. */
  #send(request: Asked): number {
    this.#requestId += 1;
    const requestId = 0x8000_0000 + this.#requestId;
    this.#shard?.handle({ ...request, requestId });
    return requestId;
  }

  #ask(request: Asked): Answer | null {
    const requestId = this.#send(request);
    this.#work(() => this.#answers.has(requestId));
    return this.#answers.get(requestId) ?? null;
  }

  // ---- what it must hold -----------------------------------------------------------------------------------------

  #judgeBoot(boot: ShardBoot): void {
    const { firstIndex, lastIndex, lastTerm, previousTerm, appliedIndex, hardTerm, hardVote } = boot;
    const { sent } = this.#witness.log;
    const termOf = (index: number): number => sent[index - 1]?.term ?? 0;
    const isSaved = [this.#hardState, this.#savingHardState].some(
      (one) => one.term === hardTerm && one.vote === hardVote,
    );
    if (!isSaved) this.#complain(`has the hard state ${hardTerm}/${hardVote}`);
    if (lastIndex < this.#provenIndex || lastIndex > this.#possibleIndex) {
      this.#complain(`ends at ${lastIndex}, proven ${this.#provenIndex}, possible ${this.#possibleIndex}`);
    }
    if (lastTerm !== termOf(lastIndex)) this.#complain(`ends at ${lastIndex}@${lastTerm}`);
    if (previousTerm !== termOf(firstIndex - 1)) this.#complain(`begins at ${firstIndex} behind term ${previousTerm}`);
    if (firstIndex > appliedIndex + 1) this.#complain(`begins at ${firstIndex}, applied ${appliedIndex}`);
    const fault = configurationFault(boot, sent.slice(0, lastIndex));
    if (fault !== null) this.#complain(fault);
    this.#hardState = { term: hardTerm, vote: hardVote };
    this.#savingHardState = this.#hardState;
    this.#provenIndex = lastIndex;
    if (this.#isUp) this.#judgeContent();
  }

  /** Every key of every bucket that the engine's model knows and that is not gone. */
  #judgeContent(): void {
    const { model } = this.#witness;
    const reads: { readonly requestId: number; readonly read: GetRequest }[] = [];
    for (const bucket of model.openBuckets) {
      for (const key of ALL_KEYS) {
        const read = { type: "get", bucket, key, metadataOnly: false } as const;
        reads.push({ requestId: this.#send({ type: "read", requestId: 0, minIndex: logIndex(0), read }), read });
      }
    }
    this.#work(() => reads.every(({ requestId }) => this.#reads.has(requestId)));
    const index = this.#appliedIndex;
    const next = this.#witness.log.sent[index];
    if (next !== undefined && next.index <= this.#witness.decidedIndex) this.#witness.advanceModel(next.index);
    for (const { requestId, read } of reads) {
      const answer = this.#reads.get(requestId);
      this.#reads.delete(requestId);
      if (answer === undefined) continue;
      const { result, nowMs } = answer;
      if (result.kind === "error" && this.#host.mayReadsFail) continue;
      const fault = judgeAround(index, next, (place) => judgeRead(model, read, result, place, nowMs));
      if (fault !== null) return this.#complain(`at index ${index}: ${fault}`);
    }
  }

  #complain(what: string): void {
    this.#witness.violations.push(`the replica ${what}`);
  }
}

/** Behind the entry, or in the midst of the next one: a flush in its midst may have been what the snapshot holds. */
function judgeAround(
  index: number,
  next: EngineEntry | undefined,
  judge: (place: number) => string | null,
): string | null {
  const complaint = judge(placeBehind(index));
  if (complaint === null || next === undefined) return complaint;
  for (let i = 0; i < next.commands.length; i++) if (judge(placeIn(next.index, i)) === null) return null;
  return complaint;
}
