/**
 * State machine safety (Raft §5.4.3), watched from outside: whatever any node hands to a shard as committed at some
 * index, every other node must have committed as well. An entry is told by its index and term, which name it (log
 * matching). What passes between a node and its shards is enough to see it, so production code knows nothing of this.
 * What is in the entries is looked at by committed-writes.ts.
 */
import type { ShardLink, ShardReply, ShardRequest } from "../bridge/shard-protocol.ts";
import { entryIndex, entryTerm } from "../record/entry-format.ts";
import { CommittedWrites } from "./committed-writes.ts";

/** The one committed history of each shard. */
export class CommittedTerms {
  readonly violations: string[] = [];
  /** What is in the entries. */
  readonly writes = new CommittedWrites();
  readonly #terms = new Map<string, { readonly term: number; readonly by: string }>();

  note(shard: number, index: number, term: number, by: string): void {
    const key = `${shard}/${index}`;
    const known = this.#terms.get(key);
    if (known === undefined) {
      this.#terms.set(key, { term, by });
      this.writes.committed(shard, index, term);
    } else if (known.term !== term) {
      const said = `entry ${index} of shard ${shard} was committed by ${known.by} in term ${known.term}`;
      this.violations.push(`${said}, and by ${by} in term ${term}`);
    }
  }
}

/** The log of one shard in one life of a node, as terms by index; a link that listens on the way to the shard. */
export class WatchedLink implements ShardLink {
  readonly #inner: ShardLink;
  readonly #log: LogTerms;

  constructor(inner: ShardLink, log: LogTerms) {
    this.#inner = inner;
    this.#log = log;
  }

  get congested(): boolean {
    return this.#inner.congested;
  }

  send(request: ShardRequest): void {
    this.#log.onRequest(request);
    this.#inner.send(request);
  }

  flush(): void {
    this.#inner.flush();
  }

  settle(): void {
    this.#inner.settle();
  }
}

export class LogTerms {
  readonly #committed: CommittedTerms;
  readonly #shard: number;
  readonly #owner: string;
  readonly #terms = new Map<number, number>();
  #commitIndex = 0;

  constructor(committed: CommittedTerms, shard: number, owner: string) {
    this.#committed = committed;
    this.#shard = shard;
    this.#owner = owner;
  }

  onReply(reply: ShardReply): void {
    if (reply.type !== "opened") return;
    const { termRuns, lastIndex, firstIndex, commitIndex } = reply.boot;
    this.#commitIndex = firstIndex - 1;
    for (const [i, run] of termRuns.entries()) {
      const end = termRuns[i + 1]?.firstIndex ?? lastIndex + 1;
      for (let index: number = run.firstIndex; index < end; index++) this.#terms.set(index, run.term);
    }
    this.#commit(commitIndex);
  }

  onRequest(request: ShardRequest): void {
    if (request.type === "commit") this.#commit(request.commitIndex);
    if (request.type !== "append") return;
    for (const entry of request.entries) {
      this.#committed.writes.appended(this.#shard, entry);
      this.#append(entryIndex(entry), entryTerm(entry));
    }
    this.#commit(request.commitIndex);
  }

  /** An entry may take the place of another, but not of a committed one. */
  #append(index: number, term: number): void {
    this.#terms.set(index, term);
    if (index <= this.#commitIndex) this.#committed.note(this.#shard, index, term, this.#owner);
  }

  #commit(commitIndex: number): void {
    while (this.#commitIndex < commitIndex) {
      const index = ++this.#commitIndex;
      const term = this.#terms.get(index);
      if (term !== undefined) this.#committed.note(this.#shard, index, term, this.#owner);
    }
  }
}
