/**
 * The HTTP port of a node: two small documents for people and for supervisors.
 *
 *   GET /health   200 when every shard of this node knows a leader, 503 otherwise; {"status", "shardsWithoutLeader"}
 *   GET /status   what the node knows of itself, as JSON (NodeStatus)
 *
 * On a node that is not open, /status takes a login: `Authorization: Basic` with user and password, or `Bearer` with a token.
 * It only reads, through one callback; everything else answers 400, 404 or 405. Main thread only.
 */
import type { MemberStatus, ShardStatus } from "../cluster/coordinator.ts";
import { text, utf8 } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { Access, LoginOutcome } from "./access/access.ts";

const REQUEST_BYTES_MAX = 16 * 1024;
const IDLE_SECONDS = 10;

export interface NodeStatus {
  readonly node: string;
  readonly cluster: string;
  readonly version: string;
  /** Null: the node does not listen for such. */
  readonly addresses: { readonly client: string; readonly peer: string | null; readonly http: string | null };
  readonly shards: readonly ShardStatus[];
  readonly members: readonly MemberStatus[];
  readonly figures: Readonly<Record<string, number>>;
}

export interface HttpPort {
  /** host:port as bound, so that port 0 is answered with the one taken. */
  readonly address: string;
  stop(): Promise<void>;
}

/** TLS for this port. */
export interface HttpTls {
  /** As of now. */
  readonly options: () => Bun.TLSOptions;
  readonly onChange: (run: () => void) => void;
  /** Calls back after a while. */
  readonly later: (run: () => void) => void;
}

/**
 * Binds `host`:`port` (0: a free one), with TLS unless `tls` is null. Throws EnvelopeError CONFIG when the address cannot be
 * had.
 */
export function startHttpPort(
  host: string,
  port: number,
  access: Access,
  status: () => NodeStatus,
  tls: HttpTls | null,
): HttpPort {
  const serve = (onPort: number) =>
    Bun.serve({
      hostname: host,
      port: onPort,
      ...(tls === null ? {} : { tls: tls.options() }),
      idleTimeout: IDLE_SECONDS,
      maxRequestBodySize: REQUEST_BYTES_MAX,
      fetch: (request, self) => answer(request, self.requestIP(request)?.address ?? "", access, status),
      error: () => json(500, { error: { code: "IO", message: "the status could not be read" } }),
    });
  try {
    let server = serve(port);
    const boundPort = server.port ?? port;
    let isStopped = false;
    // Bun gives a server that runs no other certificate: its port is closed and opened again, and answers go on.
    const openAnew = (): void => {
      if (isStopped) return;
      void server.stop(false);
      try {
        server = serve(boundPort);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== "EADDRINUSE") throw cause;
        tls?.later(openAnew);
      }
    };
    tls?.onChange(openAnew);
    const shownHost = host.includes(":") ? `[${host}]` : host;
    const stop = (): Promise<void> => {
      isStopped = true;
      return server.stop(true);
    };
    return { address: `${shownHost}:${boundPort}`, stop };
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new EnvelopeError(
      "CONFIG",
      `cannot listen for HTTP on ${host}:${port}: ${why}; choose another address or stop its owner`,
    );
  }
}

async function answer(request: Request, host: string, access: Access, status: () => NodeStatus): Promise<Response> {
  const path = URL.parse(request.url)?.pathname;
  if (path === undefined) return json(400, problem("path and host make no URL"));
  if (path !== "/health" && path !== "/status") return json(404, problem(`nothing at ${path}; try /health or /status`));
  if (request.method !== "GET" && request.method !== "HEAD") return json(405, problem("only GET is answered here"));
  if (path === "/health") return health(status());
  if (!access.isOpen && !(await mayEnter(request.headers.get("authorization"), host, access))) return refuse();
  return json(200, status());
}

/** Whether a header names a user and their password, or a token that is good. */
async function mayEnter(header: string | null, host: string, access: Access): Promise<boolean> {
  const [scheme = "", credentials = ""] = (header ?? "").split(" ");
  const isToken = scheme.toLowerCase() === "bearer";
  const pair = isToken ? `token:${credentials}` : basicPair(scheme, credentials);
  if (pair === null) return false;
  const colon = pair.indexOf(":");
  const outcome = await new Promise<LoginOutcome>((resolve) =>
    access.login(pair.slice(0, colon), utf8(pair.slice(colon + 1)), `${host}:0`, resolve),
  );
  return outcome.kind === "in";
}

/** "user:password" as Basic has it (RFC 7617); null: it is no such thing. */
function basicPair(scheme: string, credentials: string): string | null {
  if (scheme.toLowerCase() !== "basic") return null;
  try {
    const pair = text(Uint8Array.fromBase64(credentials));
    return pair.includes(":") ? pair : null;
  } catch (cause) {
    if (cause instanceof SyntaxError) return null;
    throw cause;
  }
}

function refuse(): Response {
  const body = { error: { code: "UNAUTHENTICATED", message: "log in with a password (Basic) or a token (Bearer)" } };
  return json(401, body, { "www-authenticate": 'Basic realm="envelopedb", Bearer' });
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

function json(statusCode: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  return Response.json(body, { status: statusCode, headers: { "cache-control": "no-store", ...headers } });
}
