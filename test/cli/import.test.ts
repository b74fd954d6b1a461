import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { keyTemplate } from "../../src/cli/record-key.ts";
import { FakeServer } from "./fake-server.ts";
import { runMain, spawnMain, temporaryDirectory } from "./run-main.ts";

// Processes are started here, on machines that may be busy.
setDefaultTimeout(30_000);

const RECORD_COUNT = 3_000;

function recordLine(i: number): string {
  return `{"id": ${i}, "name": "place ${i}", "where": {"lat": ${i / 100}}}`;
}

function records(count: number): string[] {
  return Array.from({ length: count }, (_, i) => recordLine(i));
}

function latin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}

describe("import", () => {
  test.each([
    ["plain", (text: string): Uint8Array => Buffer.from(text)],
    ["gzip", (text: string): Uint8Array => gzipSync(text)],
  ])("loads a %s file: each line is a record, its text the value", async (_, pack) => {
    await using server = await FakeServer.start();
    using directory = temporaryDirectory();
    const file = join(directory.path, "in.jsonl");
    writeFileSync(file, pack(`${records(RECORD_COUNT).join("\n")}\r\n\n{"id":"ü","t":"日本"}`));
    const run = await runMain([
      "import",
      file,
      "--key",
      "id",
      "--bucket",
      "cities",
      "--target",
      server.address,
      "--verify",
    ]);
    expect(run.err).toBe("");
    expect(run.out).toContain(`${RECORD_COUNT + 2} lines read, ${RECORD_COUNT + 1} acknowledged, 1 blank, 0 failed`);
    expect(run.out).toContain(`${RECORD_COUNT + 1} records read back, all as in the input`);
    expect(run.code).toBe(0);
    const stored = server.values("cities");
    expect(stored.size).toBe(RECORD_COUNT + 1);
    expect(stored.get("17")).toBe(recordLine(17));
    expect(stored.get(latin1("ü"))).toBe(latin1('{"id":"ü","t":"日本"}'));
    expect(existsSync(`${file}.checkpoint`)).toBe(false);
  });

  test("loads standard input", async () => {
    await using server = await FakeServer.start();
    const input = records(50).join("\n");
    const run = await runMain(["import", "-", "--key", "where.lat", "--target", server.address], input);
    expect(run.code).toBe(0);
    expect(server.values("0").get("0.07")).toBe(recordLine(7));
  });

  test("names the lines that cannot be loaded, loads the others, and fails", async () => {
    await using server = await FakeServer.start();
    server.behave = (args) => (args[1] === "3" ? "-ERR value is too large\r\n" : "normal");
    const lines = [
      '{"id":1}',
      "{nonsense",
      '{"name":"no id"}',
      '{"id":3}',
      '{"id":12345678901234567890}',
      '{"id":[1]}',
      '{"id":4}',
    ];
    const run = await runMain(["import", "-", "--key", "id", "--target", server.address], lines.join("\n"));
    expect(run.code).toBe(1);
    expect(run.out).toContain("7 lines read, 2 acknowledged, 0 blank, 5 failed");
    for (const place of [
      "line 2: not JSON",
      "line 3: no field id",
      "line 4: ERR value is too large",
      "line 5: ",
      "line 6: ",
    ]) {
      expect(run.out).toContain(place);
    }
    expect([...server.values("0").keys()]).toEqual(["1", "4"]);
  });

  test("killed in the middle, it goes on behind what was acknowledged, and every record is there", async () => {
    await using server = await FakeServer.start();
    using directory = temporaryDirectory();
    const file = join(directory.path, "in.jsonl");
    const checkpoint = join(directory.path, "how-far");
    writeFileSync(file, records(RECORD_COUNT).join("\n"));
    const args = [
      "import",
      file,
      "--key",
      "id",
      "--target",
      server.address,
      "--checkpoint",
      checkpoint,
      "--pipeline",
      "10",
    ];
    server.behave = (_, ordinal) => (ordinal > 2_400 ? "silent" : "normal");
    const killed = spawnMain(args);
    while (!existsSync(checkpoint)) await Bun.sleep(10);
    killed.kill("SIGKILL");
    await killed.exited;
    server.behave = () => "normal";
    const acknowledgedBefore = server.values("0").size;
    const watermark = (JSON.parse(readFileSync(checkpoint, "utf8")) as { lines: number }).lines;
    expect(watermark).toBeGreaterThan(0);
    expect(watermark).toBeLessThanOrEqual(acknowledgedBefore);

    const requestsBefore = server.seen.length;
    const resumed = await runMain([...args, "--resume"]);
    expect(resumed.err).toContain(`resuming behind line ${watermark}`);
    expect(resumed.code).toBe(0);
    expect(resumed.out).toContain(`${RECORD_COUNT} acknowledged`);
    expect(server.seen.length - requestsBefore).toBe(RECORD_COUNT - watermark);
    expect(server.values("0").size).toBe(RECORD_COUNT);
    expect(existsSync(checkpoint)).toBe(false);
  });

  test("interrupted by a signal, it says how to go on and keeps its place", async () => {
    await using server = await FakeServer.start();
    using directory = temporaryDirectory();
    const file = join(directory.path, "in.jsonl");
    writeFileSync(file, records(100).join("\n"));
    server.behave = (args) => (args[1] === "60" ? "silent" : "normal");
    const child = spawnMain(["import", file, "--key", "id", "--target", server.address, "--pipeline", "8"]);
    while (server.values("0").size < 60) await Bun.sleep(10);
    child.kill("SIGTERM");
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    expect(await child.exited).toBe(1);
    // The last answers may not have been read when the signal came.
    const acknowledged = Number(/(\d+) acknowledged/.exec(out)?.[1]);
    expect(acknowledged).toBeGreaterThan(0);
    expect(acknowledged).toBeLessThanOrEqual(60);
    expect(err).toContain("--resume");
    const place = { lines: acknowledged, acknowledged };
    expect(JSON.parse(readFileSync(`${file}.checkpoint`, "utf8"))).toMatchObject(place);
  });

  test("refuses to resume with another input, another bucket or a damaged checkpoint", async () => {
    await using server = await FakeServer.start();
    using directory = temporaryDirectory();
    const file = join(directory.path, "in.jsonl");
    const checkpoint = `${file}.checkpoint`;
    const place = { format: "envelopedb-import/1", bucket: null, key: "id", lines: 5, crc: 1, acknowledged: 5 };
    const args = ["import", file, "--key", "id", "--target", server.address, "--resume"];
    writeFileSync(file, records(10).join("\n"));
    writeFileSync(checkpoint, JSON.stringify({ ...place, skipped: 0, failedCount: 0, failed: [] }));
    expect(await runMain(args)).toMatchObject({
      code: 1,
      err: expect.stringContaining("not the one it was written for"),
    });
    expect(await runMain([...args, "--bucket", "b"])).toMatchObject({
      code: 2,
      err: expect.stringContaining(checkpoint),
    });
    writeFileSync(checkpoint, '{"lines": 5');
    expect(await runMain(args)).toMatchObject({ code: 1, err: expect.stringContaining("not a checkpoint") });
    expect(server.values("0").size).toBe(0);
  });

  test("--verify-only finds what is missing or different, writes nothing, and lets the last line of a key count", async () => {
    await using server = await FakeServer.start();
    const lines = ['{"id":1,"v":1}', '{"id":2}', '{"id":3}', '{"id":1,"v":2}'];
    const stored = server.values("0");
    stored.set("1", '{"id":1,"v":2}').set("2", '{"id":2, "changed":true}');
    const args = ["import", "-", "--key", "id", "--target", server.address, "--verify-only"];
    const run = await runMain(args, lines.join("\n"));
    expect(run.code).toBe(1);
    expect(run.out).toContain("4 records read back, 1 missing, 1 different");
    expect(run.out).toContain("line 2, key 2: different");
    expect(run.out).toContain("line 3, key 3: missing");
    expect(server.seen.every((request) => request[0] !== "SET")).toBe(true);
    stored.set("2", '{"id":2}').set("3", '{"id":3}');
    expect((await runMain(args, lines.join("\n"))).code).toBe(0);
  });

  test("a broken gzip stream and a missing file are errors", async () => {
    await using server = await FakeServer.start();
    using directory = temporaryDirectory();
    const file = join(directory.path, "cut.gz");
    const args = ["import", file, "--key", "id", "--target", server.address];
    expect(await runMain(args)).toMatchObject({ code: 1, err: expect.stringContaining(file) });
    const packed = gzipSync(records(5_000).join("\n"));
    writeFileSync(file, packed.subarray(0, packed.length / 2));
    expect(await runMain(args)).toMatchObject({ code: 1, err: expect.stringContaining("not a whole gzip stream") });
  });
});

describe("a key template", () => {
  const line = '{"id": 7, "a": {"b": ["x", "y"]}, "no": null, "flag": true, "": 1}';

  test.each([
    ["id", "7"],
    ["a.b.1", "y"],
    ["flag", "true"],
    ["place:{id}:{a.b.0}", "place:7:x"],
  ])("%s gives %s", (template, key) => {
    expect(keyTemplate(template)(line)).toBe(key);
  });

  test.each(["missing", "a", "no", "a.b.2", "__proto__", "a.constructor"])("%s finds nothing usable", (template) => {
    expect(keyTemplate(template)(line)).toHaveProperty("problem");
  });

  test.each(["", "a..b", "{id", "x{}"])("%j is refused", (template) => {
    expect(() => keyTemplate(template)).toThrow();
  });
});
