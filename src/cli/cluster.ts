/**
 * `cluster`: several nodes on this machine, each a process of its own, so that one can be killed like a machine that
 * fails. It starts them, shows where they are and who leads, reports what changes, and stops them together.
 *
 * Each child's standard input is a pipe held by this process and nothing else is: closing it asks the child to stop, and
 * it closes by itself however this process ends, so no child outlives it. Dead nodes are reported and not restarted.
 */
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { EnvelopeError } from "../core/errors.ts";
import { RealDisk } from "../env/real-disk.ts";
import { authorityFile, certificateFlags, writeCertificates } from "./certs.ts";
import { formatChildLine, streamLines } from "./child-log.ts";
import { layOutCluster, type NodePlace, nodeFlags, requireFreePorts } from "./cluster-layout.ts";
import { type ShardLeader, shardLeaders } from "./cluster-status.ts";
import { launcherGone } from "./launcher.ts";
import { stopSignals, whenAborted } from "./stop-signals.ts";
import { textTable } from "./text-table.ts";

const READY_MS_MAX = 120_000;
const STOP_MS_MAX = 5_000;
const FIRST_LEADERS_MS = 10_000;
const POLL_FAST_MS = 100;
const POLL_MS = 1_000;
const LAST_LINES = 20;
/** As nodes are told by the default of their setting. */
const CLUSTER = "envelopedb";
const LOCAL_HOSTS = ["localhost", "127.0.0.1", "::1"];
const CERTIFICATE_DAYS = 365;
const TLS_EVERYWHERE = ["--tls-client", "on", "--tls-peer", "on", "--tls-http", "on"];

export interface ClusterOptions {
  readonly nodes: number;
  readonly basePort: number;
  readonly data: string;
  /** Delete the nodes' data directories first. */
  readonly clear: boolean;
  /** TLS on all ports, with certificates of its own authority. */
  readonly tls: boolean;
  /** Further flags for every node. */
  readonly nodeFlags: readonly string[];
  /** Show all log lines, not only warnings and errors. */
  readonly verbose: boolean;
}

/** Runs until a signal or until every node has died; returns the exit code. A second signal kills the nodes. */
export async function runCluster(options: ClusterOptions): Promise<number> {
  const places = layOutCluster(options.nodes, options.basePort, options.data);
  await requireFreePorts(places);
  prepareDirectories(places, options.clear);
  const certificates = options.tls ? await certificatesFor(places, options.data) : null;
  const children = places.map((place) => new NodeProcess(place, places, options, certificates));
  const signals = stopSignals([], () => {
    for (const child of children) child.kill();
  });
  const stop = AbortSignal.any([signals, launcherGone()]);
  const stopping = whenAborted(stop).then(() => "stop" as const);
  try {
    const ready = Promise.all(children.map((child) => child.ready()));
    // When the stop wins, children end before they are ready, and nobody waits for that any more.
    ready.catch(() => undefined);
    if ((await Promise.race([ready, stopping])) === "stop") return 0;
    process.stdout.write(table(places, children, options.data, certificates));
    return await watch(children, certificates, stop, stopping);
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

/**
 * All nodes of a local cluster compile the same code at once, on cores they share. Without JavaScriptCore's most
 * thorough and slowest compiler, and with the next one starting early, the first seconds are half again as fast and
 * later ones no slower (docs/benchmarks.md). The environment of this command has the last word.
 */
const QUICK_COMPILER = { BUN_JSC_useFTLJIT: "0", BUN_JSC_jitPolicyScale: "0.4" };

class NodeProcess {
  readonly place: NodePlace;
  readonly flags: readonly string[];
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #lastLines: string[] = [];
  readonly #ready: Promise<void>;
  readonly #output: Promise<unknown>;
  isStopping = false;

  constructor(place: NodePlace, all: readonly NodePlace[], options: ClusterOptions, certificates: string | null) {
    this.place = place;
    const tls = certificates === null ? [] : [...certificateFlags(certificates, place.id), ...TLS_EVERYWHERE];
    this.flags = [...nodeFlags(place, all, availableParallelism()), ...tls, ...options.nodeFlags];
    // The same program as this one, whatever way it was started.
    this.#child = Bun.spawn([process.execPath, Bun.main, "node", ...this.flags, "--exit-with-parent"], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...QUICK_COMPILER, ...process.env },
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ready = promise;
    this.#output = Promise.all([this.#followOutput(resolve), this.#followLog(options.verbose)]);
  }

  get pid(): number {
    return this.#child.pid;
  }

  get exited(): Promise<number> {
    return this.#child.exited;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** "exit code 1" or "signal SIGKILL", once it has ended. */
  get ending(): string {
    const { signalCode, exitCode } = this.#child;
    return signalCode === null ? `exit code ${exitCode}` : `signal ${signalCode}`;
  }

  /** Resolves when it serves; throws UNAVAILABLE with its last words when it ends before, or takes too long. */
  async ready(): Promise<void> {
    const { id } = this.place;
    const timeout = Bun.sleep(READY_MS_MAX).then(() => "timeout" as const);
    const first = await Promise.race([this.#ready, this.exited.then(() => "ended" as const), timeout]);
    if (first === undefined) return;
    if (first === "timeout")
      throw new EnvelopeError("UNAVAILABLE", `${id} was not ready within ${READY_MS_MAX / 1000} s`);
    await this.#output;
    const lastWords = this.#lastLines.map((line) => `\n  ${line}`).join("");
    throw new EnvelopeError("UNAVAILABLE", `${id} ended before it was ready (${this.ending})${lastWords}`);
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    if (this.isRunning) {
      await this.#child.stdin.end();
      const late = setTimeout(() => this.kill(), STOP_MS_MAX);
      await this.exited;
      clearTimeout(late);
    }
    await this.#output;
  }

  kill(): void {
    if (this.isRunning) this.#child.kill("SIGKILL");
  }

  async #followOutput(ready: () => void): Promise<void> {
    for await (const line of streamLines(this.#child.stdout)) {
      if (line.startsWith(`${this.place.id} ready on `)) ready();
      else if (line !== "") process.stdout.write(`${this.place.id} | ${line}\n`);
    }
  }

  async #followLog(verbose: boolean): Promise<void> {
    for await (const line of streamLines(this.#child.stderr)) {
      const everything = formatChildLine(this.place.id, line, true);
      if (everything === null) continue;
      this.#lastLines.push(everything);
      if (this.#lastLines.length > LAST_LINES) this.#lastLines.shift();
      const shown = formatChildLine(this.place.id, line, verbose);
      if (shown !== null) process.stderr.write(`${shown}\n`);
    }
  }
}

/** Reports leaders and deaths until it is told to stop (0) or nobody is left (1). */
async function watch(
  children: readonly NodeProcess[],
  certificates: string | null,
  stop: AbortSignal,
  stopping: Promise<"stop">,
): Promise<number> {
  const authority = certificates === null ? null : readFileSync(authorityFile(certificates), "utf8");
  for (const child of children) void child.exited.then(() => reportDeath(child, stop));
  const allDead = Promise.all(children.map((child) => child.exited)).then(() => "dead" as const);
  const startedAt = performance.now();
  let known = "";
  for (;;) {
    const running = children.filter((child) => child.isRunning).map((child) => child.place.http);
    const leaders = await shardLeaders(running, authority);
    if (stop.aborted) return 0;
    const complete = leaders.length > 0 && leaders.every((shard) => shard.leader !== null);
    const isSettling = known === "" && performance.now() - startedAt < FIRST_LEADERS_MS;
    const now = describeLeaders(leaders);
    if (now !== known && (complete || !isSettling)) {
      process.stdout.write(`${now}\n`);
      known = now;
    }
    const pause = Bun.sleep(known === "" ? POLL_FAST_MS : POLL_MS);
    const next = await Promise.race([pause, stopping, allDead]);
    if (next === "stop") return 0;
    if (next === "dead") return stop.aborted ? 0 : 1;
  }
}

function reportDeath(child: NodeProcess, stop: AbortSignal): void {
  if (stop.aborted || child.isStopping) return;
  const { id } = child.place;
  process.stderr.write(
    `${id} has died (${child.ending}). Start it again with:\n  bun run node ${child.flags.join(" ")}\n`,
  );
}

function describeLeaders(leaders: readonly ShardLeader[]): string {
  const each = leaders.map(({ shard, leader, term }) => `shard ${shard} ${leader ?? "none"} (term ${term})`);
  return each.length === 0 ? "leaders: no node answers" : `leaders: ${each.join(", ")}`;
}

function table(
  places: readonly NodePlace[],
  children: readonly NodeProcess[],
  data: string,
  certificates: string | null,
): string {
  const rows = [["node", "client", "peer", "http", "pid"]].concat(
    places.map((place, i) => [place.id, place.client, place.peer, place.http, String(children[i]?.pid ?? "")]),
  );
  const [first] = places;
  const port = first?.client.split(":").at(-1) ?? "9001";
  const ca = certificates === null ? null : authorityFile(certificates);
  return `EnvelopeDB: ${places.length} nodes, data in ${data}${ca === null ? "" : ", TLS on all ports"}

${textTable(rows)}

connect to any of them:  bun run cli --target ${first?.client}${ca === null ? "" : ` --tls-authority ${ca}`}
                         redis-cli -p ${port}${ca === null ? "" : ` --tls --cacert ${ca}`}
                         ${ca === null ? `telnet 127.0.0.1 ${port}` : `openssl s_client -quiet -connect 127.0.0.1:${port}`}
status:                  ${ca === null ? "http" : "https"}://${first?.http}/status
stop all:                Ctrl-C

`;
}

/** The directory with a certificate for each of them: those that are there already, and new ones. */
async function certificatesFor(places: readonly NodePlace[], data: string): Promise<string> {
  const out = join(data, "certs");
  const nodes = places.map(({ id }) => id).filter((id) => !existsSync(join(out, `${id}.pem`)));
  const clients = existsSync(join(out, "client.pem")) ? [] : ["client"];
  await writeCertificates({ out, cluster: CLUSTER, nodes, hosts: LOCAL_HOSTS, clients, days: CERTIFICATE_DAYS });
  return out;
}

/** Takes each directory for a moment, so that nothing is deleted under a node that runs. Throws DIRECTORY_IN_USE. */
function prepareDirectories(places: readonly NodePlace[], clear: boolean): void {
  const disk = new RealDisk();
  for (const { data } of places) {
    const existed = disk.exists(data);
    disk.makeDirectory(data);
    disk.lock(data).release();
    if (!clear || !existed) continue;
    const strangers = disk
      .list(data)
      .filter((name) => !/^(LOCK|LOCK\.pid|node\.meta.*|audit\.log(\.\d+)?|shard-\d+)$/.test(name));
    if (strangers.length > 0) {
      const what = `${data} holds ${strangers.slice(0, 3).join(", ")}, which no node has put there`;
      throw new EnvelopeError("CONFIG", `${what}: not cleared`);
    }
    disk.removeTree(data);
  }
}
