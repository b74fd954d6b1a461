/**
 * Which nodes each shard's replicas should be on. It follows from the members alone, so all nodes that know the same members
 * come to the same without a word. In this order of importance:
 *
 *   - a shard has `factor` replicas, or one on every member where there are not more; a leaving member has none
 *   - they are on as many racks as possible, and on each about equally many
 *   - no member has two replicas more than another, unless racks of different sizes make it so
 *   - a member that comes or goes moves few replicas
 *
 * Members have virtual nodes on a ring of tokens, shards one token each, and the nearest members behind it are preferred
 * (Karger et al., "Consistent Hashing and Random Trees", 1997): that moves little. Those that have most then give up one
 * replica at a time to members that have less, again to the nearest, until all are even (as Mirrokni et al. do with a looser bound in
 * "Consistent Hashing with Bounded Loads", 2018; there are few shards here, and one replica more is much). Main thread only; not on a hot
 * path.
 */
import { utf8 } from "../core/bytes.ts";
import type { NodeId } from "../core/ids.ts";
import { murmur3 } from "../core/murmur3.ts";
import type { MemberRecord } from "../record/member-format.ts";

const POINTS_PER_MEMBER = 64;

/** The ids of the members that have a replica, ascending, of each shard. */
export function placement(
  members: readonly MemberRecord[],
  factor: number,
  shardCount: number,
): readonly (readonly NodeId[])[] {
  const hosts = members.filter(({ state }) => state === "member").sort((a, b) => a.id - b.id);
  const everybody = hosts.map(({ id }) => id);
  if (hosts.length <= factor) return Array.from({ length: shardCount }, () => everybody);
  const layout = new Layout(hosts, factor, shardCount);
  layout.balance();
  return layout.replicas.map((positions) => positions.map((host) => everybody[host]!).sort((a, b) => a - b));
}

interface Move {
  readonly shard: number;
  readonly from: number;
  readonly to: number;
  /** How far the new host is from the shard's token, in hosts. */
  readonly distance: number;
}

/** A placement that is being made. Hosts are named by their positions among the hosts, racks by theirs among the racks. */
class Layout {
  readonly replicas: number[][] = [];
  readonly #rackOf: readonly number[];
  readonly #rackCount: number;
  /** By shard and host: how far it is from the shard's token. */
  readonly #distances: number[][] = [];
  readonly #loads: number[];

  constructor(hosts: readonly MemberRecord[], factor: number, shardCount: number) {
    const racks = [...new Set(hosts.map(({ rack }) => rack))];
    this.#rackOf = hosts.map(({ rack }) => racks.indexOf(rack));
    this.#rackCount = racks.length;
    this.#loads = hosts.map(() => 0);
    const ring = ringOf(hosts);
    for (let shard = 0; shard < shardCount; shard++) {
      const order = orderFrom(tokenOf(`shard/${shard}`), ring, hosts.length);
      const distances = hosts.map(() => 0);
      for (const [distance, host] of order.entries()) distances[host] = distance;
      this.#distances.push(distances);
      this.replicas.push(this.#nearest(order, factor));
    }
    for (const host of this.replicas.flat()) this.#loads[host]! += 1;
  }

  /** Moves replicas from hosts that have more to hosts that have less, as far as the racks allow. */
  balance(): void {
    for (let move = this.#evening(); move !== null; move = this.#evening()) {
      const replicas = this.replicas[move.shard]!;
      replicas[replicas.indexOf(move.from)] = move.to;
      this.#loads[move.from]! -= 1;
      this.#loads[move.to]! += 1;
    }
  }

  /** The first hosts of an order, each time of a rack that has fewest of them. */
  #nearest(order: readonly number[], factor: number): number[] {
    const chosen: number[] = [];
    const counts = this.#countsOf(chosen);
    while (chosen.length < factor) {
      const left = order.filter((host) => !chosen.includes(host));
      const fewest = Math.min(...left.map((host) => counts[this.#rackOf[host]!]!));
      const next = left.find((host) => counts[this.#rackOf[host]!] === fewest)!;
      chosen.push(next);
      counts[this.#rackOf[next]!]! += 1;
    }
    return chosen;
  }

  /** A move that makes two hosts more equal, off one that has as many as can be; null: there is none. */
  #evening(): Move | null {
    const byLoad = this.#loads.map((_, host) => host).sort((a, b) => this.#loads[b]! - this.#loads[a]! || a - b);
    for (const from of byLoad) {
      const move = this.#nearestMove(from, (to) => this.#loads[to]! + 1 < this.#loads[from]!);
      if (move !== null) return move;
    }
    return null;
  }

  #nearestMove(from: number, takes: (to: number) => boolean): Move | null {
    let best: Move | null = null;
    for (const [shard, replicas] of this.replicas.entries()) {
      if (!replicas.includes(from)) continue;
      const counts = this.#countsOf(replicas);
      for (const [to, distance] of this.#distances[shard]!.entries()) {
        if ((best !== null && distance >= best.distance) || replicas.includes(to) || !takes(to)) continue;
        const isSameRack = this.#rackOf[to] === this.#rackOf[from];
        if (isSameRack || counts[this.#rackOf[to]!]! < counts[this.#rackOf[from]!]!)
          best = { shard, from, to, distance };
      }
    }
    return best;
  }

  /** How many of some replicas are on each rack. */
  #countsOf(replicas: readonly number[]): number[] {
    const counts = Array.from({ length: this.#rackCount }, () => 0);
    for (const host of replicas) counts[this.#rackOf[host]!]! += 1;
    return counts;
  }
}

interface Point {
  readonly token: number;
  readonly host: number;
}

function ringOf(hosts: readonly MemberRecord[]): readonly Point[] {
  const points: Point[] = [];
  for (const [host, { id }] of hosts.entries()) {
    for (let point = 0; point < POINTS_PER_MEMBER; point++)
      points.push({ token: tokenOf(`node/${id}/${point}`), host });
  }
  return points.sort((a, b) => a.token - b.token || a.host - b.host);
}

/** All hosts, in the order in which they are met from a token on. */
function orderFrom(token: number, ring: readonly Point[], hostCount: number): readonly number[] {
  const first = Math.max(
    0,
    ring.findIndex((point) => point.token >= token),
  );
  const met = new Set<number>();
  for (let i = 0; met.size < hostCount; i++) met.add(ring[(first + i) % ring.length]!.host);
  return [...met];
}

function tokenOf(name: string): number {
  const bytes = utf8(name);
  return murmur3(bytes, 0, bytes.length, 0);
}
