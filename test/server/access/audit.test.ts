/** The audit log: a chain over files in which every tampering is found, and acts that are not recorded are not done. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runAuditVerify } from "../../../src/cli/audit.ts";
import {
  AUDIT_START,
  AuditChain,
  type AuditEvent,
  auditHeadOf,
  encodeAuditLine,
} from "../../../src/core/audit-format.ts";
import { text, utf8 } from "../../../src/core/bytes.ts";
import { EnvelopeError } from "../../../src/core/errors.ts";
import type { AppendFile } from "../../../src/env/append-file.ts";
import { openAppendFile } from "../../../src/env/real-append-file.ts";
import { RealClock } from "../../../src/env/real-clock.ts";
import { AuditLog } from "../../../src/server/access/audit-log.ts";

const QUIET = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const OPTIONS = { fileBytesMax: 1_000, filesKept: 3 };

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "edb-audit-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const event = (outcome: string): AuditEvent => ({
  event: "act",
  user: "ann",
  address: "10.0.0.7",
  command: "bucket|drop orders",
  bucket: "0",
  outcome,
});

async function openLog(): Promise<AuditLog> {
  const { file, lastLine } = await openAppendFile(join(directory, "audit.log"));
  return new AuditLog(file, lastLine, new RealClock(), QUIET, OPTIONS);
}

const recorded = (log: AuditLog, outcome: string): Promise<boolean> =>
  new Promise((resolve) => log.record(event(outcome), resolve));

function lines(count: number): string[] {
  let head = AUDIT_START;
  return Array.from({ length: count }, (_, at) => {
    const next = encodeAuditLine(head, 1_700_000_000_000 + at, event(`n${at}`));
    head = next.head;
    return text(next.line);
  });
}

function breaksOf(...files: string[]): string[] {
  const chain = new AuditChain();
  for (const [at, content] of files.entries()) chain.follow(`f${at}`, utf8(content));
  return chain.breaks.map(({ file, line, what }) => `${file}:${line} ${what}`);
}

test("golden bytes of a line", () => {
  const [line = ""] = lines(1);
  expect(line).toBe(
    `{"sequence":1,"time":"2023-11-14T22:13:20.000Z","event":"act","user":"ann","address":"10.0.0.7","command":"bucket|drop orders","bucket":"0","outcome":"n0","previous":"${"0".repeat(64)}"}\n`,
  );
  expect(auditHeadOf(utf8(line.slice(0, -1)))).toEqual({
    sequence: 1,
    hash: new Bun.CryptoHasher("sha256").update(line.slice(0, -1)).digest("hex"),
  });
});

test("a whole chain is whole, also where its beginning has been put out with the oldest file", () => {
  const all = lines(6);
  expect(breaksOf(all.join(""))).toEqual([]);
  expect(breaksOf(all.slice(0, 2).join(""), all.slice(2).join(""))).toEqual([]);
  expect(breaksOf(all.slice(3).join(""))).toEqual([]);
});

test("every tampering with a line that others follow is found", () => {
  const all = lines(6);
  const changed = (at: number, make: (line: string) => string): string =>
    all.map((line, place) => (place === at ? make(line) : line)).join("");
  const cases: readonly (readonly [string, string])[] = [
    ["another user", changed(2, (line) => line.replace("ann", "bob"))],
    ["another time", changed(2, (line) => line.replace("22:13", "22:14"))],
    ["left out", changed(2, () => "")],
    ["twice", changed(2, (line) => line + line)],
    ["swapped", [all[0], all[2], all[1], ...all.slice(3)].join("")],
    ["another sequence", changed(2, (line) => line.replace('"sequence":3', '"sequence":9'))],
    ["another hash", changed(2, (line) => line.replace(/"previous":"../, '"previous":"00'))],
    ["no line", changed(2, () => "x\n")],
    ["a blank more", changed(2, (line) => line.replace(":", ": "))],
    ["begun anew", all.slice(0, 3).join("") + lines(3).join("")],
    ["cut off within a line", all.join("").slice(0, -5)],
  ];
  for (const [name, content] of cases) expect([name, breaksOf(content).length > 0]).toEqual([name, true]);
  const whole = all.join("");
  for (let at = 0; at < whole.length - (all[5]?.length ?? 0); at += 7) {
    const flipped = `${whole.slice(0, at)}${whole[at] === "~" ? "}" : "~"}${whole.slice(at + 1)}`;
    expect([at, breaksOf(flipped).length > 0]).toEqual([at, true]);
  }
});

test("the chain runs on over files and restarts; no more files are kept than were asked for", async () => {
  for (let round = 0; round < 4; round++) {
    const log = await openLog();
    for (let i = 0; i < 8; i++) expect(await recorded(log, `${round}-${i}`)).toBe(true);
    await log.close();
  }
  const names = readdirSync(directory).sort();
  expect(names).toEqual(["audit.log", "audit.log.1", "audit.log.2", "audit.log.3"]);
  expect(statSync(join(directory, "audit.log")).mode & 0o077).toBe(0);
  expect(breaksOf(...names.reverse().map((name) => readFileSync(join(directory, name), "utf8")))).toEqual([]);
  expect(runAuditVerify(directory)).toBe(0);
  rmSync(join(directory, "audit.log.1"));
  expect(runAuditVerify(directory)).toBe(1);
});

test("what a crash left of a line is cut off, and the chain goes on behind the last whole one", async () => {
  const first = await openLog();
  await recorded(first, "one");
  await first.close();
  appendFileSync(join(directory, "audit.log"), '{"sequence":2,"ti');
  const second = await openLog();
  await recorded(second, "two");
  await second.close();
  expect(runAuditVerify(directory)).toBe(0);
  expect(readFileSync(join(directory, "audit.log"), "utf8").trimEnd().split("\n").length).toBe(2);
});

/** A file that can be full, or hold every write back. */
class FakeFile implements AppendFile {
  size = 0;
  isFull = false;
  content = "";
  held: (() => void)[] | null = null;

  async append(bytes: Uint8Array): Promise<void> {
    if (this.held !== null) await new Promise<void>((resolve) => this.held?.push(resolve));
    if (this.isFull) throw new EnvelopeError("IO", "no space left");
    this.content += text(bytes);
    this.size += bytes.length;
  }

  async rotate(): Promise<void> {}
  async close(): Promise<void> {}
}

const over = (file: AppendFile): AuditLog =>
  new AuditLog(file, null, new RealClock(), QUIET, { ...OPTIONS, fileBytesMax: 1e9 });

test("while the disk is full acts are refused, and the chain is whole when there is room again", async () => {
  const file = new FakeFile();
  const log = over(file);
  expect(await recorded(log, "one")).toBe(true);
  file.isFull = true;
  expect(await recorded(log, "two")).toBe(false);
  file.isFull = false;
  expect(await recorded(log, "three")).toBe(true);
  expect(log.lostCount).toBe(1);
  expect(breaksOf(file.content)).toEqual([]);
});

test("a disk that stands still lets the queue fill and no further: then acts are refused at once", async () => {
  const file = new FakeFile();
  file.held = [];
  const log = over(file);
  const answers: boolean[] = [];
  for (let i = 0; i < 3_000; i++) log.record(event(`${i}`), (isRecorded) => answers.push(isRecorded));
  expect(answers.length).toBeGreaterThan(1_000);
  expect(answers.every((isRecorded) => !isRecorded)).toBe(true);
  const waiting = file.held;
  file.held = null;
  for (const go of waiting) go();
  await log.close();
  expect(answers.length).toBe(3_000);
  expect(breaksOf(file.content)).toEqual([]);
});

test("refusals do not wash the log away: beyond a hundred a second they are counted, and that is told", async () => {
  const file = new FakeFile();
  let nowMs = 1_000;
  const clock = new RealClock();
  clock.monotonicMs = () => nowMs;
  const log = new AuditLog(file, null, clock, QUIET, { ...OPTIONS, fileBytesMax: 1e9 });
  for (let i = 0; i < 500; i++) log.note({ ...event("key"), event: "denied" });
  nowMs += 1_000;
  log.note({ ...event("later"), event: "denied" });
  await log.close();
  const written = file.content.trimEnd().split("\n");
  expect(written.length).toBe(102);
  expect(written.at(-2)).toContain("400 lines left out");
  expect(breaksOf(file.content)).toEqual([]);
});

test("whoever comes in with rights over others stands there, however many are refused in the same second", async () => {
  const file = new FakeFile();
  const clock = new RealClock();
  clock.monotonicMs = () => 1_000;
  const log = new AuditLog(file, null, clock, QUIET, { ...OPTIONS, fileBytesMax: 1e9 });
  for (let i = 0; i < 500; i++) log.note({ ...event("command"), event: "denied" });
  log.note({ ...event("password"), event: "login", user: "intruder" });
  await log.close();
  const written = file.content.trim().split("\n");
  expect(written.at(-2)).toContain("400 lines left out");
  expect(written.at(-1)).toContain('"user":"intruder"');
});

test("nor do refused connections: beyond fifty a minute they are counted", async () => {
  const file = new FakeFile();
  let nowMs = 1_000;
  const clock = new RealClock();
  clock.monotonicMs = () => nowMs;
  const log = new AuditLog(file, null, clock, QUIET, { ...OPTIONS, fileBytesMax: 1e9 });
  for (let i = 0; i < 500; i++) {
    log.noteConnection("peer", "10.0.0.9", "it speaks no TLS");
    nowMs += 100;
  }
  nowMs += 60_000;
  log.noteConnection("peer", "10.0.0.9", "later");
  await log.close();
  const written = file.content.trimEnd().split("\n");
  expect(written.length).toBe(52);
  expect(written[0]).toContain('"event":"refused","user":"","address":"10.0.0.9","command":"connect","bucket":""');
  expect(written.at(-2)).toContain("450 lines left out");
  expect(written.at(-1)).toContain('"outcome":"peer port: later"');
});
