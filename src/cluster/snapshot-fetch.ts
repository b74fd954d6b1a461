/**
 * A follower's way to a snapshot of its leader: it asks for the description, has its shard begin an installation, which says
 * how much of each file is there from an earlier attempt, and fetches what is missing piece by piece, at the pace of its own
 * disk. When all of it is there, Raft is asked once more whether it is still wanted, and the shard takes it over. A new
 * offer takes the place of the one before. Main thread only.
 *
 *   begin ──► describing ──► fetching ──► ending ──► installed
 *                 └──────────────┴───────────┴─────► abandoned: the next offer is news again
 */
import type { InstallFile, ShardBoot } from "../bridge/shard-protocol.ts";
import { at } from "../core/assert.ts";
import type { NodeId } from "../core/ids.ts";
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import { type Answer, type Question, whyNot } from "./shard-questions.ts";
import type { SnapshotAsk, SnapshotGiven } from "./snapshot-frame-format.ts";

/** One frame, small enough that heartbeats do not wait behind it. */
const PIECE_BYTES = 128 * 1024;
/** Pieces that may wait for the disk before the next one is asked for. */
const UNWRITTEN_MAX = 2;
/** An answer that has not come by then was lost with a connection, and is asked for again. */
const ASK_AGAIN_MS = 2_000;
/** A leader that gives nothing for so long will make another offer, if it is one still. */
const GIVE_UP_MS = 30_000;

/** What there is to fetch, and from whom. */
export interface FetchedSnapshot {
  readonly from: NodeId;
  readonly id: number;
  readonly index: number;
}

/** The group that the snapshot is for. */
export interface SnapshotFetchPorts {
  /** Asks the shard. */
  ask(question: Question, done: (answer: Answer) => void): void;
  /** Asks the leader. */
  request(to: NodeId, ask: SnapshotAsk): void;
  /** Everything is there: whether it may still take the log's place. */
  startInstall(): boolean;
  installed(boot: ShardBoot): void;
  abandoned(): void;
}

interface Fetching {
  readonly offer: FetchedSnapshot;
  /** Null until the shard has begun. */
  files: readonly InstallFile[] | null;
  /** What is asked for next, or was asked last: a place in a file. */
  file: number;
  offset: number;
  isAsked: boolean;
  unwritten: number;
  isEnding: boolean;
  /** When the leader was last heard, and last asked. */
  heardMs: number;
  askedMs: number;
}

export class SnapshotFetch {
  readonly #shard: number;
  readonly #ports: SnapshotFetchPorts;
  readonly #clock: Clock;
  readonly #log: Logger;
  #fetching: Fetching | null = null;

  constructor(shard: number, clock: Clock, log: Logger, ports: SnapshotFetchPorts) {
    this.#shard = shard;
    this.#clock = clock;
    this.#log = log;
    this.#ports = ports;
  }

  begin(offer: FetchedSnapshot): void {
    const nowMs = this.#clock.monotonicMs();
    this.#log.info("fetching a snapshot", { shard: this.#shard, from: offer.from, index: offer.index });
    this.#fetching = {
      offer,
      files: null,
      file: 0,
      offset: 0,
      isAsked: false,
      unwritten: 0,
      isEnding: false,
      heardMs: nowMs,
      askedMs: nowMs,
    };
    this.#ask(this.#fetching);
  }

  given(from: NodeId, given: SnapshotGiven): void {
    const fetching = this.#fetching;
    if (fetching === null || from !== fetching.offer.from || given.snapshot !== fetching.offer.id) return;
    // What was asked for twice may be answered twice, and the shard may be about to take over what has come.
    if (!fetching.isAsked) return;
    if (given.kind === "gone") return this.#abandon(fetching, "the leader has it no more");
    if (given.kind === "description" && fetching.files === null) this.#describe(fetching, given.description);
    else if (given.kind === "piece" && given.file === fetching.file && given.offset === fetching.offset) {
      this.#take(fetching, given.bytes);
    }
  }

  tick(): void {
    const fetching = this.#fetching;
    if (fetching === null || !fetching.isAsked) return;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - fetching.heardMs > GIVE_UP_MS) this.#abandon(fetching, "the leader gives nothing");
    else if (nowMs - fetching.askedMs > ASK_AGAIN_MS) this.#ask(fetching);
  }

  #ask(fetching: Fetching): void {
    const { offer, files, file, offset } = fetching;
    fetching.isAsked = true;
    fetching.askedMs = this.#clock.monotonicMs();
    const byteCount = files === null ? 0 : Math.min(PIECE_BYTES, at(files, file).byteCount - offset);
    this.#ports.request(offer.from, {
      snapshot: offer.id,
      piece: files === null ? null : { file, offset, byteCount },
    });
  }

  #describe(fetching: Fetching, description: Uint8Array): void {
    fetching.isAsked = false;
    fetching.heardMs = this.#clock.monotonicMs();
    this.#ports.ask({ type: "installBegin", description: description.slice() }, (answer) => {
      if (this.#fetching !== fetching) return;
      if (answer.type !== "installBegun") return this.#abandon(fetching, whyNot(answer));
      fetching.files = answer.files;
      fetching.file = -1;
      this.#goOn(fetching);
    });
  }

  #take(fetching: Fetching, bytes: Uint8Array): void {
    const { file, offset } = fetching;
    fetching.isAsked = false;
    fetching.heardMs = this.#clock.monotonicMs();
    if (bytes.length === 0) return this.#abandon(fetching, "the leader's file is shorter than it was said to be");
    fetching.unwritten += 1;
    fetching.offset += bytes.length;
    this.#ports.ask({ type: "installPiece", file, offset, bytes: bytes.slice() }, (answer) => {
      if (this.#fetching !== fetching) return;
      fetching.unwritten -= 1;
      if (answer.type !== "done" || answer.result.kind === "error") this.#abandon(fetching, whyNot(answer));
      else this.#goOn(fetching);
    });
    this.#goOn(fetching);
  }

  /** Asks for the next piece, or has the shard take over what is there in full. */
  #goOn(fetching: Fetching): void {
    const { files } = fetching;
    if (files === null || fetching.isAsked || fetching.isEnding) return;
    while (fetching.file < 0 || fetching.offset >= at(files, fetching.file).byteCount) {
      if (fetching.file === files.length - 1) {
        if (fetching.unwritten === 0) this.#end(fetching);
        return;
      }
      fetching.file += 1;
      fetching.offset = at(files, fetching.file).heldBytes;
    }
    if (fetching.unwritten < UNWRITTEN_MAX) this.#ask(fetching);
  }

  #end(fetching: Fetching): void {
    fetching.isEnding = true;
    if (!this.#ports.startInstall()) return this.#abandon(fetching, "it is not wanted any more");
    this.#ports.ask({ type: "installEnd" }, (answer) => {
      if (this.#fetching !== fetching) return;
      if (answer.type !== "installed") return this.#abandon(fetching, whyNot(answer));
      this.#fetching = null;
      this.#log.info("a snapshot was installed", { shard: this.#shard, index: fetching.offer.index });
      this.#ports.installed(answer.boot);
    });
  }

  #abandon(fetching: Fetching, why: string): void {
    if (this.#fetching !== fetching) return;
    this.#fetching = null;
    this.#log.warn("a snapshot was not installed", { shard: this.#shard, index: fetching.offer.index, why });
    this.#ports.abandoned();
  }
}
