import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { formatChildLine } from "../../src/cli/child-log.ts";
import { layOutCluster, nodeFlags } from "../../src/cli/cluster-layout.ts";
import { FakeServer } from "./fake-server.ts";
import { runMain, temporaryDirectory } from "./run-main.ts";

// Processes are started here, on machines that may be busy.
setDefaultTimeout(30_000);

async function takePort(): Promise<{ port: number; release: () => void }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, release: () => server.close() };
}

describe("the command line", () => {
  test("version prints the package's version", async () => {
    const run = await runMain(["version"]);
    expect(run).toMatchObject({ code: 0, err: "" });
    expect(run.out).toContain(`envelopedb ${packageJson.version}`);
  });

  test("help lists every subcommand and is no failure", async () => {
    const run = await runMain(["--help"]);
    expect(run.code).toBe(0);
    for (const name of ["node", "cluster", "certs", "cli", "import", "bench", "sim", "version"])
      expect(run.out).toContain(`\n  ${name}`);
  });

  test.each([
    [["nonsense"], "unknown command"],
    [["node", "--nonsense"], "unknown option"],
    [["node", "--heartbeat-ms", "x"], "heartbeatMs (from --heartbeat-ms)"],
    [["node", "--config", "/no/such/file.toml"], "/no/such/file.toml"],
    [["cluster", "--nodes", "0"], "from 1 to 99"],
    [["cluster", "--base-port", "65500"], "base-port 65500"],
    [["cli", "--target", "nowhere"], "host:port"],
    [["cli", "--tls-authority", "/no/such/ca.pem", "-c", "PING"], "/no/such/ca.pem cannot be read: ENOENT"],
    [["cli", "--tls-certificate", "/no/such/a.pem", "-c", "PING"], "together or not at all"],
    [["certs"], "--out"],
    [["import", "file"], "--key"],
    [["import", "f", "--key", "id", "--give-up-after", "soon"], "60s"],
    [["import", "-", "--key", "id", "--verify"], "standard input"],
    [["import", "-", "--key", "id", "--resume"], "--checkpoint"],
    [["bench", "--reads", "2"], "from 0 to 1"],
    [["bench", "--distribution", "normal"], "uniform"],
    [["sim", "galaxy"], "cluster"],
    [["sim", "cluster", "--weather", "fair"], "renewals"],
    [["sim", "engine", "--profile", "luck"], "bitrot"],
  ])("%j is refused with exit code 2 and a reason", async (args, reason) => {
    const run = await runMain(args);
    expect(run.err).toContain(reason);
    expect(run.code).toBe(2);
    expect(run.out).toBe("");
  });

  test("a setting from the environment is blamed on its variable", async () => {
    const run = await runMain(["node"], "", { ENVELOPEDB_SHARDS: "many" });
    expect(run.code).toBe(2);
    expect(run.err).toContain("shards (from ENVELOPEDB_SHARDS)");
  });
});

describe("cli", () => {
  test("runs one command and fails when it fails", async () => {
    await using server = await FakeServer.start();
    const target = ["cli", "--target", server.address];
    expect(await runMain([...target, "-c", 'SET user:1 {"name": "Alice", "score": 100}'])).toEqual({
      code: 0,
      out: "OK\n",
      err: "",
    });
    expect(server.values("0").get("user:1")).toBe('{"name": "Alice", "score": 100}');
    expect((await runMain([...target, "--no-raw", "-c", "GET user:2"])).out).toBe("(nil)\n");
    expect(await runMain([...target, "-c", "NONSENSE"])).toMatchObject({
      code: 1,
      out: "ERR unknown command 'NONSENSE'\n",
    });
    expect((await runMain([...target, "-c", 'GET "a'])).code).toBe(1);
  });

  test("runs the lines of a pipe in order, in the bucket asked for", async () => {
    await using server = await FakeServer.start();
    const lines = 'SET a "1 2"\n\nGET a\nUSE other\nGET a\n';
    const run = await runMain(["cli", "--target", server.address, "--bucket", "b"], lines);
    expect(run).toEqual({ code: 0, out: "OK\n1 2\nOK\n\n", err: "" });
    expect(server.values("b").get("a")).toBe("1 2");
  });

  test("keeps its bucket over a lost connection", async () => {
    await using server = await FakeServer.start();
    server.behave = (args) => (args[0] === "GET" ? "hangUp" : "normal");
    const run = await runMain(["cli", "--target", server.address], "USE b\nGET a\nSET a 1\n");
    expect(run.out).toContain("it may have been executed");
    expect(run.code).toBe(1);
    expect(server.values("b").get("a")).toBe("1");
  });
});

describe("cluster", () => {
  test("client ports count up from the base, peer ports are 100 above and HTTP ports 200", () => {
    const places = layOutCluster(3, 9001, "./data");
    expect(places.map((place) => [place.id, place.client, place.peer, place.http, place.data])).toEqual([
      ["n1", "127.0.0.1:9001", "127.0.0.1:9101", "127.0.0.1:9201", "./data/n1"],
      ["n2", "127.0.0.1:9002", "127.0.0.1:9102", "127.0.0.1:9202", "./data/n2"],
      ["n3", "127.0.0.1:9003", "127.0.0.1:9103", "127.0.0.1:9203", "./data/n3"],
    ]);
    const peers = "n1=127.0.0.1:9101,n2=127.0.0.1:9102,n3=127.0.0.1:9103";
    const [, second] = places;
    expect(second === undefined ? [] : nodeFlags(second, places, 8)).toContain(peers);
  });

  test("a port that is taken is named, and nothing is deleted or started", async () => {
    using directory = temporaryDirectory();
    const kept = join(directory.path, "n1/shard-0000/kept");
    mkdirSync(join(directory.path, "n1/shard-0000"), { recursive: true });
    writeFileSync(kept, "data");
    const { port, release } = await takePort();
    try {
      const base = String(port - 1);
      const run = await runMain(["cluster", "--clear", "--data", directory.path, "--base-port", base]);
      expect(run.code).toBe(2);
      expect(run.err).toMatch(new RegExp(`port ${port} \\(client port of n2\\)|port ${base} `));
      expect(existsSync(kept)).toBe(true);
      expect(readdirSync(directory.path)).toEqual(["n1"]);
    } finally {
      release();
    }
  });

  test("--clear deletes only what nodes have written", async () => {
    using directory = temporaryDirectory();
    mkdirSync(join(directory.path, "n1"));
    writeFileSync(join(directory.path, "n1/diary.txt"), "mine");
    const { port, release } = await takePort();
    release();
    const args = [
      "cluster",
      "--clear",
      "--nodes",
      "1",
      "--data",
      directory.path,
      "--base-port",
      String(Math.min(port, 60_000)),
    ];
    const run = await runMain(args);
    expect(run.code).toBe(2);
    expect(run.err).toContain("diary.txt");
    expect(existsSync(join(directory.path, "n1/diary.txt"))).toBe(true);
  });

  test("log lines of nodes carry their name; below a warning they are shown only on request", () => {
    const line = (level: number): string =>
      JSON.stringify({ level, time: 1, node: "n1", msg: "full", bytes: 3, path: "/d" });
    expect(formatChildLine("n1", line(40), false)).toBe("n1 | WARN full bytes=3 path=/d");
    expect(formatChildLine("n1", line(30), false)).toBeNull();
    expect(formatChildLine("n1", line(30), true)).toBe("n1 | info full bytes=3 path=/d");
    expect(formatChildLine("n1", "panic: {", false)).toBe("n1 | panic: {");
    expect(formatChildLine("n1", '{"level":', false)).toBe('n1 | {"level":');
  });
});
