/** Logins: everybody wrong is answered alike, guessing is throttled, a flood keeps nobody else out, tokens end. */
import { expect, test } from "bun:test";
import { utf8 } from "../../../src/core/bytes.ts";
import type { Clock } from "../../../src/env/clock.ts";
import { RealClock } from "../../../src/env/real-clock.ts";
import { realPasswords } from "../../../src/env/real-passwords.ts";
import { Access, type LoginOutcome } from "../../../src/server/access/access.ts";
import { LoginThrottle } from "../../../src/server/access/login-throttle.ts";
import { PasswordQueue } from "../../../src/server/access/password-queue.ts";
import { readToken, signToken, type TokenClaims } from "../../../src/server/access/tokens.ts";
import { type FakeAccess, fakeAccess } from "../fake-access.ts";

/** A clock that stands until it is moved. */
class HeldClock implements Clock {
  nowMs = 1_700_000_000_000;
  sinceMs = 0;
  readonly #real = new RealClock();
  readonly wallMs = (): number => this.nowMs;
  readonly monotonicMs = (): number => this.sinceMs;
  readonly after = (ms: number, run: () => void) => this.#real.after(ms, run);
  readonly soon = (run: () => void): void => this.#real.soon(run);
}

const HERE = "10.0.0.1:5000";
const ELSEWHERE = "10.0.0.2:5000";

function login(fake: FakeAccess, user: string, password: string, address = HERE): Promise<LoginOutcome> {
  return new Promise((resolve) => fake.access.login(user, utf8(password), address, resolve));
}

function started(clock: Clock = new HeldClock()): FakeAccess {
  const fake = fakeAccess({ clock });
  fake.enter("root", ["admin", "cluster"]);
  fake.enter("ann", ["reader"]);
  return fake;
}

test("the right password opens; a wrong one, no such user and a user without a way in are answered alike", async () => {
  const fake = started();
  expect(await login(fake, "ann", "ann-secret")).toMatchObject({ kind: "in", identity: { user: "ann", token: null } });
  const { users } = fake.access.content;
  const off = { ...users.get("ann")!, enabled: false, revision: 0, id: 0 };
  fake.access.admin.change("users", "off", 0, off, () => undefined);
  const before = fake.passwords.checkCount;
  const tries = [
    ["ann", "wrong-one"],
    ["nobody", "ann-secret"],
    ["off", "ann-secret"],
    ["", "ann-secret"],
    ["ann", ""],
  ] as const;
  for (const [at, [user, password]] of tries.entries()) {
    expect(await login(fake, user, password, `10.0.1.${at}:1`)).toEqual({ kind: "wrong" });
  }
  // Each of them cost a check of a hash.
  expect(fake.passwords.checkCount - before).toBe(tries.length);
});

test("the hash that nobody has is checked like any other", async () => {
  const { access } = started();
  const seen: string[] = [];
  const passwords = {
    hash: access.passwords.hash,
    verify: (password: Uint8Array, hash: string) => {
      seen.push(hash);
      return realPasswords.verify(password, hash);
    },
  };
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const options = { mayBeOpen: true, checksMax: 1 };
  const real = new Access(access.admin, passwords, null, new RealClock(), quiet, options);
  const outcome = await new Promise((resolve) => real.login("nobody", utf8("x"), HERE, resolve));
  expect(outcome).toEqual({ kind: "wrong" });
  const own = await realPasswords.hash(utf8("a password"));
  const parameters = (hash: string): string[] => hash.split("$").slice(1, 4);
  expect(parameters(seen[0] ?? "")).toEqual(parameters(own));
  expect((seen[0] ?? "").length).toBe(own.length);
  expect(await realPasswords.verify(utf8("a password"), own)).toBe(true);
});

test("a thousand wrong passwords are looked at a few times, and a login from elsewhere goes on", async () => {
  const clock = new HeldClock();
  const fake = started(clock);
  const outcomes: LoginOutcome[] = [];
  for (let i = 0; i < 1000; i++) outcomes.push(await login(fake, "ann", `guess-${i}`));
  expect(outcomes.filter(({ kind }) => kind === "wrong").length).toBe(5);
  expect(outcomes.filter(({ kind }) => kind === "wait").length).toBe(995);
  expect(fake.passwords.checkCount).toBe(5);
  expect((await login(fake, "root", "root-secret")).kind).toBe("wait");
  expect((await login(fake, "root", "root-secret", ELSEWHERE)).kind).toBe("in");
  clock.sinceMs += 1_000;
  expect((await login(fake, "ann", "ann-secret")).kind).toBe("in");
});

test("the wait doubles with each mistake, by address and, later, by name, and ends at its longest", () => {
  const throttle = new LoginThrottle();
  const waits: number[] = [];
  let nowMs = 0;
  for (let i = 0; i < 16; i++) {
    throttle.failed("ann", "a", nowMs);
    waits.push(throttle.waitMs("ann", "a", nowMs));
    nowMs += throttle.waitMs("ann", "a", nowMs);
  }
  expect(waits.slice(0, 8)).toEqual([0, 0, 0, 0, 1_000, 2_000, 4_000, 8_000]);
  expect(waits.at(-1)).toBe(300_000);
  expect(throttle.waitMs("ann", "b", nowMs - 300_000)).toBe(30_000);
  expect(throttle.waitMs("bob", "b", nowMs)).toBe(0);
  throttle.succeeded("ann");
  expect(throttle.waitMs("ann", "b", nowMs)).toBe(0);
});

test("mistakes long ago are forgotten, and the tables do not grow without end", () => {
  const throttle = new LoginThrottle();
  for (let i = 0; i < 6; i++) throttle.failed("ann", "a", 0);
  throttle.failed("ann", "a", 1_000_000);
  expect(throttle.waitMs("ann", "a", 1_000_000)).toBe(0);
  for (let i = 0; i < 6; i++) throttle.failed("ann", "a", 1_000_001);
  for (let i = 0; i < 5_000; i++) throttle.failed(`u${i}`, `h${i}`, 1_000_002);
  expect(throttle.waitMs("ann", "a", 1_000_002)).toBe(0);
});

test("no more passwords are checked at once than allowed, and addresses take turns", async () => {
  const order: string[] = [];
  const queue = new PasswordQueue(1);
  const check = (host: string) => async (): Promise<void> => {
    await Promise.resolve();
    order.push(host);
  };
  const taken = Array.from({ length: 20 }, () => queue.add("flood", check("flood")));
  expect(taken.filter((isTaken) => isTaken).length).toBe(9);
  expect(queue.add("other", check("other"))).toBe(true);
  while (order.length < 10) await new Promise<void>((resolve) => setImmediate(resolve));
  expect(order.indexOf("other")).toBeLessThanOrEqual(2);

  const fake = started();
  await Promise.all(Array.from({ length: 30 }, (_, at) => login(fake, "ann", "ann-secret", `10.1.0.${at}:1`)));
  expect(fake.passwords.runningMost).toBe(2);
});

const SECRET = new Uint8Array(32).fill(7);
const NOW = 1_700_000_000_000;

async function withKey(fake: FakeAccess): Promise<void> {
  const key = { secret: SECRET, createdMs: 1, retiredMs: 0, revision: 0 };
  fake.access.admin.change("tokenKeys", "k1", 0, key, () => undefined);
}

function claimsFor(fake: FakeAccess, changes: Partial<TokenClaims> = {}): TokenClaims {
  const userId = fake.access.content.users.get("ann")?.id ?? 0;
  return { id: "t1", keyId: "k1", user: "ann", userId, limits: [], expiresMs: NOW + 60_000, ...changes };
}

test("a token stands for its user until it ends, is called back, or its key or user goes", async () => {
  const clock = new HeldClock();
  const fake = started(clock);
  await withKey(fake);
  const token = await signToken("k1", SECRET, claimsFor(fake), NOW);
  const outcome = await login(fake, "token", token);
  if (outcome.kind !== "in") throw new Error("the token was refused");
  const { identity } = outcome;
  expect(identity).toMatchObject({ user: "ann", token: { id: "t1" } });
  expect((await login(fake, "TOKEN", token, ELSEWHERE)).kind).toBe("in");
  expect(fake.access.principalOf(identity)).not.toBeNull();

  clock.nowMs += 66_000;
  expect(fake.access.principalOf(identity)).toBeNull();
  expect(fake.access.isExpired(identity)).toBe(true);
  expect((await login(fake, "token", token)).kind).toBe("wrong");
  clock.nowMs = NOW;
  fake.access.admin.change("revocations", "t1", 0, { expiresMs: NOW + 60_000, revision: 0 }, () => undefined);
  expect(fake.access.principalOf(identity)).toBeNull();
  expect((await login(fake, "token", token)).kind).toBe("wrong");
});

test("a user of the same name who came later is another: the token is not theirs", async () => {
  const fake = started(new HeldClock());
  await withKey(fake);
  const token = await signToken("k1", SECRET, claimsFor(fake), NOW);
  fake.remove("ann");
  fake.enter("ann", ["admin", "cluster"]);
  expect((await login(fake, "token", token)).kind).toBe("wrong");
});

test("what is not signed by us, is signed otherwise, or lacks a claim is no token", async () => {
  const fake = started(new HeldClock());
  await withKey(fake);
  const { content } = fake.access;
  const good = await signToken("k1", SECRET, claimsFor(fake), NOW);
  expect(await readToken(content, good, NOW)).toMatchObject({ user: "ann" });
  const [header = "", payload = "", signature = ""] = good.split(".");
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
  const bad = [
    `${header}.${encode({ ...claims, sub: "root" })}.${signature}`,
    `${encode({ alg: "none", kid: "k1" })}.${payload}.`,
    `${encode({ alg: "HS512", kid: "k1" })}.${payload}.${signature}`,
    `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
    `${header}.${payload}`,
    "",
    "a.b.c",
    await signToken("k2", SECRET, claimsFor(fake), NOW),
    await signToken("k1", new Uint8Array(32).fill(8), claimsFor(fake), NOW),
    await signToken("k1", SECRET, claimsFor(fake, { expiresMs: NOW - 6_000 }), NOW - 10_000),
    await signToken("k1", SECRET, claimsFor(fake), NOW + 10_000),
  ];
  for (const token of bad) expect([token, await readToken(content, token, NOW)]).toEqual([token, null]);
});
