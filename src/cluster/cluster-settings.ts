/** What a node of a cluster is told at its start: times, limits, and who its peers are. */

export interface PeerAddress {
  readonly name: string;
  readonly address: string;
}

export interface ClusterSettings {
  /** With a node's own name it makes the host name in that node's certificate. */
  readonly clusterName: string;
  /** Where this node listens for its peers. */
  readonly peerAddress: string;
  /** Where this node reaches members, itself included, whatever they say themselves. */
  readonly peers: readonly PeerAddress[];
  /** What this node shares with others that may fail together with it; empty: nothing. */
  readonly rack: string;
  /** Replicas of each shard; every node of a cluster must say the same. */
  readonly replicationFactor: number;
  readonly heartbeatMs: number;
  /** The least election timeout; the actual one is uniform between it and its double. */
  readonly electionMs: number;
  /** After this long an unanswered write is "unknown" and an unanswered read is given up. */
  readonly requestTimeoutMs: number;
  /** How sure writes are when they are answered (record/durability.ts), in buckets that do not say. */
  readonly durability: number;
  /** The longest value; every node of a cluster must say the same. */
  readonly valueBytesMax: number;
  /** Entry bytes of a shard that may be proposed and not committed. */
  readonly uncommittedBytesMax: number;
  /** Log that a shard keeps for members that are behind, once it is in tables. */
  readonly logRetainBytes: number;
  /** Entry bytes in one append message. */
  readonly appendBytesMax: number;
  /** Entry bytes, and appends, of a shard that may be on their way to one follower. */
  readonly inflightBytesMax: number;
  readonly inflightCountMax: number;
  /** Entry bytes each shard keeps in memory for followers that are a little behind. */
  readonly tailBytesMax: number;
}
