/**
 * How nodes know of each other's health and load: in every round a node makes a new report of itself and sends all reports
 * it has to a few others, chosen by chance, so that news of any node reaches all within a few rounds, also around a link
 * that is cut. How long no news of a node has come is what it is suspected by. For display and routing, never for safety.
 * Main thread only.
 */
import { type NodeId, nodeId } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import type { Clock } from "../env/clock.ts";
import { FailureDetector } from "./failure-detector.ts";
import type { Members } from "./members.ts";
import { decodeReports, encodeReports, type LedShard, type NodeReport } from "./node-report-format.ts";

export const GOSSIP_MS = 1000;
/** Others that hear of a round. */
const FANOUT = 3;
/** From here on a silent node counts as gone: one in a hundred million. */
export const SUSPECT_PHI = 8;

/** Who leads a shard by the newest that was heard of it. */
export interface Lead extends LedShard {
  readonly node: NodeId;
}

export type OwnReport = Omit<NodeReport, "node" | "session" | "version">;

interface Known {
  report: NodeReport;
  readonly detector: FailureDetector;
}

export class Gossip {
  readonly #own: NodeId;
  readonly #session: number;
  readonly #members: Pick<Members, "get">;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #send: (to: NodeId, body: Uint8Array) => void;
  readonly #known = new Map<number, Known>();
  /** By shard, of the highest term that anybody has claimed. */
  readonly #leads = new Map<number, Lead>();
  #version = 0;
  #ownReport: NodeReport | null = null;

  constructor(
    own: NodeId,
    session: number,
    members: Pick<Members, "get">,
    clock: Clock,
    random: Random,
    send: (to: NodeId, body: Uint8Array) => void,
  ) {
    this.#own = own;
    this.#session = session;
    this.#members = members;
    this.#clock = clock;
    this.#random = random;
    this.#send = send;
  }

  /** Tells all of the others, who are connected, what is new of this node. */
  announce(report: OwnReport, others: readonly NodeId[]): void {
    const body = encodeReports([this.#newReport(report)]);
    for (const other of others) this.#send(other, body);
  }

  /** Tells some of the others, who are connected, what is known. */
  round(report: OwnReport, others: readonly NodeId[]): void {
    const own = this.#newReport(report);
    const body = encodeReports([own, ...[...this.#known.values()].map((known) => known.report)]);
    const candidates = [...others];
    for (let i = 0; i < FANOUT && candidates.length > 0; i++) {
      const [chosen] = candidates.splice(this.#random.below(candidates.length), 1);
      if (chosen !== undefined) this.#send(chosen, body);
    }
  }

  /** Reports have come. Throws PROTOCOL. */
  heard(from: NodeId, body: Uint8Array): void {
    const nowMs = this.#clock.monotonicMs();
    for (const report of decodeReports(body)) {
      if (report.node !== this.#own && this.#isMember(report.node)) this.#learn(report, report.node === from, nowMs);
    }
  }

  /** Members have come or gone. */
  forgetStrangers(): void {
    for (const id of this.#known.keys()) if (!this.#isMember(id)) this.#known.delete(id);
    for (const [shard, { node }] of this.#leads) if (!this.#isMember(node)) this.#leads.delete(shard);
  }

  /** What this node has last said of itself. */
  get ownReport(): NodeReport | null {
    return this.#ownReport;
  }

  /** What another node last said of itself, or null. */
  reportOf(node: NodeId): NodeReport | null {
    return this.#known.get(node)?.report ?? null;
  }

  /** Which other node leads a shard, or did last, by the word of any; null: nobody has said. */
  leadOf(shard: number): Lead | null {
    return this.#leads.get(shard) ?? null;
  }

  /** φ of a node (failure-detector.ts); 0 of one that was never heard of. */
  suspicionOf(node: NodeId): number {
    return this.#known.get(node)?.detector.phi(this.#clock.monotonicMs()) ?? 0;
  }

  #newReport(report: OwnReport): NodeReport {
    this.#version += 1;
    this.#ownReport = { node: this.#own, session: this.#session, version: this.#version, ...report };
    return this.#ownReport;
  }

  #isMember(id: number): boolean {
    return this.#members.get(nodeId(id)) !== null;
  }

  #learn(report: NodeReport, isOwnWord: boolean, nowMs: number): void {
    const known = this.#known.get(report.node);
    if (known === undefined) {
      this.#known.set(report.node, { report, detector: new FailureDetector(GOSSIP_MS, nowMs) });
      this.#learnLeads(report);
      return;
    }
    // Of two lives of a node, its own word tells which is the later one; others are believed when the known one is silent.
    const isSameLife = report.session === known.report.session;
    const isNews = isSameLife
      ? report.version > known.report.version
      : isOwnWord || known.detector.phi(nowMs) >= SUSPECT_PHI;
    if (!isNews) return;
    known.report = report;
    known.detector.heard(nowMs);
    this.#learnLeads(report);
  }

  #learnLeads({ node, leads }: NodeReport): void {
    for (const lead of leads) {
      const known = this.#leads.get(lead.shard);
      if (known === undefined || known.term <= lead.term) this.#leads.set(lead.shard, { ...lead, node: nodeId(node) });
    }
  }
}
