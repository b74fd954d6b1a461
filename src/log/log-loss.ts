/**
 * Whether entries that this member may have acknowledged are gone from its disk, and when they are made up for. A start that
 * finds the log damaged goes on with what is before the damage, if there are others who have the rest; but first it is
 * recorded here, with the end of the log as far as it is proven, and a new term is entered:
 *
 *   - a leader that remembers what this member acknowledged hears of that term and leads no more; the next one remembers
 *     nothing and sends everything again
 *   - whoever leads in that term or later was elected without this member's vote, or is not behind what it had: so it has
 *     everything that was ever committed by this member's word (Raft §5.4). An entry of such a term in this log, and it is
 *     whole again: all before it is as that leader has it (§5.3)
 *
 * The shard's thread only.
 */
import { EnvelopeError } from "../core/errors.ts";
import { NO_NODE, term } from "../core/ids.ts";
import type { Disk } from "../env/disk.ts";
import type { HardStateFile } from "./hard-state-file.ts";
import { unfinishedPath } from "./log-files.ts";
import { decodeLogLoss, encodeLogLoss, type LogEnd, type LogLossRecord } from "./log-loss-format.ts";
import type { LogIdentity } from "./log-options.ts";
import { replaceFile } from "./replace-file.ts";

const NAME = "log-loss.meta";

export class LogLoss {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #identity: LogIdentity;
  readonly #hardState: HardStateFile;
  #record: LogLossRecord | null = null;

  private constructor(disk: Disk, directory: string, identity: LogIdentity, hardState: HardStateFile) {
    this.#disk = disk;
    this.#directory = directory;
    this.#identity = identity;
    this.#hardState = hardState;
  }

  /** What is recorded in a shard's directory. Throws NEWER_FORMAT, FOREIGN_DIRECTORY, IO, DISKFULL. */
  static open(disk: Disk, directory: string, identity: LogIdentity, hardState: HardStateFile): LogLoss {
    const loss = new LogLoss(disk, directory, identity, hardState);
    const path = loss.#path;
    if (disk.exists(unfinishedPath(path))) disk.remove(unfinishedPath(path));
    if (!disk.exists(path)) return loss;
    const record = decodeLogLoss(disk.readWhole(path), identity, path);
    if (record instanceof EnvelopeError && record.code !== "CORRUPTION") throw record;
    if (record instanceof EnvelopeError) loss.note(null, record.message);
    else loss.#record = record;
    loss.#enterTerm();
    return loss;
  }

  get isPending(): boolean {
    return this.#record !== null;
  }

  /** The log ended there when it was whole; null: that is not known, or nothing is lost. */
  get end(): LogEnd | null {
    return this.#record?.end ?? null;
  }

  get reason(): string {
    return this.#record?.reason ?? "";
  }

  /** Entries are going to be given up: on disk before they are. Of several losses the furthest end counts. Throws IO, DISKFULL. */
  note(end: LogEnd | null, reason: string): void {
    const before = this.#record;
    const furthest = before === null ? end : before.end !== null && end !== null ? later(before.end, end) : null;
    this.#record = { wholeFromTerm: this.#hardState.term + 1, end: furthest, reason };
    replaceFile(this.#disk, this.#directory, this.#path, encodeLogLoss(this.#record, this.#identity));
    this.#enterTerm();
  }

  /** The log's last entry on disk is of this term. True: so it is whole again. Throws IO. */
  made(lastTerm: number): boolean {
    if (this.#record === null || lastTerm < this.#record.wholeFromTerm) return false;
    this.#record = null;
    this.#disk.remove(this.#path);
    this.#disk.syncDirectory(this.#directory);
    return true;
  }

  get #path(): string {
    return `${this.#directory}/${NAME}`;
  }

  #enterTerm(): void {
    const wholeFromTerm = this.#record?.wholeFromTerm ?? 0;
    if (this.#hardState.term < wholeFromTerm) this.#hardState.save(term(wholeFromTerm), NO_NODE);
  }
}

function later(a: LogEnd, b: LogEnd): LogEnd {
  return a.term > b.term || (a.term === b.term && a.index > b.index) ? a : b;
}
