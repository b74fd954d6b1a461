/**
 * What the Raft core wants of its shard, put into requests on the link: hard states, entries, how far they are committed
 * and may be applied, old entries, and what of the log nobody needs any more. It remembers what the shard has been told,
 * so that a commit index goes out only when it is news. Main thread only.
 */
import type { ShardLink } from "../bridge/shard-protocol.ts";
import type { LogIndex } from "../core/ids.ts";
import type { Ready } from "../raft/ready.ts";

export class DiskRequests {
  readonly #link: ShardLink;
  readonly #retainedBytes: number;
  #sentCommit: number;
  /** Below any index: the shard has to be told how much it keeps. */
  #sentRelease = -1;

  /**
   * `knownCommit`: what the shard has known to be committed since it recovered. `retainedBytes`: log that is kept for
   * members that are behind.
   */
  constructor(link: ShardLink, knownCommit: LogIndex, retainedBytes: number) {
    this.#retainedBytes = retainedBytes;
    this.#link = link;
    this.#sentCommit = knownCommit;
  }

  /**
   * `wantResults`: somebody here waits for what the commands of these entries come to. `decidesAlone`: what this leader has
   * on disk is committed by that.
   */
  send(ready: Ready, wantResults: boolean, decidesAlone: boolean): void {
    const link = this.#link;
    const { hardState, entries, commitIndex } = ready;
    if (hardState !== null) link.send({ type: "saveHardState", term: hardState.term, vote: hardState.vote });
    const last = entries[entries.length - 1];
    if (last !== undefined) {
      link.send({
        type: "append",
        entries: entries.map((entry) => entry.bytes),
        commitIndex,
        applyThrough: decidesAlone ? last.index : commitIndex,
        wantResults,
      });
      this.#sentCommit = commitIndex;
    } else if (commitIndex > this.#sentCommit) {
      this.#sentCommit = commitIndex;
      link.send({ type: "commit", commitIndex });
    }
    for (const read of ready.reads) link.send({ type: "readEntries", from: read.from, bytesMax: read.bytesMax });
  }

  /** The shard holds something else now, of which so much is known to be committed. */
  restart(knownCommit: LogIndex): void {
    this.#sentCommit = knownCommit;
    this.#sentRelease = -1;
  }

  /** True: the shard is told. */
  release(index: LogIndex): boolean {
    if (index <= this.#sentRelease) return false;
    this.#sentRelease = index;
    this.#link.send({ type: "release", index, retainedBytes: this.#retainedBytes });
    return true;
  }
}
