/** The TypeScript client on real nodes with users and TLS: who is let in, as whom, and for how long. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { certificateFlags, writeCertificates } from "../../src/cli/certs.ts";
import {
  BadCredentialsError,
  type ConnectOptions,
  connect,
  type Database,
  ForbiddenError,
  UnauthenticatedError,
  UnavailableError,
} from "../../src/client.ts";
import { RespClient } from "../../src/client/resp-client.ts";
import { replyText } from "../../src/client/reply.ts";
import { parseTargets } from "../../src/client/target.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(60_000);

const ROOT = { user: "root", password: "the-root-password" };
const ANN = { user: "ann", password: "the-ann-password" };

let directory = "";
let cluster: TestCluster;
let root: RespClient;
const open: Database[] = [];

function read(...path: string[]): string {
  return readFileSync(join(directory, ...path), "utf8");
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "edb-client-access-"));
  for (const name of ["ours", "theirs"]) {
    const base = { out: join(directory, name), cluster: "envelopedb", days: 1, hosts: ["localhost", "127.0.0.1"] };
    await writeCertificates({ ...base, nodes: ["n1"], clients: ["app"] });
  }
  const tls = {
    authority: read("ours", "ca.pem"),
    certificate: read("ours", "app.pem"),
    key: read("ours", "app-key.pem"),
  };
  cluster = await TestCluster.start({
    nodes: 1,
    shards: 2,
    workers: 0,
    flags: ["--tls-client", "required", ...certificateFlags(join(directory, "ours"), "n1")],
    tls,
  });
  const founder = await cluster.client([0]);
  await founder.command("USER", "ADD", ROOT.user, "PASSWORD", ROOT.password, "ROLES", "admin,cluster");
  founder.close();
  const targets = parseTargets(cluster.targets, ROOT).map((target) => ({ ...target, tls }));
  const times = { connectTimeoutMs: 30_000, replyTimeoutMs: 30_000 };
  root = await RespClient.connect({ targets, ...times, protocol: 2, bucket: null, onPush: () => undefined });
  await root.command("BUCKET", "CREATE", "orders");
  await root.command("USER", "ADD", ANN.user, "PASSWORD", ANN.password, "GRANT", "orders", "*", "read");
});

afterAll(async () => {
  root.close();
  await Promise.all(open.map((db) => db.close()));
  await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function connected(options: Omit<ConnectOptions, "nodes">): Promise<Database> {
  const tls = { ca: read("ours", "ca.pem"), cert: read("ours", "app.pem"), key: read("ours", "app-key.pem") };
  const db = await connect({ nodes: cluster.targets.split(","), tls, ...options });
  open.push(db);
  return db;
}

async function issue(...words: string[]): Promise<string> {
  const reply = await root.command("TOKEN", "ISSUE", ...words);
  const texts = "items" in reply ? reply.items.map((item) => replyText(item) ?? "") : [];
  return texts.find((text) => text.startsWith("ey")) ?? "";
}

/** What a promise is rejected with. */
async function problem(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => null,
    (cause: unknown) => cause,
  );
}

test("a user comes in with the right password, and nobody without", async () => {
  expect(await problem(connected({}))).toBeInstanceOf(UnauthenticatedError);
  expect(await problem(connected({ ...ANN, password: "guessed" }))).toBeInstanceOf(BadCredentialsError);
  const db = await connected(ROOT);
  await db.bucket("orders").put("a", 1);
  expect(await db.bucket("orders").get("a")).toBe(1);
});

test("a reader that writes, a bucket by guess, an act: each is refused, and the call says so", async () => {
  const db = await connected(ANN);
  const orders = db.bucket("orders");
  expect(await orders.get("none")).toBeUndefined();
  for (const call of [
    () => orders.put("a", 2),
    () => orders.increment("n"),
    () => db.bucket("absent").get("a"),
    () => db.bucket("0").get("a"),
    () => db.buckets.create("new"),
    () => db.buckets.drop("orders"),
  ]) {
    expect(await problem(call())).toBeInstanceOf(ForbiddenError);
  }
  expect((await db.buckets.list()).map(({ name }) => name)).toEqual(["orders"]);
});

test("a token stands for its user, within its limits, and not after its end", async () => {
  const db = await connected({ token: await issue("root", "60", "GRANT", "orders", "t:*", "read,write") });
  const orders = db.bucket("orders");
  await orders.put("t:1", 1);
  expect(await problem(orders.put("u:1", 1))).toBeInstanceOf(ForbiddenError);
  const short = await issue("root", "1");
  await Bun.sleep(1_100);
  expect(await problem(connected({ token: short }))).toBeInstanceOf(BadCredentialsError);
});

test("a token is asked for whenever a connection is opened, so that a client outlives many of them", async () => {
  let count = 0;
  const token = async (): Promise<string> => {
    count += 1;
    return issue("root", "1");
  };
  const db = await connected({ token, timeoutMs: 30_000 });
  const orders = db.bucket("orders");
  await orders.put("counter", 0);
  let done = 0;
  while (count < 3) {
    done += 1;
    expect(await orders.increment("counter")).toBe(done);
    await Bun.sleep(20);
  }
  const none = connected({ token: () => Promise.reject(new Error("the issuer is down")) });
  expect(await problem(none)).toBeInstanceOf(UnavailableError);
});

test("a node of a foreign authority is not spoken with, and it speaks with nobody who shows no certificate", async () => {
  const ca = read("ours", "ca.pem");
  const foreign = { ca: read("theirs", "ca.pem"), cert: read("ours", "app.pem"), key: read("ours", "app-key.pem") };
  expect(String(await problem(connected({ ...ROOT, tls: foreign })))).toContain("certificate");
  expect(await problem(connected({ ...ROOT, tls: { ca } }))).toBeInstanceOf(UnavailableError);
  const strange = { ca, cert: read("theirs", "app.pem"), key: read("theirs", "app-key.pem") };
  expect(await problem(connected({ ...ROOT, tls: strange }))).toBeInstanceOf(UnavailableError);
});
