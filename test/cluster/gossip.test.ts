import { describe, expect, test } from "bun:test";
import { encode } from "@msgpack/msgpack";
import { FailureDetector } from "../../src/cluster/failure-detector.ts";
import { Gossip, GOSSIP_MS, type OwnReport } from "../../src/cluster/gossip.ts";
import { decodeReports } from "../../src/cluster/node-report-format.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { type NodeId, nodeId } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import type { Clock } from "../../src/env/clock.ts";
import type { MemberRecord } from "../../src/record/member-format.ts";

class HandClock implements Clock {
  nowMs = 1000;
  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  after(): { cancel(): void } {
    throw new Error("gossip sets no timers");
  }
  soon(): void {
    throw new Error("gossip defers nothing");
  }
}

describe("suspicion", () => {
  test("grows with the silence, and the more so the more regular the signs of life were", () => {
    const regular = new FailureDetector(100, 0);
    const irregular = new FailureDetector(100, 0);
    const random = new Random(3);
    let nowMs = 0;
    for (let i = 0; i < 200; i++) {
      nowMs += 100;
      regular.heard(nowMs);
    }
    let irregularMs = 0;
    for (let i = 0; i < 200; i++) {
      irregularMs += random.between(10, 190);
      irregular.heard(irregularMs);
    }
    expect(regular.phi(nowMs + 100)).toBeLessThan(1);
    const phis = [150, 200, 300, 1000].map((silentMs) => regular.phi(nowMs + silentMs));
    expect(phis.toSorted((a, b) => a - b)).toEqual(phis);
    expect(phis[0]).toBeGreaterThan(5);
    expect(irregular.phi(irregularMs + 150)).toBeLessThan(2);
    expect(irregular.phi(irregularMs + 1000)).toBeGreaterThan(8);
  });

  test("a chance of one half is a third of a point, and what is beyond telling has an end", () => {
    const detector = new FailureDetector(100, 0);
    expect(detector.phi(100)).toBeCloseTo(Math.log10(2), 3);
    expect(detector.phi(1e9)).toBe(100);
    expect(detector.phi(0)).toBeGreaterThanOrEqual(0);
  });

  test("it learns anew when the intervals change", () => {
    const detector = new FailureDetector(100, 0);
    let nowMs = 0;
    for (let i = 0; i < 300; i++) {
      nowMs += 1000;
      detector.heard(nowMs);
    }
    expect(detector.phi(nowMs + 1000)).toBeLessThan(1);
  });
});

/** Nodes that gossip over links that can be cut. */
class Village {
  readonly clock = new HandClock();
  readonly nodes = new Map<NodeId, Gossip>();
  readonly dead = new Set<NodeId>();
  /** Who counts as a member; everybody else is a stranger. */
  readonly members = { get: (id: NodeId) => (this.strangers.has(id) ? null : memberOf(id)) };
  readonly strangers = new Set<NodeId>();
  readonly #cut = new Set<string>();
  readonly #random = new Random(11);

  constructor(count: number) {
    for (let id = 1; id <= count; id++) this.start(nodeId(id), 100 + id);
  }

  start(id: NodeId, session: number): void {
    const gossip = new Gossip(id, session, this.members, this.clock, this.#random, (to, body) => {
      if (!this.dead.has(to) && !this.#cut.has(`${id}-${to}`)) this.nodes.get(to)?.heard(id, body);
    });
    this.nodes.set(id, gossip);
    this.dead.delete(id);
  }

  cut(a: NodeId, b: NodeId): void {
    this.#cut.add(`${a}-${b}`).add(`${b}-${a}`);
  }

  rounds(count: number): void {
    for (let round = 0; round < count; round++) {
      this.clock.nowMs += GOSSIP_MS;
      for (const [id, gossip] of this.nodes) {
        const others = [...this.nodes.keys()].filter((other) => other !== id);
        if (!this.dead.has(id)) gossip.round(reportOf(id), others);
      }
    }
  }

  of(id: number): Gossip {
    return this.nodes.get(nodeId(id))!;
  }
}

function memberOf(id: NodeId): MemberRecord {
  return { id, name: `n${id}`, incarnation: "", peerAddress: "", rack: "", state: "member" };
}

function reportOf(id: number): OwnReport {
  return {
    membersVersion: 0,
    leads: [{ shard: id, term: 1, voters: [id], learners: [] }],
    pending: 0,
    debtBytes: 0,
    quarantined: 0,
    isWritable: true,
  };
}

describe("gossip", () => {
  test("each hears of all, and suspects nobody who lives", () => {
    const village = new Village(20);
    village.rounds(60);
    for (const [id, gossip] of village.nodes) {
      for (const other of village.nodes.keys()) {
        if (other === id) continue;
        expect(gossip.reportOf(other)?.leads[0]?.shard).toBe(other);
        expect(gossip.suspicionOf(other)).toBeLessThan(8);
      }
    }
  });

  test("a dead node is suspected by all, and not any more when it is back", () => {
    const village = new Village(5);
    village.rounds(30);
    village.dead.add(nodeId(3));
    village.rounds(15);
    for (const id of [1, 2, 4, 5]) expect(village.of(id).suspicionOf(nodeId(3))).toBeGreaterThan(8);
    village.start(nodeId(3), 777);
    village.rounds(10);
    for (const id of [1, 2, 4, 5]) {
      expect(village.of(id).reportOf(nodeId(3))?.session).toBe(777);
      expect(village.of(id).suspicionOf(nodeId(3))).toBeLessThan(8);
    }
  });

  test("news goes around a link that is cut", () => {
    const village = new Village(3);
    village.cut(nodeId(1), nodeId(3));
    village.rounds(40);
    expect(village.of(1).reportOf(nodeId(3))?.version).toBeGreaterThan(30);
    expect(village.of(1).suspicionOf(nodeId(3))).toBeLessThan(8);
  });

  test("who leads a shard is who claimed it in the highest term, while it is a member", () => {
    const village = new Village(3);
    const claim = (node: number, term: number) => ({
      ...reportOf(node),
      node,
      session: 9,
      version: term,
      leads: [{ shard: 7, term, voters: [1, 2], learners: [] }],
    });
    const hear = (node: number, term: number): void => village.of(1).heard(nodeId(node), encode([claim(node, term)]));
    expect(village.of(1).leadOf(7)).toBeNull();
    hear(2, 5);
    hear(3, 4);
    expect(village.of(1).leadOf(7)).toMatchObject({ node: 2, term: 5, voters: [1, 2] });
    hear(3, 6);
    expect(village.of(1).leadOf(7)?.node).toBe(nodeId(3));
    village.strangers.add(nodeId(3));
    village.of(1).forgetStrangers();
    expect(village.of(1).leadOf(7)).toBeNull();
  });

  test("of a node that was forgotten nothing is known, whoever still speaks of it", () => {
    const village = new Village(4);
    village.rounds(20);
    expect(village.of(1).reportOf(nodeId(4))).not.toBeNull();
    village.strangers.add(nodeId(4));
    for (const gossip of village.nodes.values()) gossip.forgetStrangers();
    village.rounds(20);
    for (const id of [1, 2, 3]) expect(village.of(id).reportOf(nodeId(4))).toBeNull();
  });

  test("what is no list of reports is refused", () => {
    const whole = { node: 1, session: 2, version: 3, ...reportOf(1) };
    const bad = [
      {},
      [1],
      [{ ...whole, version: -1 }],
      [{ ...whole, node: 65_536 }],
      [{ ...whole, leads: [{ shard: 1, term: 1, voters: [0], learners: [] }] }],
      [{ ...whole, isWritable: 1 }],
      Array(1001).fill(whole),
      null,
    ];
    expect(decodeReports(encode([whole]))).toEqual([whole]);
    for (const value of bad) expect(() => decodeReports(encode(value))).toThrow(EnvelopeError);
    expect(() => decodeReports(Uint8Array.of(0xc1))).toThrow(EnvelopeError);
  });
});
