/**
 * Reads of hot keys: where `HotKeys` knows a place, one read of the command there answers with everything that the
 * tables would have told. A place in a file that is gone or damaged, or one of another key with the same hash, is a miss,
 * and the tables are asked. Shard thread.
 */
import { CommandReader } from "../record/command-format.ts";
import { type FoundVersion, VersionKind } from "../record/version.ts";
import { HotKeys } from "./hot-keys.ts";
import type { ValueFiles } from "./value-files.ts";
import { readU32 } from "./block-format.ts";
import type { ValuePointer } from "./value-pointer-format.ts";

const HASHES_MIN = 1024;

export class HotReads {
  readonly keys: HotKeys;
  readonly #files: ValueFiles;
  readonly #found = new FoundCommand();
  /** Look-ups answered here since the tree was opened. */
  hitCount = 0;

  constructor(bytesMax: number, files: ValueFiles) {
    this.keys = new HotKeys(bytesMax);
    this.#files = files;
  }

  /** The newest version of a key in the tables if its place is known; reused by the next call. */
  find(bucket: number, key: Uint8Array, keyStart: number, keyEnd: number, keyHash: number): FoundVersion | null {
    const { keys } = this;
    const slot = keys.find(keyHash);
    if (slot < 0) return null;
    const file = this.#files.known(keys.fileAt(slot));
    const isReadable = file !== null && file.damage === null;
    const command = isReadable
      ? file.readCommand(keys.offsetAt(slot), keys.byteCountAt(slot), keys.checksumAt(slot))
      : null;
    if (command === null) {
      keys.forget(keyHash);
      return null;
    }
    if (!isOf(command, bucket, key, keyStart, keyEnd)) return null;
    this.#found.command = command;
    this.hitCount += 1;
    return this.#found;
  }

  /** Reads the value that a pointer found in the tables leads to, and remembers the place. Throws CORRUPTION. */
  read(pointer: ValuePointer, keyHash: number): Uint8Array {
    const { file, commandOffset, commandBytes, valueBytes } = pointer;
    const command = this.#files.of(file).command(pointer);
    this.keys.put(keyHash, file, commandOffset, commandBytes, readU32(command, 0));
    return command.subarray(commandBytes - valueBytes);
  }

  /** There are newer versions of these keys now. */
  forget(written: KeyHashes): void {
    for (let i = 0; i < written.count; i++) this.keys.forget(written.hashes[i]!);
  }
}

/** The hashes of the keys that a flush writes. */
export class KeyHashes {
  count = 0;
  hashes = new Uint32Array(HASHES_MIN);

  add(hash: number): void {
    if (this.count === this.hashes.length) {
      const larger = new Uint32Array(this.hashes.length * 2);
      larger.set(this.hashes);
      this.hashes = larger;
    }
    this.hashes[this.count++] = hash;
  }
}

/** A put, seen as the version that it made. */
class FoundCommand implements FoundVersion {
  command = new CommandReader();

  get stampHigh(): number {
    return this.command.stampHigh;
  }
  get stampLow(): number {
    return this.command.stampLow;
  }
  get origin(): number {
    return this.command.origin;
  }
  get kind(): VersionKind {
    return VersionKind.value;
  }
  get expiryMs(): number {
    return this.command.expiryMs;
  }
  get value(): Uint8Array {
    return this.command.value();
  }
  get valueBytes(): Uint8Array {
    return this.command.bytes;
  }
  get valueStart(): number {
    return this.command.valueStart;
  }
  get valueEnd(): number {
    return this.command.valueEnd;
  }
}

function isOf(command: CommandReader, bucket: number, key: Uint8Array, keyStart: number, keyEnd: number): boolean {
  const byteCount = keyEnd - keyStart;
  if (command.bucket !== bucket || command.keyEnd - command.keyStart !== byteCount) return false;
  for (let i = 0; i < byteCount; i++) if (command.bytes[command.keyStart + i] !== key[keyStart + i]) return false;
  return true;
}
