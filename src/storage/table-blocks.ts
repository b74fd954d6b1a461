/** How the blocks of an open table come into memory: through a mapping, or by direct reads. */
import type { MapAccess } from "../env/disk.ts";
import type { BlockPlace } from "./block-format.ts";
import type { BlockCache } from "./block-cache.ts";
import type { DirectFiles } from "./direct-files.ts";
import type { ReadAhead } from "./read-ahead.ts";
import type { BlockChecks } from "./tree-options.ts";

export interface TableReading {
  readonly checks: BlockChecks;
  /** For blocks that had to be read or unpacked; null: that is done every time. */
  readonly cache: BlockCache | null;
  /** Null: tables are mapped. */
  readonly direct: DirectFiles | null;
  /** How mapped tables will be read: through, by a job of its own thread; else scattered, and walks say what they need. */
  readonly access: MapAccess;
}

export interface TableBlocks {
  readonly isDirect: boolean;
  /**
   * Verifies a block as far as that is to be done, unpacks it if need be, and says where its body lies. A look-up (`ahead`
   * is null) has kept what had to be fetched for it, and may get bytes that are but lent. A walk keeps nothing, but brings
   * what it has read ahead; its bytes stay until it has loaded two more blocks. Throws CORRUPTION; IO or MISSING_FILE when
   * the file cannot be opened.
   */
  load(block: number, place: BlockPlace, ahead: ReadAhead | null): void;
  /** Lets go of the file, and of the blocks in the cache. Views into a mapping are dead from then on. */
  close(): void;
}
