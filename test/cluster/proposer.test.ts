/** What a batch promises: as much as the most careful of those who wrote into it asked for. */
import { expect, test } from "bun:test";
import { createShardMemory } from "../../src/bridge/shard-memory.ts";
import { SharedState } from "../../src/bridge/shared-state.ts";
import { Gathering } from "../../src/cluster/gathering.ts";
import { Proposer } from "../../src/cluster/proposer.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import type { Raft } from "../../src/raft/raft.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { OS_DECIDES, SYNC } from "../../src/record/durability.ts";
import { entryDurability } from "../../src/record/entry-format.ts";
import type { Result } from "../../src/record/result.ts";
import { WritePace } from "../../src/cluster/write-pace.ts";
import { StillClock } from "./leading-group.ts";

function range(text: string) {
  const bytes = utf8(text);
  return { bytes, start: 0, end: bytes.length };
}

test.each([
  [[OS_DECIDES], OS_DECIDES, "os"],
  [[OS_DECIDES, 300, 1000], 300, "interval"],
  [[OS_DECIDES, SYNC, 300], SYNC, "sync"],
] as const)("writes of %p make an entry of %d, and are told %s", (asked, promised, told) => {
  const entries: Uint8Array[] = [];
  const raft = {
    lastIndex: logIndex(0),
    commitIndex: logIndex(1),
    termAt: () => term(1),
    propose: (_byteCount: number, seal: (index: number, inTerm: number) => Uint8Array) => {
      entries.push(seal(1, 1));
      return { index: 1, term: 1 };
    },
  };
  const gathering = new Gathering(new StillClock(), () => undefined);
  const state = new SharedState(createShardMemory(64 * 1024, 3).state);
  const pace = new WritePace(state, new StillClock(), () => undefined);
  const proposer = new Proposer(raft as unknown as Raft, nodeId(1), gathering, pace, () => 1000);
  const said: Result[] = [];
  const waiter = { resolve: (_tag: number, result: Result) => void said.push(result) };
  for (const durability of asked) {
    proposer.write(CommandType.put, 0, 1, range("k"), range("v"), 0, durability, waiter, 0);
  }
  proposer.propose(0);
  proposer.settle();
  expect(entries.map(entryDurability)).toEqual([promised]);
  expect(said).toEqual(asked.map(() => ({ kind: "ok", durability: told })));
});
