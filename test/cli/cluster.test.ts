import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { runMain, spawnMain, temporaryDirectory } from "./run-main.ts";

setDefaultTimeout(60_000);

/** Shared machines stall for longer than a usual election timeout. */
const PATIENT = { ENVELOPEDB_ELECTION_MS: "1500", ENVELOPEDB_HEARTBEAT_MS: "150" };
const BASE_PORT_MIN = 20_000;
const BASE_PORT_RANGE = 10_000;

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** A base port of which all nine ports are free. */
async function freeBasePort(): Promise<number> {
  for (;;) {
    const base = BASE_PORT_MIN + Math.floor(Math.random() * BASE_PORT_RANGE);
    const ports = [0, 100, 200].flatMap((offset) => [0, 1, 2].map((i) => base + offset + i));
    const taken = await Promise.all(ports.map(isListening));
    if (!taken.includes(true)) return base;
  }
}

/** The text of a stream so far, and a wait for something to appear in it. */
function follow(stream: ReadableStream<Uint8Array>): { until(pattern: RegExp): Promise<RegExpExecArray> } {
  let text = "";
  let ended = false;
  let wake: () => void = () => undefined;
  const read = async (): Promise<void> => {
    for await (const chunk of stream) {
      text += new TextDecoder().decode(chunk);
      wake();
    }
    ended = true;
    wake();
  };
  void read();
  return {
    until: async (pattern) => {
      for (;;) {
        const found = pattern.exec(text);
        if (found !== null) return found;
        if (ended) throw new Error(`no ${pattern} in:\n${text}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

test("three processes make a cluster, a death is reported and survived, and all stop together", async () => {
  using directory = temporaryDirectory();
  const base = await freeBasePort();
  const cluster = spawnMain(["cluster", "--data", directory.path, "--base-port", String(base)], PATIENT);
  const out = follow(cluster.stdout);
  const err = follow(cluster.stderr);
  await out.until(/leaders: shard 0 n\d/);
  const cli = (node: number, line: string) => runMain(["cli", "--target", `127.0.0.1:${base + node - 1}`, "-c", line]);
  expect(await cli(1, 'SET user:1 {"name": "Alice"}')).toMatchObject({ code: 0, out: "OK\n" });
  const [, pid = ""] = await out.until(/n3 .* (\d+)\n/);
  process.kill(Number(pid), "SIGKILL");
  await err.until(/n3 has died \(signal SIGKILL\)/);
  for (;;) {
    const read = await cli(2, "GET user:1");
    if (read.out === '{"name": "Alice"}\n') break;
    // While a new leader is elected, the answer is an invitation to try again, and nothing else.
    expect(read.out).toMatch(/^(TRYAGAIN|UNKNOWN)/);
  }
  cluster.kill("SIGTERM");
  expect(await cluster.exited).toBe(0);
  expect(await Promise.all([0, 1, 2].map((i) => isListening(base + i)))).toEqual([false, false, false]);
});

test("nodes end when the process that started them is killed", async () => {
  using directory = temporaryDirectory();
  const base = await freeBasePort();
  const cluster = spawnMain(["cluster", "--data", directory.path, "--base-port", String(base)], PATIENT);
  await follow(cluster.stdout).until(/leaders: /);
  cluster.kill("SIGKILL");
  await cluster.exited;
  const someListen = async (): Promise<boolean> => {
    const found = await Promise.all([0, 1, 2].map((i) => isListening(base + i)));
    return found.includes(true);
  };
  while (await someListen()) await Bun.sleep(50);
});

test("a node stops cleanly on SIGTERM, after one line that says where it serves", async () => {
  using directory = temporaryDirectory();
  const addresses = ["--client", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--http", "127.0.0.1:0"];
  const node = spawnMain(["node", ...addresses, "--data", directory.path], PATIENT);
  const [ready] = await follow(node.stdout).until(/^.*\n/);
  expect(ready).toMatch(/^n1 ready on 127\.0\.0\.1:\d+\n$/);
  node.kill("SIGTERM");
  expect(await node.exited).toBe(0);
});

test("with --tls all ports have it, by certificates that are made once, and its own commands are told so", async () => {
  using directory = temporaryDirectory();
  const base = await freeBasePort();
  const authority = `${directory.path}/certs/ca.pem`;
  const serials: string[] = [];
  for (let round = 0; round < 2; round++) {
    const flags = ["cluster", "--tls", "--data", directory.path, "--base-port", String(base)];
    const cluster = spawnMain(flags, PATIENT);
    const out = follow(cluster.stdout);
    await out.until(/leaders: shard 0 n\d/);
    const target = `127.0.0.1:${base}`;
    const known = await runMain(["cli", "--target", target, "--tls-authority", authority, "-c", "INCR starts"]);
    expect(known).toMatchObject({ code: 0, out: `${round + 1}\n` });
    const plain = await runMain(["cli", "--target", target, "-c", "INCR starts"]);
    expect(plain.code).toBe(1);
    const stranger = await runMain(["cli", "--target", target, "--tls", "-c", "INCR starts"]);
    expect(stranger).toMatchObject({ code: 1, out: "" });
    const health = await fetch(`https://127.0.0.1:${base + 200}/health`, { tls: { ca: Bun.file(authority) } });
    expect(health.status).toBe(200);
    serials.push(await Bun.file(`${directory.path}/certs/n2.pem`).text());
    cluster.kill("SIGTERM");
    expect(await cluster.exited).toBe(0);
  }
  expect(serials[0]).toBe(serials[1] ?? "");
});
