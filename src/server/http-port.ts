/**
 * The HTTP port of a node: two small documents for people and for supervisors.
 *
 *   GET /health   200 when every shard of this node knows a leader, 503 otherwise; {"status", "shardsWithoutLeader"}
 *   GET /status   what the node knows of itself, as JSON (NodeStatus)
 *
 * It only reads, through one callback; everything else answers 404 or 405. Main thread only.
 */
import type { MemberStatus, ShardStatus } from "../cluster/coordinator.ts";
import { EnvelopeError } from "../core/errors.ts";

const REQUEST_BYTES_MAX = 16 * 1024;
const IDLE_SECONDS = 10;

export interface NodeStatus {
  readonly node: string;
  readonly cluster: string;
  readonly version: string;
  readonly addresses: { readonly client: string; readonly peer: string; readonly http: string };
  readonly shards: readonly ShardStatus[];
  readonly members: readonly MemberStatus[];
  readonly figures: Readonly<Record<string, number>>;
}

export interface HttpPort {
  /** host:port as bound, so that port 0 is answered with the one taken. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Binds `host`:`port` (0: a free one). Throws EnvelopeError CONFIG when the address cannot be had. */
export function startHttpPort(host: string, port: number, status: () => NodeStatus): HttpPort {
  try {
    const server = Bun.serve({
      hostname: host,
      port,
      idleTimeout: IDLE_SECONDS,
      maxRequestBodySize: REQUEST_BYTES_MAX,
      fetch: (request) => answer(request, status),
      error: () => json(500, { error: { code: "IO", message: "the status could not be read" } }),
    });
    const shownHost = host.includes(":") ? `[${host}]` : host;
    return { address: `${shownHost}:${server.port}`, stop: () => server.stop(true) };
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new EnvelopeError(
      "CONFIG",
      `cannot listen for HTTP on ${host}:${port}: ${why}; choose another address or stop its owner`,
    );
  }
}

function answer(request: Request, status: () => NodeStatus): Response {
  const path = new URL(request.url).pathname;
  if (path !== "/health" && path !== "/status") return json(404, problem(`nothing at ${path}; try /health or /status`));
  if (request.method !== "GET" && request.method !== "HEAD") return json(405, problem("only GET is answered here"));
  return path === "/status" ? json(200, status()) : health(status());
}

function health(status: NodeStatus): Response {
  const orphans = status.shards.filter((shard) => shard.leader === null).map((shard) => shard.shard);
  const healthy = orphans.length === 0;
  return json(healthy ? 200 : 503, {
    status: healthy ? "ok" : "unavailable",
    node: status.node,
    shardsWithoutLeader: orphans,
  });
}

function problem(message: string): { error: { code: string; message: string } } {
  return { error: { code: "INVALID_ARGUMENT", message } };
}

function json(statusCode: number, body: unknown): Response {
  return Response.json(body, { status: statusCode, headers: { "cache-control": "no-store" } });
}
