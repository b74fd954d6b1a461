import { expect, test } from "bun:test";
import { type Tenant, TurnShares, type TurnTaker } from "../../src/server/turn-shares.ts";
import { BinaryClient } from "./binary-client.ts";
import { fakeAccess } from "./fake-access.ts";
import { command, exchange, RawClient, startPort } from "./started-port.ts";

/** Shares on a clock that moves by hand, in turns that are taken by hand. */
class Turns {
  now = 0;
  isAhead = false;
  rate = 0;
  /** Of single tenants, where they are not as all others. */
  readonly rates = new Map<string, number>();
  readonly shares: TurnShares;
  readonly #soon: (() => void)[] = [];
  #timers: { readonly dueMs: number; readonly run: () => void }[] = [];

  constructor(delayMsMax = 1_000) {
    const clock = {
      wallMs: () => this.now,
      monotonicMs: () => this.now,
      soon: (run: () => void) => void this.#soon.push(run),
      after: (ms: number, run: () => void) => {
        this.#timers.push({ dueMs: this.now + ms, run });
        const cancel = (): void => {
          this.#timers = this.#timers.filter((timer) => timer.run !== run);
        };
        return { cancel };
      },
    };
    this.shares = new TurnShares(clock, delayMsMax, {
      isTurnAhead: () => this.isAhead,
      rateOf: (name) => this.rates.get(name) ?? this.rate,
    });
  }

  turn(): void {
    for (const run of this.#soon.splice(0)) run();
  }

  pass(ms: number): void {
    this.now += ms;
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.now);
    this.#timers = this.#timers.filter(({ dueMs }) => dueMs > this.now);
    for (const { run } of due) run();
    this.turn();
  }
}

/** Somebody with work to do, a unit at a time. */
class Worker implements TurnTaker {
  done = 0;
  left: number;
  readonly #shares: TurnShares;
  readonly #tenant: Tenant;
  readonly #cost: number;

  constructor(shares: TurnShares, tenant: Tenant, left: number, cost = 1) {
    this.#shares = shares;
    this.#tenant = tenant;
    this.#cost = cost;
    this.left = left;
  }

  takeTurn(): void {
    while (this.left > 0) {
      if (!this.#shares.admits(this.#tenant)) return this.#shares.wait(this.#tenant, this);
      this.#shares.charge(this.#tenant, this.#cost);
      if (this.#shares.counts(this.#tenant)) this.done += 1;
      this.left -= 1;
    }
  }
}

test("whoever is alone is held up only by more work than a turn may have", () => {
  const turns = new Turns();
  const worker = new Worker(turns.shares, turns.shares.enter("a"), 50_000);
  worker.takeTurn();
  expect(worker.done).toBe(20_000);
  for (let turn = 1; worker.left > 0; turn++) {
    expect(turn).toBeLessThan(5);
    turns.turn();
  }
  expect(worker.done).toBe(50_000);
});

test("LCS come one at a time, and not more of them in a turn than leave room for others", async () => {
  const server = startPort();
  const client = await RawClient.open(server.port);
  const other = await RawClient.open(server.port);
  await client.send(command("SET", "k", "ab".repeat(1_000))).until("+OK\r\n");
  client.send(Buffer.concat(Array.from({ length: 8 }, () => command("LCS", "k", "k", "LEN"))));
  other.send(command("PING"));
  await other.until("+PONG\r\n");
  // Each is charged about fifteen milliseconds.
  expect(client.text()).not.toContain(":2000\r\n".repeat(8));
  await client.until(`+OK\r\n${":2000\r\n".repeat(8)}`);
  expect(server.clientPort.shares.waitCount).toBeGreaterThan(2);
  client.close();
  other.close();
  server.stop();
});

test("while two are active, neither does more in a turn than its share, and both come to their end", () => {
  const turns = new Turns();
  const { shares } = turns;
  const [noisy, quiet] = [shares.enter("noisy"), shares.enter("quiet")];
  shares.charge(noisy, 1);
  shares.charge(quiet, 1);
  turns.turn();
  expect(shares.isContended).toBe(true);
  const workers = Array.from({ length: 4 }, () => new Worker(shares, noisy, 1_000));
  for (const worker of workers) worker.takeTurn();
  let total = 0;
  for (let turn = 0; total < 4_000; turn++) {
    const before = workers.reduce((sum, { done }) => sum + done, 0);
    turns.turn();
    shares.charge(quiet, 1);
    expect(shares.admits(quiet)).toBe(true);
    total = workers.reduce((sum, { done }) => sum + done, 0);
    expect(total - before).toBeLessThanOrEqual(shares.allowance);
    expect(turn).toBeLessThan(1_000);
  }
});

test("those of one tenant take turns", () => {
  const turns = new Turns();
  const { shares } = turns;
  const [tenant, other] = [shares.enter("a"), shares.enter("b")];
  shares.charge(tenant, 1);
  shares.charge(other, 1);
  turns.turn();
  const workers = Array.from({ length: 3 }, () => new Worker(shares, tenant, 100_000));
  for (const worker of workers) worker.takeTurn();
  for (let turn = 0; turn < 30; turn++) turns.turn();
  const done = workers.map((worker) => worker.done);
  expect(Math.max(...done) - Math.min(...done)).toBeLessThanOrEqual(2 * shares.allowance);
});

test("what is known only afterwards is a debt: turns go by without a share", () => {
  const turns = new Turns();
  const { shares } = turns;
  const [debtor, other] = [shares.enter("debtor"), shares.enter("other")];
  shares.charge(debtor, 1);
  shares.charge(other, 1);
  turns.turn();
  shares.charge(debtor, 10 * shares.allowance);
  let turnCount = 0;
  for (; !shares.admits(debtor); turnCount++) turns.turn();
  expect(turnCount).toBe(10);
});

test("who has been silent for long is not active, and the other is free again", () => {
  const turns = new Turns();
  const { shares } = turns;
  const [a, b] = [shares.enter("a"), shares.enter("b")];
  shares.charge(a, 1);
  shares.charge(b, 1);
  turns.turn();
  expect(shares.isContended).toBe(true);
  turns.pass(5_000);
  shares.charge(a, 1);
  turns.turn();
  turns.turn();
  expect(shares.isContended).toBe(false);
});

test("shares are given once before a turn that is ahead, and again when it has ended", () => {
  const turns = new Turns();
  const { shares } = turns;
  const [a, b] = [shares.enter("a"), shares.enter("b")];
  shares.charge(a, 1);
  shares.charge(b, 1);
  turns.turn();
  turns.isAhead = true;
  shares.turnEnded();
  const worker = new Worker(shares, a, 100_000);
  worker.takeTurn();
  turns.turn();
  const first = worker.done;
  for (let look = 0; look < 5; look++) turns.turn();
  expect(worker.done).toBe(first);
  shares.turnEnded();
  turns.turn();
  expect(worker.done).toBeGreaterThan(first);
});

test("a rate lets a second's worth through at once, then so many a second, and no more are lost", () => {
  const turns = new Turns();
  turns.rate = 100;
  const { shares } = turns;
  const worker = new Worker(shares, shares.enter("a"), 1_000);
  worker.takeTurn();
  expect(worker.done).toBeLessThanOrEqual(102);
  const before = worker.done;
  for (let i = 0; i < 1_000; i++) turns.pass(1);
  expect(worker.done - before).toBeGreaterThanOrEqual(95);
  expect(worker.done - before).toBeLessThanOrEqual(105);
  for (let i = 0; i < 20_000 && worker.left > 0; i++) turns.pass(1);
  expect(worker.done).toBe(1_000);
});

test("when so many wait for the rate that it would take too long, the next is refused", () => {
  const turns = new Turns(50);
  turns.rate = 100;
  const { shares } = turns;
  const tenant = shares.enter("a");
  const waiting = Array.from({ length: 10 }, () => new Worker(shares, tenant, 200));
  for (const worker of waiting) worker.takeTurn();
  // With six of them the queue is longer than 50 ms, and whoever comes then is refused.
  expect(tenant.waiting.size).toBe(6);
  expect(tenant.refusedCount).toBe(4 * 200);
});

test("whoever leaves and comes again finds the rate as it was left, until its time is over", () => {
  const turns = new Turns();
  turns.rate = 100;
  const { shares } = turns;
  const tenant = shares.enter("a");
  const worker = new Worker(shares, tenant, 100);
  worker.takeTurn();
  expect(worker.done).toBe(100);
  shares.leave(tenant, worker);
  turns.pass(100);
  const again = shares.enter("a");
  let count = 0;
  while (shares.admits(again) && count < 1_000) count += shares.counts(again) ? 1 : 0;
  expect(count).toBeLessThanOrEqual(12);
  shares.leave(again, worker);
  turns.pass(10_000);
  shares.charge(shares.enter("b"), 1);
  turns.turn();
  expect(shares.enter("a")).not.toBe(again);
});

test("one whose turn is far off does not keep another waiting whose turn is near", () => {
  const turns = new Turns();
  turns.rates.set("slow", 1).set("fast", 1_000);
  const { shares } = turns;
  const slow = new Worker(shares, shares.enter("slow"), 3);
  slow.takeTurn();
  turns.turn();
  const fast = new Worker(shares, shares.enter("fast"), 1_100);
  fast.takeTurn();
  turns.turn();
  for (let i = 0; i < 200; i++) turns.pass(1);
  expect(fast.done).toBe(1_100);
});

test("a connection that goes on in the binary protocol, or is gone, leaves its tenant once", async () => {
  const server = startPort({ requestsPerSecond: 100, rateDelayMs: 0 });
  const first = await RawClient.open(server.port);
  first.send(Buffer.concat(Array.from({ length: 1_000 }, () => command("PING"))));
  await first.until("-RATELIMIT");
  for (let i = 0; i < 3; i++) {
    const binary = await BinaryClient.open(server.port);
    binary.close();
    while (server.clientPort.binaryCount > 0) await Bun.sleep(1);
  }
  const tenant = server.clientPort.shares.enter("bucket 0");
  expect(tenant.connectionCount).toBe(2);
  first.close();
  server.stop();
});

/** Asks until another connection has used up the rate and waits. */
async function untilRefused(client: RawClient): Promise<void> {
  const refusal = "-RATELIMIT too many commands a second; it was not executed, and it is safe to retry\r\n";
  while (!client.text().endsWith(refusal)) {
    await client.send(command("PING")).untilBytes(client.received.length + 1);
  }
}

test("commands beyond a rate are refused in their place, and the connection goes on", async () => {
  const server = startPort({ requestsPerSecond: 100, rateDelayMs: 0 });
  const [first, second] = [await RawClient.open(server.port), await RawClient.open(server.port)];
  first.send(Buffer.concat(Array.from({ length: 1_000 }, () => command("PING"))));
  await first.until("+PONG\r\n");
  await untilRefused(second);
  first.close();
  second.close();
  server.stop();
});

test("a tenant's connections stall and go on while another is active, and every reply comes in order", async () => {
  const server = startPort();
  const [noisy, quiet] = [await RawClient.open(server.port), await RawClient.open(server.port)];
  await quiet.send(command("SELECT", "1")).until("+OK\r\n");
  const count = 5_000;
  let sent = 0;
  const asking = (async () => {
    while (!noisy.text().includes(`:${count}\r\n`)) {
      sent += 1;
      await quiet.send(command("ECHO", `q${sent}`)).until(`q${sent}\r\n`);
    }
  })();
  noisy.send(Buffer.concat(Array.from({ length: count }, () => command("INCR", "n"))));
  const expected = Array.from({ length: count }, (_, i) => `:${i + 1}\r\n`).join("");
  expect(await noisy.untilBytes(expected.length)).toBe(expected);
  await asking;
  expect(server.clientPort.shares.waitCount).toBeGreaterThan(0);
  noisy.close();
  quiet.close();
  server.stop();
});

test("a user may have a rate of their own, which changes while they are connected and is not that of others", async () => {
  const fake = fakeAccess({ mayBeOpen: false });
  fake.enter("default", ["admin", "cluster"]);
  fake.enter("ann", ["reader"]);
  const server = startPort({ rateDelayMs: 0 }, { access: fake.access });
  const login = async (name: string): Promise<RawClient> => {
    const client = await RawClient.open(server.port);
    await client.send(command("AUTH", name, `${name}-secret`)).until("+OK\r\n");
    return client;
  };
  const [chief, first, second] = [await login("default"), await login("ann"), await login("ann")];
  expect(await chief.send(command("USER", "SET", "ann", "RATE", "100")).until("+OK\r\n+OK\r\n")).toBe("+OK\r\n+OK\r\n");
  first.send(Buffer.concat(Array.from({ length: 1_000 }, () => command("PING"))));
  await first.until("+PONG\r\n");
  await untilRefused(second);
  expect(await chief.send(command("USER", "INFO", "ann")).until(":100\r\n")).toContain("$4\r\nrate\r\n:100\r\n");
  for (const client of [chief, first, second]) client.close();
  server.stop();
});

test("a bucket may have a rate of its own, as far as nobody logs in", async () => {
  const server = startPort({ rateDelayMs: 0 });
  const [first, second] = [await RawClient.open(server.port), await RawClient.open(server.port)];
  await first.send(command("BUCKET", "CREATE", "slow", "RATE", "100")).until("+OK\r\n");
  for (const client of [first, second]) await client.send(command("USE", "slow")).until("+OK\r\n");
  first.send(Buffer.concat(Array.from({ length: 1_000 }, () => command("PING"))));
  await first.until("+PONG\r\n");
  await untilRefused(second);
  first.close();
  second.close();
  server.stop();
});

test("limits of a bucket in words that mean nothing are refused", async () => {
  const { port, stop } = startPort();
  const refused = [
    "QUOTA x",
    "QUOTA 5XB",
    "KEYS -1",
    "KEYS 1.5",
    "RATE 99999999",
    "QUOTA",
    "SIZE 5",
    "DURABILITY never",
  ];
  for (const words of refused) {
    const text = await exchange(port, command("BUCKET", "CREATE", "b", ...words.split(" ")));
    expect(text).toBe("-ERR syntax error\r\n");
  }
  expect(await exchange(port, command("BUCKET", "QUOTA", "0"))).toContain("wrong number of arguments");
  expect(await exchange(port, command("BUCKET", "QUOTA", "0", "DURABILITY", "os"))).toBe("-ERR syntax error\r\n");
  expect(await exchange(port, command("BUCKET", "QUOTA", "none", "5MiB"))).toStartWith("-ERR no bucket 'none'");
  expect(await exchange(port, command("BUCKET", "QUOTA", "0", "5MiB", "KEYS", "7"))).toBe("+OK\r\n");
  expect(await exchange(port, command("BUCKET", "INFO", "0"))).toContain(
    "$11\r\nquota-bytes\r\n:5242880\r\n$10\r\nquota-keys\r\n:7\r\n$4\r\nrate\r\n:0\r\n",
  );
  stop();
});
