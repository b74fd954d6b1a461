/** What is taken from certificate files, when, and what is said of them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Certificate, createAuthority } from "../../src/cli/certificate-authority.ts";
import type { Clock } from "../../src/env/clock.ts";
import { FileCredentials } from "../../src/env/tls-files.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.now();
const authority = await createAuthority("house", 1000, NOW_MS);

function issue(commonName: string, days: number): Promise<Certificate> {
  return authority.issue({ commonName, hosts: [commonName], purposes: ["server"], days, fromMs: NOW_MS });
}

const first = await issue("first.test", 100);
const second = await issue("second.test", 100);

let directory = "";
let lines: string[] = [];
let nowMs = NOW_MS;
let timers: (() => void)[] = [];

const log = {
  debug: () => undefined,
  info: (message: string) => void lines.push(`info ${message}`),
  warn: (message: string, fields?: Record<string, unknown>) =>
    void lines.push(`warn ${message} ${JSON.stringify(fields)}`),
  error: (message: string, fields?: Record<string, unknown>) =>
    void lines.push(`error ${message} ${JSON.stringify(fields)}`),
};

const clock: Clock = {
  wallMs: () => nowMs,
  monotonicMs: () => nowMs,
  after: (_, run) => {
    timers.push(run);
    return { cancel: () => undefined };
  },
  soon: (run) => run(),
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "edb-tls-files-"));
  lines = [];
  timers = [];
  nowMs = NOW_MS;
  put(first);
  write("ca.pem", authority.certificate);
});

afterEach(() => rmSync(directory, { recursive: true }));

function write(name: string, text: string): void {
  writeFileSync(join(directory, name), text, { mode: 0o600 });
}

function put({ certificate, key }: Certificate): void {
  write("own.pem", certificate);
  write("own-key.pem", key);
}

function open(objection: (hosts: readonly string[]) => string | null = () => null): FileCredentials {
  const paths = {
    certificate: join(directory, "own.pem"),
    key: join(directory, "own-key.pem"),
    authority: join(directory, "ca.pem"),
  };
  return new FileCredentials(paths, clock, log, ({ hosts }) => objection(hosts));
}

/** The time of a look at the files has come. */
function look(): void {
  for (const run of timers.splice(0)) run();
}

test("what cannot serve is refused at the start, with the setting and the reason", () => {
  expect(() => open((hosts) => `is for ${hosts}`)).toThrow("own.pem is for first.test");
  write("own-key.pem", second.key);
  expect(open).toThrow("is not the key of tlsCertificate");
  write("own-key.pem", "nothing");
  expect(open).toThrow("holds no private key in PEM");
  put(first);
  write("ca.pem", "nothing");
  expect(open).toThrow("holds no certificate in PEM");
  write("own.pem", first.certificate.replace(/M/g, "N"));
  expect(open).toThrow("own.pem holds a certificate that does not parse");
  rmSync(join(directory, "own.pem"));
  expect(open).toThrow("tlsCertificate");
  expect(lines).toEqual([]);
});

test("a changed pair is taken once it is whole; until then the former one stays, and that is said once", () => {
  const credentials = open();
  let changes = 0;
  credentials.onChange(() => (changes += 1));
  look();
  expect([changes, lines]).toEqual([0, []]);
  write("own.pem", second.certificate);
  look();
  look();
  expect(credentials.current.certificate).toBe(first.certificate);
  expect(lines.filter((line) => line.startsWith("error the new certificate is not taken"))).toHaveLength(1);
  write("own-key.pem", second.key);
  look();
  expect(credentials.current).toEqual({ ...second, authority: authority.certificate });
  look();
  expect(changes).toBe(1);
  rmSync(join(directory, "own.pem"));
  look();
  look();
  expect([changes, lines.filter((line) => line.includes("ENOENT")).length]).toEqual([1, 1]);
});

test("a key that others can read is warned of", () => {
  chmodSync(join(directory, "own-key.pem"), 0o640);
  open();
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("can be read by others");
});

test("the end of a certificate is announced for its last thirty days, once a day, and its passing too", () => {
  open();
  look();
  nowMs += 69 * DAY_MS;
  look();
  expect(lines).toEqual([]);
  nowMs += 2 * DAY_MS;
  look();
  nowMs += 1000;
  look();
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("is about to expire");
  nowMs += 30 * DAY_MS;
  look();
  expect(lines).toHaveLength(2);
  expect(lines[1]).toContain("error a certificate has expired");
  expect(lines[1]).toContain("CN=first.test");
});
