/**
 * Users on real nodes: what one node is told holds on all of them and after a crash; a node that others can reach is never open by
 * oversight; guessing starves nobody; no secret lies anywhere in the clear.
 */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runAuditVerify } from "../../src/cli/audit.ts";
import { RespClient } from "../../src/client/resp-client.ts";
import { type Reply, replyText } from "../../src/client/reply.ts";
import { type Login, parseTargets } from "../../src/client/target.ts";
import { MAIN, TestCluster } from "./test-cluster.ts";

setDefaultTimeout(120_000);

const ROOT: Login = { user: "root", password: "the-root-password" };
const ANN: Login = { user: "ann", password: "the-ann-password" };

let cluster: TestCluster | null = null;
let directory = "";
let child: ReturnType<typeof Bun.spawn> | null = null;
afterEach(async () => {
  await cluster?.stop();
  cluster = null;
  child?.kill("SIGKILL");
  await child?.exited;
  child = null;
  if (directory !== "") rmSync(directory, { recursive: true, force: true });
  directory = "";
});

function connect(port: number, login: Login | null): Promise<RespClient> {
  return RespClient.connect({
    targets: parseTargets(`127.0.0.1:${port}`, login),
    connectTimeoutMs: 30_000,
    replyTimeoutMs: 30_000,
    protocol: 2,
    bucket: null,
    onPush: () => undefined,
  });
}

async function say(client: RespClient, ...words: string[]): Promise<string> {
  return shown(await client.command(...words));
}

function shown(reply: Reply): string {
  if (reply.kind === "error") return reply.code;
  return "items" in reply ? reply.items.map(shown).join(" ") : (replyText(reply) ?? "nil");
}

/** Until the node has heard of it: nothing else tells when. */
async function logIn(port: number, login: Login): Promise<RespClient> {
  for (;;) {
    try {
      return await connect(port, login);
    } catch {
      await Bun.sleep(100);
    }
  }
}

function contentsUnder(path: string): string {
  if (!statSync(path).isDirectory()) return readFileSync(path, "latin1");
  return readdirSync(path)
    .map((name) => contentsUnder(join(path, name)))
    .join("");
}

async function closeCluster(port: number): Promise<RespClient> {
  const founder = await connect(port, null);
  expect(await say(founder, "USER", "ADD", "root", "PASSWORD", ROOT.password, "ROLES", "admin,cluster")).toBe("OK");
  expect(await say(founder, "PING")).toBe("NOAUTH");
  founder.close();
  const root = await connect(port, ROOT);
  expect(await say(root, "USER", "ADD", "ann", "PASSWORD", ANN.password, "ROLES", "reader")).toBe("OK");
  return root;
}

test("users hold on every node, through a crash, and their end reaches whoever is connected anywhere", async () => {
  cluster = await TestCluster.start({ nodes: 3, shards: 2, workers: 0 });
  const [first = 0, second = 0, third = 0] = cluster.clientPorts;
  const root = await closeCluster(first);
  expect(await say(root, "SET", "k", "v")).toBe("OK");
  for (const port of [first, second, third]) {
    const reader = await logIn(port, ANN);
    expect([await say(reader, "GET", "k"), await say(reader, "SET", "k", "w")]).toEqual(["v", "NOPERM"]);
    const stranger = await connect(port, null);
    expect([await say(stranger, "GET", "k"), await say(stranger, "AUTH", "ann", "wrong")]).toEqual([
      "NOAUTH",
      "WRONGPASS",
    ]);
    for (const client of [reader, stranger]) client.close();
  }
  await cluster.kill(2);
  await cluster.restart(2);
  const stranger = await connect(third, null);
  expect(await say(stranger, "GET", "k")).toBe("NOAUTH");
  const reader = await logIn(third, ANN);
  expect(await say(reader, "GET", "k")).toBe("v");
  expect(await say(root, "USER", "DEL", "ann")).toBe("OK");
  // The connection is cut, and the next one is not let in.
  while ((await say(reader, "GET", "k").catch(() => "cut")) === "v") await Bun.sleep(50);
  expect(await connect(third, ANN).then(() => "in", String)).toContain("WRONGPASS");
  for (const client of [root, stranger, reader]) client.close();
  for (const node of cluster.nodes) expect(runAuditVerify(cluster.dataOf(node))).toBe(0);
});

test("a node without a replica of the catalog hears of users and of their end", async () => {
  cluster = await TestCluster.start({ nodes: 2, shards: 2, workers: 0, flags: ["--replication-factor", "1"] });
  const { clientPorts } = cluster;
  const holder = await cluster.leader(0);
  const other = holder === 0 ? 1 : 0;
  for (;;) {
    const status = await cluster.status(holder);
    if (status?.shards[0]?.voters.length === 1) break;
    await Bun.sleep(100);
  }
  const root = await closeCluster(clientPorts[holder] ?? 0);
  const reader = await logIn(clientPorts[other] ?? 0, ANN);
  expect(await say(reader, "SET", "k", "w")).toBe("NOPERM");
  expect(await say(root, "USER", "SET", "ann", "DISABLED")).toBe("OK");
  while ((await say(reader, "PING").catch(() => "cut")) === "PONG") await Bun.sleep(100);
  for (const client of [root, reader]) client.close();
});

test("a thousand wrong passwords are refused, and whoever is in goes on", async () => {
  cluster = await TestCluster.start({ nodes: 1, shards: 1, workers: 0 });
  const [port = 0] = cluster.clientPorts;
  const root = await closeCluster(port);
  const guesser = await connect(port, null);
  const guesses = Array.from({ length: 100 }, (_, at) => say(guesser, "AUTH", "ann", `guess-${at}`));
  const others = await Promise.all(Array.from({ length: 9 }, () => connect(port, null)));
  const more = others.flatMap((client) =>
    Array.from({ length: 100 }, (_, at) => say(client, "AUTH", `user${at}`, `guess-${at}`)),
  );
  for (let i = 0; i < 200; i++) expect(await say(root, "INCR", "counter")).toBe(`${i + 1}`);
  const answers = await Promise.all([...guesses, ...more]);
  expect(new Set(answers)).toEqual(new Set(["WRONGPASS", "RATELIMIT"]));
  expect(answers.filter((answer) => answer === "WRONGPASS").length).toBeLessThan(40);
  for (const client of [root, guesser, ...others]) client.close();
});

test("no password and no token lies in the data directory or in the log", async () => {
  cluster = await TestCluster.start({ nodes: 1, shards: 1, workers: 0, flags: ["--log-level", "debug"] });
  const [port = 0] = cluster.clientPorts;
  const root = await closeCluster(port);
  const issued = await say(root, "TOKEN", "ISSUE", "ann", "60");
  const token = /ey[\w-]+\.[\w-]+\.[\w-]+/.exec(issued)?.[0] ?? "none";
  const client = await connect(port, { user: "token", password: token });
  expect(await say(client, "ACL", "WHOAMI")).toBe("ann");
  for (const wrong of ["AUTH the-ann-password the-root-password", "HELLO 3 AUTH ann wrong-ann-password"]) {
    await say(client, ...wrong.split(" "));
  }
  client.close();
  root.close();
  const data = cluster.dataOf(0);
  const { errors } = await cluster.end(0, "SIGTERM");
  const everything = contentsUnder(data) + errors;
  expect(everything).toContain("user|add ann");
  for (const secret of [ROOT.password, ANN.password, "wrong-ann-password", token, token.split(".")[2] ?? ""]) {
    expect([secret, everything.includes(secret)]).toEqual([secret, false]);
  }
});

function startAlone(...flags: string[]): ReturnType<typeof Bun.spawn<"ignore", "pipe", "pipe">> {
  const ports = ["--peer", "127.0.0.1:0", "--http", "127.0.0.1:0"];
  const base = ["--data", join(directory, "data"), ...ports, "--shards", "1", "--workers", "0"];
  const command = [process.execPath, MAIN, "node", ...base, ...flags];
  const started = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  child = started;
  return started;
}

async function portOf(started: { readonly stdout: ReadableStream<Uint8Array> }): Promise<number> {
  const reader = started.stdout.getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the node did not start: ${text}`);
    text += new TextDecoder().decode(value);
  }
  reader.releaseLock();
  return Number(/:(\d+)\n/.exec(text)?.[1]);
}

test("a node that other machines can reach does not start open, except when it is told to be", async () => {
  directory = mkdtempSync(join(tmpdir(), "edb-access-"));
  const refused = startAlone("--client", "0.0.0.0:0");
  expect(await refused.exited).toBe(2);
  expect(await new Response(refused.stderr).text()).toContain("initialUser");

  const open = startAlone("--client", "0.0.0.0:0", "--insecure-open", "true");
  const client = await connect(await portOf(open), null);
  expect(await say(client, "SET", "k", "v")).toBe("OK");
  client.close();
  open.kill("SIGTERM");
  await open.exited;
  expect(await new Response(open.stderr).text()).toContain("INSECURE");

  const file = join(directory, "password");
  writeFileSync(file, `${ROOT.password}\n`);
  const closed = startAlone("--client", "0.0.0.0:0", "--initial-user", "root", "--initial-password-file", file);
  const port = await portOf(closed);
  const stranger = await connect(port, null);
  expect(await say(stranger, "GET", "k")).toBe("NOAUTH");
  const root = await connect(port, ROOT);
  expect([await say(root, "GET", "k"), await say(root, "USER", "LIST")]).toEqual(["v", "root"]);
  for (const one of [stranger, root]) one.close();
  closed.kill("SIGTERM");
  await closed.exited;

  // From then on it needs neither.
  const again = startAlone("--client", "0.0.0.0:0");
  const late = await connect(await portOf(again), ROOT);
  expect(await say(late, "GET", "k")).toBe("v");
  late.close();
});
