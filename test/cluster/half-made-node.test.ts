/** A node of which a shard cannot be opened: whoever makes it hears why, and nothing else happens. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createShardMemory } from "../../src/bridge/shard-memory.ts";
import { MemtableSet } from "../../src/bridge/memtable-set.ts";
import type { ShardReply } from "../../src/bridge/shard-protocol.ts";
import { SharedState } from "../../src/bridge/shared-state.ts";
import { ClusterNode } from "../../src/cluster/cluster-node.ts";
import { Identity } from "../../src/cluster/identity.ts";
import type { OpenShard } from "../../src/cluster/shard-port.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import type { Network } from "../../src/env/network.ts";
import { SYNC } from "../../src/record/durability.ts";
import { QUIET, StillClock } from "./leading-group.ts";

const directory = mkdtempSync(join(tmpdir(), "envelopedb-half-made-"));

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const networkOfNobody: Network = { listen: () => ({ port: 1, close: () => undefined }), dial: () => undefined };

/** Turns wait here until the test runs them. */
class TurnClock extends StillClock {
  readonly turns: (() => void)[] = [];
  override soon(run?: () => void): void {
    if (run !== undefined) this.turns.push(run);
  }
}

test("a node of which a shard could not be opened has no turns", () => {
  const clock = new TurnClock();
  const disk = new RealDisk();
  const names = { clusterName: "test", nodeName: "n1", memberNames: ["n1"] };
  const identity = Identity.claim(disk, {
    directory,
    ...names,
    shardCount: 2,
    randomHex: "00",
    joins: false,
    areShardsSaid: true,
    adopts: false,
  });
  const memory = createShardMemory(64 * 1024, 3);
  const state = new SharedState(memory.state);
  const link = { congested: false, send: () => undefined, flush: () => undefined, settle: () => undefined };
  const rest = { background: () => false, dueInMs: () => Number.POSITIVE_INFINITY, stir: () => undefined };
  let first: (reply: ShardReply) => void = () => undefined;
  const openShard: OpenShard = (shard, onReply) => {
    if (shard === 0) {
      first = onReply;
      return { link, state, memtables: new MemtableSet(state, memory.arenas), ...rest };
    }
    // The first one has said something when the second one fails.
    first({ type: "stopped" });
    throw new EnvelopeError("IO", "the disk is gone");
  };
  const environment = { disk, network: networkOfNobody, clock, log: QUIET, seed: 1 };
  const settings = {
    peerAddress: "127.0.0.1:0",
    peers: [],
    rack: "",
    replicationFactor: 3,
    heartbeatMs: 150,
    clusterName: "test",
    electionMs: 300,
    requestTimeoutMs: 5000,
    durability: SYNC,
    valueBytesMax: 1000,
    uncommittedBytesMax: 1000,
    logRetainBytes: 1000,
    appendBytesMax: 1000,
    inflightBytesMax: 1000,
    inflightCountMax: 10,
    tailBytesMax: 1000,
  };
  expect(() => new ClusterNode(environment, settings, identity, openShard)).toThrow("the disk is gone");
  for (let run = clock.turns.shift(); run !== undefined; run = clock.turns.shift()) expect(run).not.toThrow();
});
