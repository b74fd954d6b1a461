/**
 * Real nodes in real processes, for tests: started from the checkout on free ports over a temporary directory, killed
 * and restarted by their own handle, and gone when the test is.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RespClient } from "../../src/client/resp-client.ts";
import { parseTargets, type TargetTls } from "../../src/client/target.ts";
import { PeerLinks } from "./peer-links.ts";

export const MAIN = join(import.meta.dir, "../../src/main.ts");
const SKEWED_CLOCK = join(import.meta.dir, "skewed-clock.ts");
const CLOCK_SKEW_VARIABLE = "EDB_TEST_CLOCK_SKEW_MS";
/** Shared machines are slow now and then: elections in tests wait five times as long as by default. */
const HEARTBEAT_MS = 150;
export const ELECTION_MS = 1_500;
const READY_MS_MAX = 60_000;
const REFUSED_MS_MAX = 15_000;
const REPLY_MS_MAX = 30_000;
/** A node that stands still does not keep those waiting who look around. */
const STATUS_MS_MAX = 1_000;

interface StatusDocument {
  readonly members: readonly { readonly name: string; readonly connected: boolean }[];
  readonly shards: readonly {
    readonly role: string;
    readonly term: number;
    readonly leader: string | null;
    readonly appliedIndex: number;
    readonly quarantined: number;
    readonly voters: readonly string[];
    readonly learners: readonly string[];
  }[];
}

interface RunningProcess {
  readonly child: ReturnType<typeof spawn>;
  readonly errors: Promise<string>;
}

export interface ClusterShape {
  readonly nodes: number;
  /** So many of them are there from the start; the others join when they are started. Default: all. */
  readonly founders?: number;
  readonly shards: number;
  readonly workers: number;
  /** More flags for every node. */
  readonly flags?: readonly string[];
  /** More flags, node by node. */
  readonly flagsOf?: (node: number) => readonly string[];
  /** How clients speak to nodes with TLS. */
  readonly tls?: TargetTls;
  /** The file of the authority that the nodes' HTTP ports are believed by; they are without TLS otherwise. */
  readonly httpAuthority?: string;
  /** An existing directory for the data, instead of the system's temporary one. */
  readonly under?: string;
  /** Data directories of nodes that have theirs elsewhere, by node. */
  readonly dataElsewhere?: ReadonlyMap<number, string>;
  /** The most file descriptors a node may have. */
  readonly descriptors?: number;
  /** How far the wall clocks of nodes are wrong, by node, in milliseconds; only where nodes have no workers. */
  readonly clockSkewMs?: ReadonlyMap<number, number>;
  /** The nodes reach each other through links that can be cut, held and slowed. */
  readonly linked?: boolean;
}

/** How a process ended that was not to serve: its exit code and what it wrote. */
export interface Ended {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

export class TestCluster {
  readonly directory: string;
  readonly clientPorts: readonly number[];
  readonly #httpPorts: readonly number[];
  readonly #peerPorts: readonly number[];
  readonly #links: PeerLinks | null;
  readonly #shape: ClusterShape;
  readonly #processes = new Map<number, RunningProcess>();

  private constructor(shape: ClusterShape, ports: readonly number[], links: PeerLinks | null) {
    this.directory = mkdtempSync(join(shape.under ?? tmpdir(), "edb-cluster-"));
    this.#shape = shape;
    this.clientPorts = ports.slice(0, shape.nodes);
    this.#httpPorts = ports.slice(shape.nodes, 2 * shape.nodes);
    this.#peerPorts = ports.slice(2 * shape.nodes);
    this.#links = links;
  }

  /** Starts all first nodes and waits until each shard has a leader. */
  static async start(shape: ClusterShape): Promise<TestCluster> {
    const links = shape.linked === true ? await PeerLinks.open(shape.nodes) : null;
    const ports = await freePorts(3 * shape.nodes);
    links?.leadTo(ports.slice(2 * shape.nodes));
    const cluster = new TestCluster(shape, ports, links);
    await Promise.all(Array.from({ length: shape.founders ?? shape.nodes }, (_, node) => cluster.restart(node)));
    await cluster.leader();
    return cluster;
  }

  get targets(): string {
    return this.clientPorts.map((port) => `127.0.0.1:${port}`).join(",");
  }

  get shardCount(): number {
    return this.#shape.shards;
  }

  get nodes(): readonly number[] {
    return this.clientPorts.map((_, node) => node);
  }

  /** Of a cluster that was started with them. */
  get links(): PeerLinks {
    if (this.#links === null) throw new Error("the cluster was started without links");
    return this.#links;
  }

  /** Where a node keeps its data. */
  dataOf(node: number): string {
    return this.#shape.dataElsewhere?.get(node) ?? join(this.directory, `n${node + 1}`);
  }

  /** Starts one node on what its directory holds. */
  async restart(node: number): Promise<void> {
    const child = this.#spawn(node, []);
    const errors = new Response(child.stderr).text();
    this.#processes.set(node, { child, errors });
    const ready = await firstLine(child.stdout, READY_MS_MAX);
    if (!ready.includes("ready on")) throw new Error(`n${node + 1} did not start: ${ready} ${await errors}`);
  }

  /** Starts a node that is expected not to serve, with flags that override its own, and waits for its end. */
  async startInVain(node: number, flags: readonly string[] = []): Promise<Ended> {
    const child = this.#spawn(node, flags);
    const tooLong = setTimeout(() => child.kill("SIGKILL"), REFUSED_MS_MAX);
    const output = new Response(child.stdout).text();
    const errors = new Response(child.stderr).text();
    const code = await child.exited;
    clearTimeout(tooLong);
    return { code, output: await output, errors: await errors };
  }

  /** Sends a signal that does not end the process. */
  signal(node: number, signal: "SIGSTOP" | "SIGCONT" | "SIGHUP"): void {
    process.kill(this.pid(node), signal);
  }

  /** `kill -9`: returns when the process is gone. */
  async kill(node: number): Promise<void> {
    await this.end(node, "SIGKILL");
  }

  /** Sends a signal and waits for the end; returns the exit code and what was written to standard error. */
  async end(node: number, signal: NodeJS.Signals): Promise<{ code: number; errors: string }> {
    const running = this.#processes.get(node);
    if (running === undefined) throw new Error(`n${node + 1} is not running`);
    this.#processes.delete(node);
    running.child.kill(signal);
    return { code: await running.child.exited, errors: await running.errors };
  }

  /** Waits until a node has ended by itself. */
  async ended(node: number): Promise<{ code: number; errors: string }> {
    const running = this.#processes.get(node);
    if (running === undefined) throw new Error(`n${node + 1} is not running`);
    const code = await running.child.exited;
    this.#processes.delete(node);
    return { code, errors: await running.errors };
  }

  pid(node: number): number {
    return this.#processes.get(node)?.child.pid ?? 0;
  }

  /** The node that leads a shard, once one of those asked does and says so. */
  async leader(shard = 0, asked: readonly number[] = this.nodes): Promise<number> {
    for (;;) {
      for (const node of asked) {
        if (!this.#processes.has(node)) continue;
        const status = await this.status(node);
        const found = status?.shards[shard];
        if (found?.role === "leader" && found.leader === `n${node + 1}` && (await this.#answers(node))) return node;
      }
      await Bun.sleep(20);
    }
  }

  async status(node: number): Promise<StatusDocument | null> {
    try {
      const signal = AbortSignal.timeout(STATUS_MS_MAX);
      const { httpAuthority } = this.#shape;
      const place = `127.0.0.1:${this.#httpPorts[node]}/status`;
      const response = await (httpAuthority === undefined
        ? fetch(`http://${place}`, { signal })
        : fetch(`https://${place}`, { signal, tls: { ca: readFileSync(httpAuthority) } }));
      return (await response.json()) as StatusDocument;
    } catch (cause) {
      if (cause instanceof Error) return null;
      throw cause;
    }
  }

  /** Waits until all nodes have applied what `ahead` has now. */
  async caughtUp(ahead: number): Promise<void> {
    const applied = async (node: number): Promise<number> => (await this.status(node))?.shards[0]?.appliedIndex ?? 0;
    const wanted = await applied(ahead);
    for (const node of this.nodes) while ((await applied(node)) < wanted) await Bun.sleep(50);
  }

  client(nodes: readonly number[], replyTimeoutMs = REPLY_MS_MAX): Promise<RespClient> {
    const { tls = null } = this.#shape;
    const addresses = nodes.map((node) => `127.0.0.1:${this.clientPorts[node]}`).join(",");
    const targets = parseTargets(addresses).map((target) => ({ ...target, tls }));
    return RespClient.connect({
      targets,
      connectTimeoutMs: 5_000,
      replyTimeoutMs,
      protocol: 2,
      bucket: null,
      onPush: () => undefined,
    });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#processes.keys()].map((node) => this.end(node, "SIGKILL")));
    this.#links?.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  #spawn(node: number, flags: readonly string[]) {
    const { descriptors, clockSkewMs } = this.#shape;
    const skewMs = clockSkewMs?.get(node) ?? 0;
    const preload = skewMs === 0 ? [] : ["--preload", SKEWED_CLOCK];
    const command = [process.execPath, ...preload, MAIN, "node", ...this.#flags(node), ...flags];
    const limited = ["sh", "-c", `ulimit -n ${descriptors} && exec "$@"`, "sh", ...command];
    return spawn(descriptors === undefined ? command : limited, skewMs);
  }

  #flags(node: number): string[] {
    return [
      ...["--id", `n${node + 1}`, "--data", this.dataOf(node), ...this.#membershipOf(node)],
      ...["--client", `127.0.0.1:${this.clientPorts[node]}`, "--http", `127.0.0.1:${this.#httpPorts[node]}`],
      ...["--shards", String(this.#shape.shards), "--workers", String(this.#shape.workers)],
      ...["--heartbeat-ms", String(HEARTBEAT_MS), "--election-ms", String(ELECTION_MS), "--log-level", "warn"],
      ...(this.#shape.flags ?? []),
      ...(this.#shape.flagsOf?.(node) ?? []),
    ];
  }

  #membershipOf(node: number): string[] {
    if (node < this.#founderCount) return ["--peers", this.#peersOf(node)];
    return ["--peer", `127.0.0.1:${this.#peerPorts[node]}`, "--join", this.peerAddressOf(0)];
  }

  get #founderCount(): number {
    return this.#shape.founders ?? this.#shape.nodes;
  }

  peerAddressOf(node: number): string {
    return `127.0.0.1:${this.#peerPorts[node]}`;
  }

  /** Where a node finds the others, and where it listens for them itself. */
  #peersOf(node: number): string {
    const portOf = (other: number, port: number): number =>
      other === node || this.#links === null ? port : this.#links.link(node, other).port;
    const founders = this.#peerPorts.slice(0, this.#founderCount);
    return founders.map((port, other) => `n${other + 1}=127.0.0.1:${portOf(other, port)}`).join(",");
  }

  /** Whether a read through this node is answered: it knows a leader that accepts. */
  async #answers(node: number): Promise<boolean> {
    const client = await this.client([node]);
    const reply = await client.command("GET", "is-anybody-there");
    client.close();
    return reply.kind !== "error";
  }
}

function spawn(command: string[], clockSkewMs: number) {
  const env = { ...process.env, [CLOCK_SKEW_VARIABLE]: String(clockSkewMs) };
  return Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe", env });
}

async function firstLine(stream: ReadableStream<Uint8Array>, msMax: number): Promise<string> {
  const reader = stream.getReader();
  const deadline = Bun.sleep(msMax).then(() => ({ done: true as const, value: undefined }));
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await Promise.race([reader.read(), deadline]);
    if (done) break;
    text += new TextDecoder().decode(value);
  }
  reader.releaseLock();
  return text;
}

/** Ports that nobody listened on a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer();
          server.listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
