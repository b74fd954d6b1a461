/** A file that only grows, written without keeping the thread that asks waiting, and put aside when it has grown large. */
export interface AppendFile {
  /** Bytes in it. */
  readonly size: number;
  /** Resolves when the bytes are durable. After a rejection nothing of them is in the file, or the file cannot be used any more. */
  append(bytes: Uint8Array): Promise<void>;
  /** Goes on in a new file: `name` becomes `name.1`, that `name.2`; those beyond `keep` are removed. */
  rotate(keep: number): Promise<void>;
  close(): Promise<void>;
}
