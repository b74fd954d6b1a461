/**
 * Raft's times in ticks of its own clock, and the length of a lease on the leader's.
 *
 * A voter that has heard the leader counts `electionTicks` ticks before it helps to replace it. The first may come at once,
 * and no tick comes early, so it keeps still for at least electionTicks − 1 ticks of its own clock. The leader counts from
 * before the heartbeat left, on its monotonic clock, and trusts only a part of that time: clocks whose rates differ by less
 * than a quarter cannot make the lease outlast the promise. A clock that is stopped, as a paused process sees it, only
 * keeps its promise for longer.
 */
export interface RaftTimes {
  readonly tickMs: number;
  readonly heartbeatTicks: number;
  readonly electionTicks: number;
  readonly leaseMs: number;
}

/** Ticks in a heartbeat: the resolution of Raft's clock. */
const TICKS_PER_HEARTBEAT = 3;
/** Of the time a voter keeps still at least: what is left for clocks that run at different rates. */
const LEASE_SHARE = 0.8;

/** `electionMs`: the least election timeout. */
export function raftTimes(heartbeatMs: number, electionMs: number): RaftTimes {
  const tickMs = heartbeatMs / TICKS_PER_HEARTBEAT;
  const electionTicks = Math.max(TICKS_PER_HEARTBEAT + 1, Math.round(electionMs / tickMs));
  const leaseMs = (electionTicks - 1) * tickMs * LEASE_SHARE;
  return { tickMs, heartbeatTicks: TICKS_PER_HEARTBEAT, electionTicks, leaseMs };
}
