/**
 * The commands of one connection: taken from the parser one after the other, looked at, and run, queued or refused.
 *
 *   parser → over the rate? → known? → arguments, rights, keys → MULTI's queue │ audit log │ wait │ handler
 *
 * It takes none (it *stalls*) while too many are unanswered, while the client does not read its replies, while the node is
 * congested, while the share of the turn is used up, while an act is being recorded, and around an exclusive command. What has
 * arrived then stays in the parser. Main thread only.
 */
import { unreachable } from "../core/assert.ts";
import type { RequestArguments } from "../wire/request-arguments.ts";
import { ParseStatus, RespParser } from "../wire/resp-parser.ts";
import { describeAct, fullName, isAct, judge } from "./access/command-rights.ts";
import { ANYBODY, type Principal } from "./access/principal.ts";
import type { ClientConnection } from "./client-connection.ts";
import { type CommandEntry, longKey } from "./command-table.ts";
import type { ReplyStream } from "./reply-stream.ts";
import { subcommandProblem } from "./subcommands.ts";
import {
  ACT_INSIDE,
  ACT_NOT_RECORDED,
  NOT_LOGGED_IN,
  noPermission,
  RATE_LIMITED,
  unknownCommand,
  wrongArity,
} from "./texts.ts";

export class CommandIntake {
  readonly parser: RespParser;
  commandCount = 0;
  lastCommand = "NULL";
  isStalled = false;
  readonly #client: ClientConnection;
  readonly #replies: ReplyStream;
  #pumping = false;
  /** The command that waits for its turn: an exclusive one, or an act that is being recorded. */
  #waiting: CommandEntry | null = null;
  /** With whose rights it came. */
  #judgedAs: Principal = ANYBODY;
  #exclusive = false;
  #recording = false;

  constructor(client: ClientConnection, replies: ReplyStream) {
    this.#client = client;
    this.#replies = replies;
    this.parser = new RespParser(client.port.respLimits);
  }

  /** Takes what has come, as far as nothing stands against it. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#client.isOpen) {
      if (this.#isBlocked()) {
        this.isStalled = true;
        this.#waitForWhatBlocks();
        break;
      }
      const waiting = this.#waiting;
      if (waiting !== null) {
        this.#waiting = null;
        this.#runAfterWait(waiting, this.parser.request);
        continue;
      }
      this.#exclusive = false;
      const status = this.parser.next();
      if (status === ParseStatus.needMore) break;
      this.#accept(status);
    }
    this.#pumping = false;
  }

  /** Ends a stall, if nothing stands against it any more; false: something does. */
  goOn(): boolean {
    if (this.#isBlocked()) {
      this.#waitForWhatBlocks();
      return false;
    }
    this.isStalled = false;
    this.pump();
    return true;
  }

  /** Runs the command that another one has in its arguments, in its place. */
  runInner(entry: CommandEntry, request: RequestArguments): void {
    if (!this.#isAcceptable(entry, request)) return;
    if (this.#isRecorded(entry, request)) this.#client.replyError(ACT_INSIDE);
    else entry.handler(this.#client, request);
  }

  #accept(status: ParseStatus): void {
    switch (status) {
      case ParseStatus.command:
        this.#execute(this.parser.request);
        return;
      case ParseStatus.refused:
        this.commandCount += 1;
        this.#client.share.command(0, 0);
        this.#refuse(this.parser.errorText);
        return;
      case ParseStatus.broken:
        this.#client.session.replies = "on";
        this.#client.replyError(this.parser.errorText);
        this.#client.finish();
        return;
      case ParseStatus.needMore:
        return;
      default:
        unreachable(status);
    }
  }

  #execute(request: RequestArguments): void {
    this.commandCount += 1;
    const { bytes, count } = request;
    const byteCount = request.ends[count - 1]! - request.starts[0]!;
    const isWithinRate = this.#client.share.command(count, byteCount);
    const entry = this.#client.port.commands.find(bytes, request.starts[0]!, request.ends[0]!);
    if (entry === null) {
      this.#refuse(isWithinRate ? unknownCommand(request) : RATE_LIMITED);
      return;
    }
    if (!isWithinRate) {
      this.#refuse(this.#client.transactions.refusal(entry, RATE_LIMITED));
      return;
    }
    if (!this.#isAcceptable(entry, request)) {
      this.#client.transactions.spoilQueue();
      this.#afterSilence();
      return;
    }
    if (this.#client.transactions.takes(entry, request)) this.#afterSilence();
    else if (this.#isRecorded(entry, request)) this.#recordFirst(entry, request);
    else if (entry.exclusive && this.#replies.openCount > 0) this.#wait(entry);
    else this.#run(entry, request);
  }

  /** Answers what comes to nothing. */
  #refuse(text: string): void {
    this.#client.transactions.spoilQueue();
    this.#client.replyError(text);
    this.#afterSilence();
  }

  /** Whether it leaves a line in the audit log before it is done. */
  #isRecorded(entry: CommandEntry, request: RequestArguments): boolean {
    return entry.keys[0] === 0 && this.#client.login.recordsActs && isAct(entry, request);
  }

  #recordFirst(entry: CommandEntry, request: RequestArguments): void {
    this.#wait(entry);
    this.#recording = true;
    const act = describeAct(entry, request) ?? entry.name;
    this.#client.login.record(act, this.#client.session.bucket.name, (isRecorded) => {
      this.#recording = false;
      if (this.#client.isGone) return;
      if (!isRecorded) {
        this.#waiting = null;
        this.#client.replyError(ACT_NOT_RECORDED);
        this.#afterSilence();
      }
      this.#client.tryContinue();
    });
  }

  /** False: it has been answered with what is wrong with its arguments. */
  #isAcceptable(entry: CommandEntry, request: RequestArguments): boolean {
    const { arity } = entry;
    if (arity > 0 ? request.count !== arity : request.count < -arity) {
      this.#client.replyError(this.#client.transactions.refusal(entry, wrongArity(entry.name)));
      return false;
    }
    const problem = subcommandProblem(entry, request);
    if (problem !== null) {
      this.#client.replyError(problem);
      return false;
    }
    if (this.#client.login.principal !== ANYBODY && !this.#isPermitted(entry, request)) return false;
    if (entry.keys[0] === 0) return true;
    const { keyBytesMax } = this.#client.port.settings;
    const byteCount = longKey(entry, request, keyBytesMax);
    if (byteCount === 0) return true;
    this.#client.replyError(`ERR key of ${byteCount} bytes is too large, the limit is ${keyBytesMax}`);
    return false;
  }

  /** False: it has been answered that it is not allowed. */
  #isPermitted(entry: CommandEntry, request: RequestArguments): boolean {
    const { principal } = this.#client.login;
    const bucket = this.#client.session.bucket.name;
    const verdict = judge(principal, bucket, entry, request);
    if (verdict === "allowed") return true;
    const name = fullName(entry, request);
    const isTooMuch = this.#client.login.refused(describeAct(entry, request) ?? name, bucket, verdict);
    this.#client.replyError(principal.isLoggedIn ? noPermission(verdict, name) : NOT_LOGGED_IN);
    if (isTooMuch) this.#client.finish();
    return false;
  }

  #run(entry: CommandEntry, request: RequestArguments): void {
    this.lastCommand = entry.name;
    this.#exclusive = entry.exclusive;
    entry.handler(this.#client, request);
    this.#afterSilence();
  }

  #wait(entry: CommandEntry): void {
    this.#waiting = entry;
    this.#judgedAs = this.#client.login.principal;
  }

  /** What was allowed when the command came may not be so any more. */
  #runAfterWait(entry: CommandEntry, request: RequestArguments): void {
    if (this.#client.login.principal === this.#judgedAs || this.#isPermitted(entry, request)) this.#run(entry, request);
    else this.#afterSilence();
  }

  #isBlocked(): boolean {
    if (this.#recording) return true;
    const open = this.#replies.openCount;
    if (open > 0) {
      if (this.#exclusive || this.#waiting !== null) return true;
      if (open >= this.#client.port.settings.requestsInflightMax) return true;
    }
    if (this.#replies.expectedBytes > this.#client.port.outputPauseBytes || this.#client.coordinator.congested)
      return true;
    return this.#client.share.isUsedUp;
  }

  /** Answers wake it by themselves. */
  #waitForWhatBlocks(): void {
    if (this.#client.coordinator.congested) this.#client.port.waitForRelief(this.#client);
    else if (this.#client.share.isUsedUp) this.#client.share.wait();
  }

  #afterSilence(): void {
    const { session } = this.#client;
    if (session.replies === "on") return;
    if (session.replies === "skip") session.replies = "on";
    else if (session.replies === "skipNext") session.replies = "skip";
  }
}
