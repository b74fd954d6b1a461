import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { ReliablePipeline } from "../../src/client/reliable-pipeline.ts";
import { type Reply, replyText } from "../../src/client/reply.ts";
import { encodeRequest } from "../../src/client/request.ts";
import { RespClient } from "../../src/client/resp-client.ts";
import { parseTargets } from "../../src/client/target.ts";
import { FakeServer } from "./fake-server.ts";
import { temporaryDirectory } from "./run-main.ts";

// Processes are started here, on machines that may be busy.
setDefaultTimeout(30_000);

/** An address that refuses connections: the port was free a moment ago. */
async function deadAddress(): Promise<string> {
  const server = await FakeServer.start();
  await server.stop();
  return server.address;
}

function connect(addresses: readonly string[], bucket: string | null = null, replyTimeoutMs = 5_000) {
  return RespClient.connect({
    targets: parseTargets(addresses.join(",")),
    connectTimeoutMs: 2_000,
    replyTimeoutMs,
    protocol: 3,
    bucket,
    onPush: () => undefined,
  });
}

describe("the client", () => {
  test("answers requests issued together in their order", async () => {
    await using server = await FakeServer.start();
    const client = await connect([server.address]);
    const requests: Promise<Reply>[] = [];
    for (let i = 0; i < 500; i++)
      requests.push(client.command("SET", `k${i}`, `v${i}`), client.command("GET", `k${i}`));
    const replies = await Promise.all(requests);
    for (let i = 0; i < 500; i++) expect(replyText(replies[2 * i + 1] ?? { kind: "null" })).toBe(`v${i}`);
    client.close();
  });

  test("goes to the first target that can be reached", async () => {
    await using server = await FakeServer.start();
    const client = await connect([await deadAddress(), server.address]);
    expect(replyText(await client.command("PING"))).toBe("PONG");
    expect(client.target?.address).toBe(server.address);
    client.close();
  });

  test("says which targets it has tried when none can be reached", async () => {
    const address = await deadAddress();
    await expect(connect([address])).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(connect([address])).rejects.toThrow(address);
  });

  test("reports a request as unknown when its connection is lost, and connects again to the next target", async () => {
    await using first = await FakeServer.start();
    await using second = await FakeServer.start();
    const client = await connect([first.address, second.address], "cities");
    first.behave = (args) => (args[0] === "SET" ? "hangUp" : "normal");
    await expect(client.command("SET", "a", "1")).rejects.toMatchObject({ code: "UNKNOWN_OUTCOME", retry: "unknown" });
    expect(replyText(await client.command("SET", "a", "2"))).toBe("OK");
    expect(client.target?.address).toBe(second.address);
    expect(second.values("cities").get("a")).toBe("2");
    client.close();
  });

  test("gives up a server that is silent", async () => {
    await using server = await FakeServer.start();
    const client = await connect([server.address], null, 100);
    server.behave = () => "silent";
    await expect(client.command("GET", "a")).rejects.toMatchObject({ code: "UNKNOWN_OUTCOME" });
    client.close();
  });

  test("tells what the server says when it refuses the bucket", async () => {
    await using server = await FakeServer.start();
    server.behave = (args) => (args[0] === "USE" ? "-ERR no such bucket\r\n" : "normal");
    await expect(connect([server.address], "nowhere")).rejects.toThrow("no such bucket");
  });

  test.each(["localhost", "host:", ":1", "a:0", "a:65536", "a:1,,b:2"])("%j is not a list of targets", (text) => {
    expect(() => parseTargets(text)).toThrow("is not host:port");
  });

  const node = Bun.which("node");
  test.skipIf(node === null)("runs on Node as well", async () => {
    await using server = await FakeServer.start();
    using directory = temporaryDirectory();
    const entry = join(directory.path, "entry.ts");
    const source = join(import.meta.dir, "../../src/client");
    await Bun.write(
      entry,
      `import { RespClient } from ${JSON.stringify(`${source}/resp-client.ts`)};
       import { parseTargets } from ${JSON.stringify(`${source}/target.ts`)};
       const client = await RespClient.connect({ targets: parseTargets(process.argv[2]), connectTimeoutMs: 2000,
         replyTimeoutMs: 5000, protocol: 3, bucket: "b", onPush() {} });
       await client.command("SET", "k", "from node");
       console.log(new TextDecoder().decode((await client.command("GET", "k")).bytes));
       client.close();`,
    );
    const built = await Bun.build({ entrypoints: [entry], target: "node", outdir: directory.path, naming: "out.mjs" });
    expect(built.success).toBe(true);
    const child = Bun.spawn([node ?? "node", join(directory.path, "out.mjs"), server.address], { stderr: "inherit" });
    expect(await new Response(child.stdout).text()).toBe("from node\n");
    expect(await child.exited).toBe(0);
    expect(server.values("b").get("k")).toBe("from node");
  });
});

interface Put {
  readonly request: Uint8Array;
  readonly key: string;
}

function put(key: string, value: string): Put {
  return { request: encodeRequest(["SET", key, value]), key };
}

function pipelineTo(addresses: readonly string[], giveUpAfterMs: number, answers: string[]) {
  const retries: string[] = [];
  const pipeline = new ReliablePipeline<Put>({
    targets: parseTargets(addresses.join(",")),
    windowMax: 16,
    bucket: "b",
    connectTimeoutMs: 2_000,
    replyTimeoutMs: 300,
    giveUpAfterMs,
    onAnswer: (record, reply) => answers.push(`${record.key} ${reply.kind === "error" ? reply.code : reply.kind}`),
    onRetry: (reason) => retries.push(reason),
  });
  return { pipeline, retries };
}

async function load(pipeline: ReliablePipeline<Put>, records: readonly Put[]): Promise<void> {
  try {
    for (const record of records) {
      if (!pipeline.hasRoom) await pipeline.room();
      pipeline.push(record);
    }
    await pipeline.drained();
  } finally {
    pipeline.close();
  }
}

describe("the reliable pipeline", () => {
  const records = Array.from({ length: 200 }, (_, i) => put(`k${i % 7}`, `v${i}`));
  /** What 200 writes to seven keys leave behind. */
  const expected = new Map(Array.from({ length: 200 }, (_, i) => [`k${i % 7}`, `v${i}`]));

  test.each([
    ["not now", "-TRYAGAIN no leader\r\n"],
    ["unknown outcomes", "-UNKNOWN it may have been executed\r\n"],
    ["lost connections", "hangUp"],
    ["silence", "silent"],
  ] as const)(
    "gets every record through %s, answered once and in order, the last write of a key winning",
    async (_, fault) => {
      await using first = await FakeServer.start();
      await using second = await FakeServer.start();
      const faultEvery = fault === "silent" ? 97 : 23;
      const hold = (_args: string[], ordinal: number) => (ordinal % faultEvery === 0 ? fault : "normal");
      first.behave = hold;
      second.behave = hold;
      // Both stand for one replicated store.
      second.buckets.set("b", first.values("b"));
      const answers: string[] = [];
      const { pipeline, retries } = pipelineTo([first.address, second.address], 30_000, answers);
      await load(pipeline, records);
      expect(answers).toEqual(records.map((record) => `${record.key} status`));
      expect(first.values("b")).toEqual(expected);
      expect(retries.length).toBeGreaterThan(0);
      expect(second.seen.length).toBeGreaterThan(0);
    },
  );

  test("a refusal that a retry would not change is the record's answer", async () => {
    await using server = await FakeServer.start();
    server.behave = (args) => (args[1] === "k3" ? "-ERR value is too large\r\n" : "normal");
    const answers: string[] = [];
    await load(pipelineTo([server.address], 30_000, answers).pipeline, records.slice(0, 7));
    expect(answers).toEqual(["k0 status", "k1 status", "k2 status", "k3 ERR", "k4 status", "k5 status", "k6 status"]);
  });

  test("gives up, and says so, when nothing gets through", async () => {
    await using server = await FakeServer.start();
    server.behave = (args) => (args[0] === "USE" ? "normal" : "-TRYAGAIN no leader\r\n");
    const { pipeline } = pipelineTo([server.address], 400, []);
    await expect(load(pipeline, records)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  test("waits for a server that comes later", async () => {
    await using server = await FakeServer.start();
    const answers: string[] = [];
    const { pipeline, retries } = pipelineTo(
      [await deadAddress(), await deadAddress(), server.address],
      30_000,
      answers,
    );
    await load(pipeline, records.slice(0, 3));
    expect(answers.length).toBe(3);
    expect(retries.length).toBe(2);
  });

  test("never has more on the way than its window", async () => {
    await using server = await FakeServer.start();
    const { pipeline } = pipelineTo([server.address], 250, []);
    server.behave = (args) => (args[0] === "SET" ? "silent" : "normal");
    await expect(load(pipeline, records)).rejects.toThrow("no progress");
    expect(server.seen.filter((args) => args[0] === "SET").length).toBe(16);
  });
});
