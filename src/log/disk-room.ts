/**
 * Whether the disk has room for more log. A proposal is taken only while the next segment is there, or room to make
 * it, and a reserve beyond that is free: so votes, flushes and the manifest can still be written when clients are
 * already refused. The free bytes are asked for seldom, because the question is a system call. The shard's thread only.
 */
import type { Disk } from "../env/disk.ts";

/** Free bytes that clients' writes may not use up, in segments. */
const RESERVE_SEGMENTS = 2;
/** While there is room, the disk is asked again after this many questions. */
const QUESTIONS_PER_LOOK = 64;

export class DiskRoom {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytes: number;
  #freeBytes = 0;
  #questions = 0;

  constructor(disk: Disk, directory: string, segmentBytes: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.look();
  }

  /** Asks the disk. */
  look(): void {
    this.#freeBytes = this.#disk.freeBytes(this.#directory);
    this.#questions = 0;
  }

  /** Asks the disk once in a while, and every time when the last answer was a refusal. */
  lookSeldom(hasNext: boolean): void {
    this.#questions += 1;
    if (this.#questions >= QUESTIONS_PER_LOOK || !this.suffices(hasNext)) this.look();
  }

  /** Whether clients may write, as of the last look. */
  suffices(hasNext: boolean): boolean {
    const reserveBytes = RESERVE_SEGMENTS * this.#segmentBytes;
    return this.#freeBytes >= (hasNext ? reserveBytes : reserveBytes + this.#segmentBytes);
  }
}
