/** Asks running nodes for their /status and joins the answers into what the whole cluster looks like. */
import { z } from "zod";
import { authorizationOf, loginFromEnvironment } from "./login.ts";

const POLL_TIMEOUT_MS = 1_000;

const STATUS = z.object({
  node: z.string(),
  shards: z.array(z.object({ shard: z.int(), role: z.string(), term: z.number(), leader: z.string().nullable() })),
});
type Status = z.infer<typeof STATUS>;

export interface ShardLeader {
  readonly shard: number;
  /** Null: no node says that it leads. */
  readonly leader: string | null;
  readonly term: number;
}

/** Null when the node does not answer, or not with a status. */
async function askStatus(httpAddress: string, authority: string | null): Promise<Status | null> {
  try {
    const headers = authorizationOf(loginFromEnvironment(process.env));
    const signal = AbortSignal.timeout(POLL_TIMEOUT_MS);
    const response = await (authority === null
      ? fetch(`http://${httpAddress}/status`, { headers, signal })
      : fetch(`https://${httpAddress}/status`, { headers, signal, tls: { ca: authority } }));
    const parsed = STATUS.safeParse(await response.json());
    return parsed.success ? parsed.data : null;
  } catch (cause) {
    // Whatever keeps a node from answering (refused, reset, too slow, half a document) comes to the same.
    if (cause instanceof Error) return null;
    throw cause;
  }
}

/** The leader of each shard by its own word, of the highest term; ordered by shard. With an authority (PEM): over TLS. */
export async function shardLeaders(
  httpAddresses: readonly string[],
  authority: string | null,
): Promise<readonly ShardLeader[]> {
  const answers = await Promise.all(httpAddresses.map((address) => askStatus(address, authority)));
  const leaders = new Map<number, ShardLeader>();
  for (const answer of answers) {
    for (const { shard, role, term } of answer?.shards ?? []) {
      const known = leaders.get(shard);
      const isLeader = role === "leader";
      if (known === undefined) leaders.set(shard, { shard, leader: isLeader ? (answer?.node ?? null) : null, term });
      else if (isLeader && (known.leader === null || term > known.term)) {
        leaders.set(shard, { shard, leader: answer?.node ?? null, term });
      }
    }
  }
  return [...leaders.values()].sort((a, b) => a.shard - b.shard);
}
