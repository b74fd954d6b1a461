/** A node that is told to stop hands over what it leads: nobody has to wait for an election timeout. */
import { expect, test } from "bun:test";
import { RaftRules } from "../../src/sim/raft-rules.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { Wire } from "../../src/sim/sim-network.ts";
import { SimNode } from "../../src/sim/sim-node.ts";
import { Trace } from "../../src/sim/trace.ts";

const NAMES = ["n1", "n2", "n3"];
const SHAPE = {
  memberNames: NAMES,
  shardCount: 2,
  replicationFactor: 3,
  heartbeatMs: 500,
  electionMs: 2000,
  requestTimeoutMs: 5000,
};
const WIRE = {
  delayMs: { min: 1, max: 3 },
  slowChance: 0,
  slowMs: { min: 0, max: 0 },
  cutChance: 0,
  frames: null,
  windowBytes: 1 << 20,
};

test("when the leader of a shard stops, another leads the next term long before an election timeout", () => {
  for (let seed = 1; seed <= 8; seed++) {
    const { scheduler, nodes } = cluster(seed);
    const views = () => nodes.map(({ coordinator }) => coordinator?.shards() ?? []);
    const settled = (): boolean => views().every((shards) => shards.length > 0 && shards.every(({ leader }) => leader));
    scheduler.runUntil(60_000, settled);
    scheduler.runUntil(scheduler.nowMs + 1000, () => false);
    expect([seed, settled()]).toEqual([seed, true]);

    const before = views()[0]!;
    const leaving = nodes.find(({ name }) => name === before[0]!.leader)!;
    let isGone = false;
    leaving.leave(() => {
      isGone = true;
    });
    const stillLeading = (shard: number): boolean => before[shard]!.leader === leaving.name;
    const limitMs = scheduler.nowMs + SHAPE.electionMs / 4;
    scheduler.runUntil(limitMs, () => false);
    expect([seed, isGone, leaving.isUp]).toEqual([seed, true, false]);
    for (const node of nodes.filter((other) => other !== leaving)) {
      for (const { shard, term, leader } of node.coordinator!.shards()) {
        const handedOver = stillLeading(shard);
        expect([seed, shard, term]).toEqual([seed, shard, before[shard]!.term + (handedOver ? 1 : 0)]);
        expect([seed, shard, leader === leaving.name, leader === null]).toEqual([seed, shard, false, false]);
      }
    }
  }
});

function cluster(seed: number) {
  const scheduler = new Scheduler(seed);
  const trace = new Trace(scheduler, null);
  const wire = new Wire(scheduler, WIRE);
  const rules = new RaftRules();
  const syncMs = { min: 1, max: 2 };
  const nodes = NAMES.map((name) => new SimNode(name, scheduler, wire, trace, rules, SHAPE, syncMs));
  for (const node of nodes) node.start();
  return { scheduler, nodes };
}
