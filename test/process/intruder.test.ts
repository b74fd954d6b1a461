/**
 * The intruder's tour: a cluster with TLS on all ports and users, and everything that somebody tries who does not belong there. Each
 * time he is refused, and each time a line in the audit log of the node tells of it; the chain of lines holds afterwards.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectPlain, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { runAuditVerify } from "../../src/cli/audit.ts";
import { certificateFlags, writeCertificates } from "../../src/cli/certs.ts";
import { connect, type Database, NoBucketError } from "../../src/client.ts";
import { RespClient } from "../../src/client/resp-client.ts";
import { replyText } from "../../src/client/reply.ts";
import { parseTargets } from "../../src/client/target.ts";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { crc32Range } from "../../src/core/crc32.ts";
import { utf8 } from "../../src/core/bytes.ts";
import {
  BINARY_MAGIC,
  BinaryFrameReader,
  beginBinaryFrame,
  endBinaryFrame,
  RequestType,
} from "../../src/wire/binary-format.ts";
import type { BinaryReply, BinaryRequest, KeyOperation } from "../../src/wire/binary-messages.ts";
import { decodeReply } from "../../src/wire/binary-reply-format.ts";
import { encodeRequest } from "../../src/wire/binary-request-format.ts";
import { PackReader } from "../../src/wire/message-pack.ts";
import { HELLO, operation } from "../server/binary-client.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(60_000);

const ROOT = { user: "root", password: "the-root-password" };
/** May read the bucket orders, and nothing else. */
const EVE = { user: "eve", password: "the-password-of-eve" };

let directory = "";
let cluster: TestCluster;
let root: RespClient;
const databases: Database[] = [];
const sockets: Socket[] = [];

function read(...path: string[]): string {
  return readFileSync(join(directory, ...path), "utf8");
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "edb-intruder-"));
  const base = { cluster: "envelopedb", days: 1, hosts: ["localhost", "127.0.0.1"], clients: ["app"] };
  for (const name of ["ours", "theirs"]) {
    await writeCertificates({ ...base, out: join(directory, name), nodes: ["n1", "n2", "n3"] });
  }
  const tls = {
    authority: read("ours", "ca.pem"),
    certificate: read("ours", "app.pem"),
    key: read("ours", "app-key.pem"),
  };
  cluster = await TestCluster.start({
    nodes: 3,
    shards: 2,
    workers: 0,
    flags: ["--tls-client", "required", "--tls-peer", "on"],
    flagsOf: (node) => certificateFlags(join(directory, "ours"), `n${node + 1}`),
    tls,
  });
  const founder = await cluster.client([0]);
  await founder.command("USER", "ADD", ROOT.user, "PASSWORD", ROOT.password, "ROLES", "admin,cluster");
  founder.close();
  const targets = parseTargets(`127.0.0.1:${cluster.clientPorts[0]}`, ROOT).map((target) => ({ ...target, tls }));
  const times = { connectTimeoutMs: 30_000, replyTimeoutMs: 30_000 };
  root = await RespClient.connect({ targets, ...times, protocol: 2, bucket: null, onPush: () => undefined });
  await root.command("BUCKET", "CREATE", "orders");
  await root.command("BUCKET", "CREATE", "salaries");
  await root.command("USER", "ADD", EVE.user, "PASSWORD", EVE.password, "GRANT", "orders", "*", "read");
});

afterAll(async () => {
  root.close();
  for (const socket of sockets) socket.destroy();
  await Promise.all(databases.map((db) => db.close()));
  await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
});

function certificates(from: string, name: string): { cert: string; key: string } {
  return { cert: read(from, `${name}.pem`), key: read(from, `${name}-key.pem`) };
}

function insider(): { ca: string; cert: string; key: string } {
  return { ca: read("ours", "ca.pem"), ...certificates("ours", "app") };
}

type Login = { readonly user: string; readonly password: string } | { readonly token: string };

async function database(login: Login): Promise<Database> {
  const db = await connect({ nodes: [`127.0.0.1:${cluster.clientPorts[0]}`], tls: insider(), ...login });
  databases.push(db);
  return db;
}

async function code(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "done",
    (cause: { code?: string }) => cause.code ?? String(cause),
  );
}

/** Waits until a node has written a line with these fields: a client goes to whichever it likes. */
async function audited(fields: Readonly<Record<string, string>>): Promise<void> {
  const isIt = (line: string): boolean => {
    const entry = JSON.parse(line) as Record<string, string>;
    return Object.entries(fields).every(([name, text]) => entry[name]?.includes(text) === true);
  };
  const hasIt = (node: number): boolean => {
    const lines = readFileSync(join(cluster.dataOf(node), "audit.log"), "utf8").split("\n");
    return lines.slice(0, -1).some(isIt);
  };
  while (!cluster.nodes.some(hasIt)) await Bun.sleep(20);
}

/** Says something at a port and waits until it is closed; what it answered. */
function knock(port: number, tls: { cert: string; key: string } | null, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const host = "127.0.0.1";
    const socket =
      tls === null ? connectPlain({ host, port }) : connectTls({ host, port, rejectUnauthorized: false, ...tls });
    sockets.push(socket);
    let heard = "";
    socket.on("data", (chunk) => (heard += String(chunk)));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(heard));
    socket.write(bytes);
  });
}

test("a wrong certificate at the client port", async () => {
  const port = cluster.clientPorts[0] ?? 0;
  expect(await knock(port, certificates("theirs", "app"), utf8("PING\r\n"))).toBe("");
  await audited({ event: "refused", outcome: "client port: its certificate is not of the authority" });
});

test("a peer port spoken to by a stranger: without TLS, with a client's certificate, with another authority's", async () => {
  const port = Number(cluster.peerAddressOf(0).split(":")[1]);
  await knock(port, null, utf8("let me in, I am n2"));
  await audited({ event: "refused", outcome: "peer port: it speaks no TLS" });
  expect(await knock(port, certificates("ours", "app"), utf8("hello"))).toBe("");
  await audited({ event: "refused", outcome: 'that of "app", is not that of a node of cluster envelopedb' });
  expect(await knock(port, certificates("theirs", "n2"), utf8("hello"))).toBe("");
  await audited({ event: "refused", outcome: "peer port: its certificate is not of the authority" });
});

test("a member's certificate without its manners", async () => {
  const port = Number(cluster.peerAddressOf(0).split(":")[1]);
  await knock(port, certificates("ours", "n2"), new Uint8Array(64).fill(0xff));
  await audited({ event: "refused", outcome: "peer port: a peer frame of" });
});

test("no login, a guessed password, an expired token, a forged one", async () => {
  expect(await code(connect({ nodes: [`127.0.0.1:${cluster.clientPorts[0]}`], tls: insider() }))).toBe(
    "UNAUTHENTICATED",
  );
  await audited({ event: "denied", user: "", outcome: "not logged in" });
  expect(await code(database({ ...EVE, password: "a-guess" }))).toBe("BAD_CREDENTIALS");
  await audited({ event: "login-failed", user: "eve", outcome: "wrong" });
  const issued = await root.command("TOKEN", "ISSUE", "root", "1");
  const texts = "items" in issued ? issued.items.map((item) => replyText(item) ?? "") : [];
  const token = texts.find((text) => text.startsWith("ey")) ?? "";
  expect(await code(database({ token }))).toBe("done");
  await Bun.sleep(1_100);
  expect(await code(database({ token }))).toBe("BAD_CREDENTIALS");
  await audited({ event: "login-failed", user: "token", outcome: "wrong" });
  const [header = "", , signature = ""] = token.split(".");
  const claims = { iss: "envelopedb", sub: "root", uid: 1, lim: [], jti: "x", iat: 1, exp: 4e9 };
  const forged = [header, Buffer.from(JSON.stringify(claims)).toString("base64url"), signature].join(".");
  expect(await code(database({ token: forged }))).toBe("BAD_CREDENTIALS");
});

test("a reader that writes, a bucket by guess, a path in a bucket's name", async () => {
  const db = await database(EVE);
  expect(await code(db.bucket("orders").get("a"))).toBe("done");
  expect(await code(db.bucket("orders").put("a", 1))).toBe("FORBIDDEN");
  await audited({ event: "denied", user: "eve", command: "put", bucket: "orders" });
  expect([await code(db.bucket("salaries").get("a")), await code(db.bucket("no-such").get("a"))]).toEqual([
    "FORBIDDEN",
    "FORBIDDEN",
  ]);
  await audited({ event: "denied", user: "eve", command: "get", bucket: "salaries" });
  expect((await db.buckets.list()).map(({ name }) => name)).toEqual(["orders"]);
  for (const path of ["../../etc/passwd", "..", "a/b"]) {
    expect(await code(db.buckets.create(path))).toBe("FORBIDDEN");
    await audited({ event: "denied", user: "eve", command: `bucket|create ${path}` });
    // Who may create buckets cannot create that one either.
    expect(await code((await database(ROOT)).buckets.create(path))).toBe("INVALID_ARGUMENT");
    await audited({ event: "act", user: "root", command: `bucket|create ${path}` });
  }
});

/** A client of the binary protocol over TLS that sends what it is told to, sessions and sequences among it. */
class BareClient {
  readonly #socket: Socket;
  readonly #frames = new BinaryFrameReader(crc32Range);
  #lastId = 0;
  #replied: (reply: BinaryReply) => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => {
      this.#frames.feed(new Uint8Array(chunk as Buffer));
      for (let frame = this.#frames.next(); frame !== null; frame = this.#frames.next()) {
        const reply = decodeReply(frame.type, new PackReader().over(frame.body));
        if (reply !== null) this.#replied(reply);
      }
    });
    socket.write(BINARY_MAGIC);
  }

  call(request: BinaryRequest): Promise<BinaryReply> {
    const writer = new ByteWriter();
    this.#lastId += 1;
    const start = beginBinaryFrame(writer, RequestType[request.type], this.#lastId);
    encodeRequest(request, writer);
    endBinaryFrame(writer, start, crc32Range);
    return new Promise((resolve) => {
      this.#replied = resolve;
      this.#socket.write(writer.copy());
    });
  }
}

async function bareClient(node: number, user: string, password: string): Promise<BareClient> {
  const port = cluster.clientPorts[node] ?? 0;
  const socket = connectTls({ host: "127.0.0.1", port, ...insider() });
  sockets.push(socket);
  const client = new BareClient(socket);
  const credentials = { kind: "password", user, password } as const;
  expect((await client.call({ ...HELLO, credentials })).type).toBe("welcome");
  return client;
}

test("replay of a session: what was heard is told to nobody else, and its sequence is used up by nobody else", async () => {
  const MAL = { user: "mal", password: "the-password-of-mal" };
  await root.command("USER", "ADD", MAL.user, "PASSWORD", MAL.password, "GRANT", "orders", "*", "read,write");
  const victim = await bareClient(0, ROOT.user, ROOT.password);
  const intruder = await bareClient(0, MAL.user, MAL.password);
  const opened = await victim.call({ type: "openSession", deadlineMs: 0, ttlMs: 60_000 });
  const session = opened.type === "session" ? opened.session : 0;
  const increment: KeyOperation = { type: "increment", key: utf8("balance"), by: 5n };
  const once = (sequence: number) => operation(increment, { bucket: "orders", once: { session, sequence } });
  expect(await victim.call(once(1))).toEqual({ type: "integer", value: 5n });
  // The owner hears it again, from another node as well.
  const elsewhere = await bareClient(1, ROOT.user, ROOT.password);
  expect(await elsewhere.call(once(1))).toEqual({ type: "integer", value: 5n });
  for (const sequence of [1, 2]) {
    expect(await intruder.call(once(sequence))).toMatchObject({ type: "error", code: "SESSION_GONE" });
  }
  await intruder.call({ type: "closeSession", deadlineMs: 0, session });
  expect(await victim.call(once(2))).toEqual({ type: "integer", value: 10n });
  await audited({ event: "denied", user: "mal", command: "session", outcome: "not theirs" });
});

test("what nobody may do is done nowhere, and the audit logs are whole", async () => {
  const db = await database(ROOT);
  expect((await db.buckets.list()).map(({ name }) => name).toSorted()).toContain("salaries");
  expect(await db.bucket("orders").get("a")).toBeUndefined();
  await expect(db.bucket("no-such").get("a")).rejects.toBeInstanceOf(NoBucketError);
  for (const node of cluster.nodes) expect(runAuditVerify(cluster.dataOf(node))).toBe(0);
});
