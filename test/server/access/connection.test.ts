/** A connection to a node that is not open: what it may do before and after the login, in Redis's words. */
import { afterEach, expect, test } from "bun:test";
import { fakeAccess } from "../fake-access.ts";
import { RawClient, type StartedPort, startPort } from "../started-port.ts";
import { type ClosedPort, startClosedPort } from "./closed-port.ts";

const WRONG = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const NOAUTH = "-NOAUTH Authentication required.\r\n";

let started: StartedPort | null = null;
afterEach(() => started?.stop());

interface Closed extends ClosedPort {
  readonly open: () => Promise<RawClient>;
}

function closedPort(settings: { loginTimeoutMs?: number } = {}): Closed {
  const closed = startClosedPort(settings);
  started = closed.started;
  return { ...closed, open: () => RawClient.open(closed.started.port) };
}

/** Sends lines and gives what came back up to the answer of the ECHO behind them. */
async function say(client: RawClient, ...lines: string[]): Promise<string> {
  const before = client.text().length;
  client.send(`${[...lines, "ECHO end"].join("\r\n")}\r\n`);
  while (!/(?:\$3\r\nend\r\n)$/.test(client.text().slice(before))) await client.untilBytes(client.received.length + 1);
  return client
    .text()
    .slice(before)
    .replace(/\$3\r\nend\r\n$/, "");
}

test("nothing is done before the login, and what was sent behind it is done after it", async () => {
  const { open } = closedPort();
  const client = await open();
  const answer = await say(
    client,
    "PING",
    "SET a 1",
    "AUTH nobody x",
    "AUTH x",
    "AUTH a b c",
    "AUTH default-secret",
    "GET a",
  );
  expect(answer).toBe(`${NOAUTH}${NOAUTH}${WRONG}${WRONG}-ERR syntax error\r\n+OK\r\n$-1\r\n`);
  expect(await say(client, "AUTH ann wrong", "ACL WHOAMI")).toBe(`${WRONG}$7\r\ndefault\r\n`);
});

test("HELLO logs in and chooses the protocol at once, or neither", async () => {
  const { open } = closedPort();
  const client = await open();
  client.send("HELLO 3\r\nHELLO 3 AUTH ann wrong SETNAME x\r\nPING\r\n");
  const refused = await client.until(NOAUTH);
  expect(refused).toStartWith("-NOAUTH HELLO must be called with the client already authenticated");
  expect(refused).toContain(WRONG);
  const answer = await say(client, "HELLO 3 AUTH ann ann-secret SETNAME x", "CLIENT GETNAME", "GET none");
  expect(answer).toStartWith("%7\r\n");
  expect(answer).toEndWith("$1\r\nx\r\n_\r\n");
  expect(await say(client, "HELLO 2")).toStartWith("*14\r\n");
  expect(await say(client, "RESET", "AUTH ann ann-secret")).toBe("+RESET\r\n+OK\r\n");
});

test("a reader that writes, a key of somebody else, a bucket by guess", async () => {
  const { open, memory } = closedPort();
  const client = await open();
  await say(client, "AUTH ann ann-secret");
  const KEY = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
  expect(await say(client, "SET ann:1 x", "SET other x", "GET other", "DEL ann:1 other")).toBe(
    `+OK\r\n${KEY}$-1\r\n${KEY}`,
  );
  const denied = (name: string): string => `-NOPERM this user has no permissions to run the '${name}' command\r\n`;
  expect(await say(client, "BUCKET DROP secret", "USER LIST", "CLIENT LIST", "FLUSHALL")).toBe(
    denied("bucket|drop") + denied("user|list") + denied("client|list") + denied("flushall"),
  );
  expect(memory.content).toContain('"event":"denied","user":"ann"');
  expect(memory.content).not.toContain("other");
});

test("of a bucket in which nothing is theirs nobody learns whether it is there", async () => {
  const { open, enter } = closedPort();
  enter("bob", [], [{ bucket: "mine*", prefix: new Uint8Array(0), rights: 1 }]);
  const root = await open();
  await say(root, "AUTH default-secret", "BUCKET CREATE hidden", "BUCKET CREATE mine");
  const client = await open();
  const answer = await say(
    client,
    "AUTH bob bob-secret",
    "USE hidden",
    "USE absent",
    "SELECT 3",
    "GET a",
    "USE mine",
    "GET a",
  );
  const denied = (name: string): string => `-NOPERM this user has no permissions to run the '${name}' command\r\n`;
  expect(answer).toBe(
    `+OK\r\n${denied("use")}${denied("use")}${denied("select")}-NOPERM this user has no permissions to access one of the keys used as arguments\r\n+OK\r\n$-1\r\n`,
  );
  expect(await say(client, "LIST BUCKETS", "USE mine-new")).toBe(
    "*1\r\n$4\r\nmine\r\n-ERR no such bucket 'mine-new'\r\n",
  );
});

test("whoever has not logged in may send little, and not for long", async () => {
  const { open } = closedPort();
  for (const [sent, answer] of [
    ["*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"],
    ["*2\r\n$4\r\nAUTH\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"],
  ] as const) {
    const client = await open();
    client.send(sent);
    await client.until(answer);
    await client.untilClosed();
  }
  const flood = await open();
  flood.pause();
  flood.send("PING\r\n".repeat(30_000));
  flood.resume();
  await flood.untilClosed();
  expect(flood.text().split(NOAUTH).length - 1).toBeLessThanOrEqual(101);
  const patient = await open();
  expect(await say(patient, "AUTH ann ann-secret", `SET ann:1 ${"x".repeat(20_000)}`)).toBe("+OK\r\n+OK\r\n");
});

test("nobody keeps a connection without logging in", async () => {
  const { open } = closedPort({ loginTimeoutMs: 100 });
  const [idle, busy] = [await open(), await open()];
  await say(busy, "AUTH ann ann-secret");
  await idle.untilClosed();
  expect(await say(busy, "PING")).toBe("+PONG\r\n");
});

test("a change of rights reaches whoever is connected; whoever is removed is sent away", async () => {
  const { open, enter, remove } = closedPort();
  const client = await open();
  expect(await say(client, "AUTH ann ann-secret", "SET ann:1 x")).toBe("+OK\r\n+OK\r\n");
  enter("ann", ["reader"]);
  expect(await say(client, "GET ann:1", "SET ann:1 y")).toContain("-NOPERM");
  remove("ann");
  await client.untilClosed();
});

test("a right that is taken away while its command waits is gone when its turn comes", async () => {
  const { open, enter, memory } = closedPort();
  enter("bob", ["admin"]);
  const bob = await open();
  await say(bob, "AUTH bob bob-secret", "SET a 1");
  const gate = Promise.withResolvers<void>();
  const append = memory.append.bind(memory);
  const asked = new Promise<void>((resolve) => {
    memory.append = async (bytes) => {
      resolve();
      await gate.promise;
      await append(bytes);
    };
  });
  const before = bob.text().length;
  bob.send("FLUSHDB\r\nGET a\r\n");
  await asked;
  enter("bob", ["reader"]);
  gate.resolve();
  await bob.untilBytes(before + 1);
  expect(bob.text().slice(before)).toStartWith("-NOPERM");
  await bob.until("$1\r\n1\r\n");
});

test("an open node closes when its first user is entered, for those who are connected too", async () => {
  const fake = fakeAccess();
  const port = startPort({}, { access: fake.access });
  started = port;
  const client = await RawClient.open(port.port);
  expect(await say(client, "SET a 1", "ACL WHOAMI", "AUTH x", "AUTH default x", "AUTH ann x")).toBe(
    `+OK\r\n$7\r\ndefault\r\n-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n+OK\r\n${WRONG}`,
  );
  expect(await say(client, "USER ADD ann PASSWORD ann-secret ROLES reader")).toStartWith("-ERR nobody would be left");
  client.send("USER ADD ann PASSWORD ann-secret ROLES admin,cluster\r\nGET a\r\n");
  await client.until(NOAUTH);
  expect(await say(client, "AUTH ann ann-secret", "GET a")).toBe("+OK\r\n$1\r\n1\r\n");
});

test("users, roles and tokens from the first command to the last", async () => {
  const { open } = closedPort();
  const root = await open();
  expect(
    await say(
      root,
      "AUTH default-secret",
      "ROLE ADD clerk GRANT orders eu:* read,write",
      "USER ADD bob PASSWORD bob-secret ROLES clerk",
      "USER ADD bob PASSWORD bob-secret",
      "USER ADD token PASSWORD bob-secret",
      "USER ADD eve PASSWORD bob-secret ROLES nothing",
      "ROLE INFO clerk",
      "ROLE SET reader GRANT * * all",
      "USER DEL default",
      "USER SET default ROLES reader",
      "USER INFO bob",
      "BUCKET CREATE orders",
    ),
  ).toBe(
    [
      "+OK\r\n+OK\r\n+OK\r\n-ERR there is such a user already\r\n-ERR a name has 1 to 64 letters, digits, '.', '_', '@' or '-', and begins with a letter or digit\r\n",
      "-ERR there is no role 'nothing'\r\n*1\r\n$22\r\norders eu:* read,write\r\n",
      "-ERR there is no such role that could be changed\r\n",
      "-ERR nobody would be left who may manage users: some enabled user needs the right cluster on every bucket (role cluster)\r\n".repeat(
        2,
      ),
      "*10\r\n$4\r\nname\r\n$3\r\nbob\r\n$7\r\nenabled\r\n:1\r\n$5\r\nroles\r\n*1\r\n$5\r\nclerk\r\n$6\r\ngrants\r\n*0\r\n$4\r\nrate\r\n:0\r\n+OK\r\n",
    ].join(""),
  );
  const issued = await say(root, "TOKEN ISSUE bob 60 GRANT orders eu:* read");
  const token = /ey[\w-]+\.[\w-]+\.[\w-]+/.exec(issued)?.[0] ?? "";
  const client = await open();
  const answer = await say(
    client,
    `AUTH token ${token}`,
    "ACL WHOAMI",
    "USE orders",
    "GET eu:1",
    "SET eu:1 x",
    "GET us:1",
  );
  const KEY = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
  expect(answer).toBe(`+OK\r\n$3\r\nbob\r\n+OK\r\n$-1\r\n${KEY}${KEY}`);
  expect(await say(root, `TOKEN REVOKE ${token}`, `TOKEN REVOKE ${token}x`)).toBe(
    "+OK\r\n-ERR this is no token of ours that is still good\r\n",
  );
  await client.untilClosed();
  const again = await open();
  again.send(`AUTH token ${token}\r\n`);
  await again.until(WRONG);
});

test("ACL says what can be said in Redis's words", async () => {
  const { open } = closedPort();
  const root = await open();
  const answer = await say(
    root,
    "AUTH default-secret",
    "ACL SETUSER cat on >cat-secret ~cat:* +@read",
    "ACL SETUSER cat +@write",
    "ACL SETUSER cat +get",
    "ACL SETUSER cat ~a*b",
    "ACL SETUSER cat >short",
    "ACL SETUSER ann +@write",
    "ACL SETUSER ann off",
    "ACL USERS",
    "ACL DELUSER nobody",
  );
  expect(answer).toBe(
    [
      "+OK\r\n+OK\r\n+OK\r\n-ERR Error in ACL SETUSER modifier '+get': Syntax error\r\n-ERR Error in ACL SETUSER modifier '~a*b': Syntax error\r\n",
      "-ERR a password has 8 to 1024 bytes\r\n-ERR the rights of this user cannot be said in Redis's words, use USER SET\r\n+OK\r\n",
      "*3\r\n$3\r\nann\r\n$3\r\ncat\r\n$7\r\ndefault\r\n:0\r\n",
    ].join(""),
  );
  const client = await open();
  expect(await say(client, "AUTH cat cat-secret", "SET cat:1 x", "KEYS cat:*")).toBe(
    "+OK\r\n+OK\r\n*1\r\n$5\r\ncat:1\r\n",
  );
});

test("an act that cannot be recorded is not done, everything else goes on", async () => {
  const { open, memory } = closedPort();
  const root = await open();
  await say(root, "AUTH default-secret");
  memory.isFull = true;
  const REFUSED = "-IOERR the audit log cannot be written, so this is not done\r\n";
  expect(await say(root, "SET a 1", "BUCKET CREATE x", "FLUSHALL", "GET a")).toBe(
    `+OK\r\n${REFUSED}${REFUSED}$1\r\n1\r\n`,
  );
  memory.isFull = false;
  expect(await say(root, "BUCKET CREATE x", "GET a")).toBe("+OK\r\n$1\r\n1\r\n");
  expect(memory.content).toContain('"command":"bucket|create x"');
});

test("a bucket that comes into being by USE stands in the audit log as any other", async () => {
  const { open, memory } = closedPort();
  const client = await open();
  await say(client, "AUTH default default-secret");
  expect(await say(client, "USE made")).toBe("+OK\r\n");
  expect(memory.content).toContain(
    '"event":"act","user":"default","address":"127.0.0.1","command":"bucket|create made"',
  );
  memory.isFull = true;
  expect(await say(client, "USE made", "USE other")).toMatch(/^\+OK\r\n-\w+ [^\r]*audit[^\r]*\r\n$/);
  memory.isFull = false;
  expect(await say(client, "BUCKET LIST")).not.toContain("other");
});

test("no password and no token stands in the audit log, in CLIENT LIST or in INFO", async () => {
  const { open, memory } = closedPort();
  const root = await open();
  const seen = await say(
    root,
    "AUTH default-secret",
    "USER ADD bob PASSWORD hidden-password-1",
    "ACL SETUSER cat >hidden-password-2 on",
    "USER PASSWORD hidden-password-3",
    "USER SET >hidden-password-4 x",
    "AUTH hidden-password-5 hidden-password-6",
    "AUTH default hidden-password-7",
    "USER INFO bob",
    "ACL LIST",
    "ACL GETUSER bob",
    "CLIENT LIST",
    "INFO",
  );
  expect(seen.replaceAll("hidden-password-3", "")).not.toContain("hidden");
  expect(seen).not.toContain("hash:");
  expect(memory.content).not.toContain("hidden");
  expect(memory.content).not.toContain("secret");
});

test("whoever speaks TLS to a port without it is closed, and the audit log tells of it", async () => {
  const { open, memory } = closedPort();
  const client = await open();
  client.send(Uint8Array.of(0x16, 3, 1, 0, 5));
  expect(await client.untilClosed()).toBe("");
  expect(memory.content).toContain(
    '"event":"refused","user":"","address":"127.0.0.1","command":"connect","bucket":"","outcome":"client port: it speaks TLS',
  );
});
