/**
 * A walk over a table whose values are being moved: the same versions, but pointers into the files being collected lead
 * to where their values are now. The new places come in the order of the walk; behind the last of them pointers stay as
 * they are, for another collection. One job, one thread.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import type { ValueFileId } from "../core/ids.ts";
import { type VersionCursor, VersionKind } from "../record/version.ts";
import { PassingCursor } from "./passing-cursor.ts";
import { POINTER_BYTES, ValuePointer } from "./value-pointer-format.ts";

export class RelocatingCursor extends PassingCursor {
  readonly #collected: ReadonlySet<ValueFileId>;
  readonly #target: ValueFileId;
  readonly #offsets: readonly number[];
  readonly #pointer = new ValuePointer();
  readonly #encoded = new Uint8Array(POINTER_BYTES);
  readonly #view = new DataView(this.#encoded.buffer);
  #nextOffset = 0;
  #value: Uint8Array = EMPTY_BYTES;

  /** `offsets`: of the moved commands in `target`. */
  constructor(
    source: VersionCursor,
    collected: ReadonlySet<ValueFileId>,
    target: ValueFileId,
    offsets: readonly number[],
  ) {
    super(source);
    this.#collected = collected;
    this.#target = target;
    this.#offsets = offsets;
  }

  override get value(): Uint8Array {
    return this.#value;
  }

  /** To the start of the table, which is where its values were moved from. */
  override seek(bucket: number, key: Uint8Array): void {
    this.#nextOffset = 0;
    super.seek(bucket, key);
  }

  protected override moved(): void {
    const source = this.source;
    if (!source.valid) return;
    this.#value = source.value;
    if (source.kind !== VersionKind.pointer) return;
    const offset = this.#offsets[this.#nextOffset];
    if (offset === undefined || !this.#collected.has(this.#pointer.read(this.#value, 0).file)) return;
    this.#nextOffset += 1;
    this.#pointer.file = this.#target;
    this.#pointer.commandOffset = offset;
    this.#pointer.write(this.#view);
    this.#value = this.#encoded;
  }
}
