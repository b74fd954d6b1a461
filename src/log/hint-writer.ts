/**
 * Makes the hint of a sealed segment whose entries are all applied, in bounded steps between the shard's other work:
 * has its contents gathered (`hint-builder.ts`) and writes the file under an unfinished name that becomes the hint's
 * when it is whole and synced. The shard's thread only.
 */
import type { Disk, DiskFile } from "../env/disk.ts";
import { HintBuilder } from "./hint-builder.ts";
import { hintPath, unfinishedPath } from "./log-files.ts";
import type { Segment } from "./segment.ts";
import type { SegmentReader } from "./segment-reader.ts";

const PIECE_BYTES = 1024 * 1024;

export class HintWriter {
  readonly segment: Segment;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #builder: HintBuilder;
  readonly #path: string;
  /** The finished hint and how much of it is on disk; null while entries are still being read. */
  #output: { bytes: Uint8Array; file: DiskFile; writtenBytes: number } | null = null;

  /** `previousTerm` is the term of the entry before the segment's first live one. */
  constructor(disk: Disk, directory: string, reader: SegmentReader, segment: Segment, previousTerm: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#builder = new HintBuilder(reader, segment, previousTerm);
    this.segment = segment;
    this.#path = hintPath(directory, segment.id);
  }

  /** Does about a megabyte of it; true: there is more to do. */
  step(): boolean {
    if (this.#builder.step()) return true;
    this.#output ??= { bytes: this.#builder.encode(), file: this.#create(), writtenBytes: 0 };
    const { bytes, file, writtenBytes } = this.#output;
    const end = Math.min(bytes.length, writtenBytes + PIECE_BYTES);
    file.write(bytes.subarray(writtenBytes, end), writtenBytes);
    file.sync();
    this.#output.writtenBytes = end;
    if (end < bytes.length) return true;
    this.#output = null;
    file.close();
    this.#disk.rename(unfinishedPath(this.#path), this.#path);
    this.#disk.syncDirectory(this.#directory);
    this.segment.hasHint = true;
    return false;
  }

  /** Leaves it as it is, to be removed by the next start. */
  close(): void {
    this.#output?.file.close();
  }

  /** Stops half-way and leaves nothing behind. */
  abandon(): void {
    if (this.#output === null) return;
    this.#output.file.close();
    this.#disk.remove(unfinishedPath(this.#path));
    this.#output = null;
  }

  #create(): DiskFile {
    const unfinished = unfinishedPath(this.#path);
    if (this.#disk.exists(unfinished)) this.#disk.remove(unfinished);
    return this.#disk.open(unfinished, "create");
  }
}
