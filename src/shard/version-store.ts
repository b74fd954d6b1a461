/**
 * All versions of a shard behind one look-up: the memtables, newest first, then the tables. A key found in a memtable
 * needs no look at older sources, because stamps rise with the log (see memtable-set.ts).
 *
 * After a `find` that returned true the fields describe the newest version; its value is a range inside an arena or a table
 * or value file, and good until the next change of arenas or tables. A value that a table points to is read when somebody
 * asks for its bytes, and not for its length. A look-up throws CORRUPTION where nothing can be said. Nothing is allocated
 * for a hit in memory, for a look-up in tables, or for an insert. Shard thread.
 */
import { ArenaPool } from "../bridge/arena-pool.ts";
import { arenaShape } from "../bridge/memtable-format.ts";
import { MemtableSet } from "../bridge/memtable-set.ts";
import type { MemtableReader } from "../bridge/memtable-reader.ts";
import type { MemtableWriter } from "../bridge/memtable.ts";
import type { ShardMemory } from "../bridge/shard-memory.ts";
import type { SharedState } from "../bridge/shared-state.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import { compareStamps, MAX_STAMP, type Stamp, ZERO_STAMP } from "../core/stamp.ts";
import type { Clock } from "../env/clock.ts";
import { type FoundVersion, type TwoWayCursor, VersionKind } from "../record/version.ts";
import type { KeyPrefix } from "../storage/key-prefix.ts";
import type { Tree } from "../storage/tree.ts";
import { type Snapshot, type SnapshotLimits, Snapshots } from "./snapshots.ts";
import { UndecidedKeys } from "./undecided-keys.ts";
import type { ValuePlaces } from "./value-places.ts";

/** What a node and its version take at most beside key and value: 6 + 12 + 7 words, and the padding of both. */
const VERSION_OVERHEAD_BYTES = 116;
const NOTHING = { valueBytes: EMPTY_BYTES };

/** What there was to be read at some moment: as long as it is the same, a cursor stands where it stood. */
export interface StoreState {
  readonly publishCount: number;
  readonly oldestArena: number;
  readonly activeArena: number;
  readonly insertCount: number;
}

export class VersionStore {
  readonly tree: Tree;
  readonly arenas: ArenaPool;
  readonly memtables: MemtableSet;
  readonly snapshots: Snapshots;
  /** Where the values of the memtables lie in the log; null when tables hold every value. */
  readonly places: ValuePlaces | null;
  /** What no look-up may show. */
  readonly undecided: UndecidedKeys;
  kind: VersionKind = VersionKind.tombstone;
  stampHigh = 0;
  stampLow = 0;
  expiryMs = 0;
  valueStart = 0;
  valueEnd = 0;
  readonly #state: SharedState;
  readonly #keyCountMax: number;
  /** The largest stamp in arenas before the active one. */
  #rotatedStamp: Stamp = ZERO_STAMP;
  #active: MemtableWriter;
  /** Another store has taken the place of this one. */
  #isEnded = false;
  /** What was found last, in memory or in tables. */
  #hit: { readonly valueBytes: Uint8Array } = NOTHING;

  constructor(
    tree: Tree,
    memory: ShardMemory,
    state: SharedState,
    places: ValuePlaces | null,
    clock: Clock,
    limits: SnapshotLimits,
    firstArena = 1,
  ) {
    this.tree = tree;
    this.places = places;
    this.#state = state;
    this.undecided = new UndecidedKeys(state);
    this.snapshots = new Snapshots(clock, limits, () => this.#keep());
    this.arenas = new ArenaPool(state, memory.arenas, firstArena);
    this.memtables = new MemtableSet(state, memory.arenas, firstArena);
    this.#active = this.arenas.active;
    const slotMask = arenaShape(memory.arenas[0]!.byteLength).slotMask;
    this.#keyCountMax = slotMask - (slotMask >>> 3);
  }

  /** The writer of the active memtable. */
  get active(): MemtableWriter {
    return this.#active;
  }

  /** What the value lies in, from `valueStart` to `valueEnd`. Throws CORRUPTION. */
  get valueBytes(): Uint8Array {
    return this.#hit.valueBytes;
  }

  find(bucket: number, key: Uint8Array, keyStart: number, keyEnd: number, keyHash: number): boolean {
    if (this.undecided.any) this.undecided.check(bucket, key.subarray(keyStart, keyEnd));
    const hit = this.memtables.find(bucket, key, keyStart, keyEnd, keyHash);
    if (hit !== null) return this.#takeFromMemory(hit);
    if (this.tree.tableCount === 0) return false;
    return this.#takeFromTables(this.tree.find(bucket, key, keyStart, keyEnd, keyHash, MAX_STAMP));
  }

  /**
   * The same for the newest version not above `asOf`. Whoever asks has made sure that it is kept: `asOf` is that of a
   * snapshot, or not below the last stamp applied (`snapshots.check`).
   */
  findAsOf(bucket: number, key: Uint8Array, keyHash: number, asOf: Stamp): boolean {
    this.undecided.check(bucket, key);
    const hit = this.memtables.findAsOf(bucket, key, 0, key.length, keyHash, asOf.high, asOf.low);
    if (hit !== null) return this.#takeFromMemory(hit);
    return this.#takeFromTables(this.tree.find(bucket, key, 0, key.length, keyHash, asOf));
  }

  /** The largest stamp of all versions that have come: the present. */
  get lastStamp(): Stamp {
    const { stampHigh: high, stampLow: low } = this.tree.flushed;
    return later(this.#active.newestStamp, later(this.#rotatedStamp, { high, low }));
  }

  /** What is visible now, to be read later. Throws OVERLOADED. To be released by whoever takes it. */
  snapshot(): Snapshot {
    return this.snapshots.take(this.lastStamp);
  }

  /** False: the active arena is full and nothing was written. */
  insert(
    bucket: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    keyHash: number,
    stampHigh: number,
    stampLow: number,
    origin: number,
    kind: VersionKind,
    expiryMs: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): boolean {
    return this.#active.insert(
      bucket,
      key,
      keyStart,
      keyEnd,
      keyHash,
      stampHigh,
      stampLow,
      origin,
      kind,
      expiryMs,
      value,
      valueStart,
      valueEnd,
    );
  }

  /** What is inserted meanwhile main sees as a whole or not at all. */
  insertTogether(insert: () => void): void {
    this.#state.setHalfWritten(true);
    insert();
    this.#state.setHalfWritten(false);
  }

  /** Whether so many versions, with so many bytes of keys and values together, fit into the active arena. */
  hasRoom(byteCount: number, versionCount: number): boolean {
    const { bytesUsed, bytesMax, keyCount } = this.#active;
    const needed = byteCount + versionCount * VERSION_OVERHEAD_BYTES;
    return bytesUsed + needed <= bytesMax && keyCount + versionCount <= this.#keyCountMax;
  }

  /** Freezes the active arena and goes on to the next; false when none is free. */
  rotate(): boolean {
    const frozen = this.arenas.activeArena;
    this.#active.link();
    if (!this.arenas.rotate()) return false;
    this.#rotatedStamp = later(this.#active.newestStamp, this.#rotatedStamp);
    this.places?.freeze(frozen);
    this.#active = this.arenas.active;
    this.#keep();
    return true;
  }

  #takeFromMemory(hit: MemtableReader): true {
    this.kind = hit.kind;
    this.stampHigh = hit.stampHigh;
    this.stampLow = hit.stampLow;
    this.expiryMs = hit.expiryMs;
    this.#hit = hit;
    this.valueStart = hit.valueStart;
    this.valueEnd = hit.valueEnd;
    return true;
  }

  #takeFromTables(found: FoundVersion | null): boolean {
    if (found === null) return false;
    this.kind = found.kind;
    this.stampHigh = found.stampHigh;
    this.stampLow = found.stampLow;
    this.expiryMs = found.expiryMs;
    this.#hit = found;
    this.valueStart = found.valueStart;
    this.valueEnd = found.valueEnd;
    return true;
  }

  /** Tells the memtable what overwritten versions to keep. */
  #keep(): void {
    const { keepsEverything, newestStamp } = this.snapshots;
    this.#active.keepThrough(keepsEverything ? MAX_STAMP : (newestStamp ?? ZERO_STAMP));
  }

  state(): StoreState {
    return {
      publishCount: this.tree.publishCount,
      oldestArena: this.memtables.oldestArena,
      activeArena: this.arenas.activeArena,
      insertCount: this.#active.entryCount,
    };
  }

  /** Another store takes the place of this one: who goes on reading is told that it is gone. */
  end(): void {
    this.#isEnded = true;
    this.snapshots.end();
  }

  /** Whether nothing has come or gone since that state. */
  isAsOf(state: StoreState): boolean {
    return (
      !this.#isEnded &&
      this.#active.entryCount === state.insertCount &&
      this.tree.publishCount === state.publishCount &&
      this.memtables.oldestArena === state.oldestArena &&
      this.arenas.activeArena === state.activeArena
    );
  }

  /**
   * All versions in internal-key order, or at least those `within` a prefix. Dispose of it before the next change of arenas
   * or tables.
   */
  cursor(within: KeyPrefix | null = null): TwoWayCursor & Disposable {
    this.#active.link();
    return this.tree.cursor(this.memtables.cursors(), within);
  }
}

function later(a: Stamp, b: Stamp): Stamp {
  return compareStamps(a.high, a.low, b.high, b.low) > 0 ? a : b;
}
