/** A walk that passes on what another gives, but for what its heirs change: kinds and values, above all. One job, one thread. */
import type { VersionCursor, VersionKind } from "../record/version.ts";

export abstract class PassingCursor implements VersionCursor {
  protected readonly source: VersionCursor;

  /** The source belongs to this cursor from now on: it moves it. */
  constructor(source: VersionCursor) {
    this.source = source;
  }

  get valid(): boolean {
    return this.source.valid;
  }
  get bucket(): number {
    return this.source.bucket;
  }
  get key(): Uint8Array {
    return this.source.key;
  }
  get stampHigh(): number {
    return this.source.stampHigh;
  }
  get stampLow(): number {
    return this.source.stampLow;
  }
  get origin(): number {
    return this.source.origin;
  }
  get kind(): VersionKind {
    return this.source.kind;
  }
  get expiryMs(): number {
    return this.source.expiryMs;
  }
  abstract get value(): Uint8Array;

  seek(bucket: number, key: Uint8Array): void {
    this.source.seek(bucket, key);
    this.moved();
  }

  next(): void {
    this.source.next();
    this.moved();
  }

  /** The source stands on another version, or behind the last. */
  protected abstract moved(): void;
}
