import { describe, expect, test } from "bun:test";
import { resolveSettings, type SettingName, type SettingSources, settingDocs } from "../../src/config.ts";
import { EnvelopeError } from "../../src/core/errors.ts";

const NOTHING: SettingSources = { flags: {}, environment: {}, file: null, cores: 8 };

function refusal(sources: Partial<SettingSources>): string {
  try {
    resolveSettings({ ...NOTHING, ...sources });
  } catch (cause) {
    if (!(cause instanceof EnvelopeError)) throw cause;
    expect(cause.code).toBe("CONFIG");
    return cause.message;
  }
  throw new Error("these settings were accepted");
}

describe("settings", () => {
  test("a flag hides the environment, which hides the file, which hides the default", () => {
    const file = { path: "node.toml", text: "heartbeatMs = 20\nelectionMs = 1000\nlogLevel = 'warn'\n" };
    const environment = { ENVELOPEDB_HEARTBEAT_MS: "30", ENVELOPEDB_ELECTION_MS: "2000" };
    const settings = resolveSettings({ ...NOTHING, file, environment, flags: { heartbeatMs: "40" } });
    expect(settings.heartbeatMs).toBe(40);
    expect(settings.electionMs).toBe(2000);
    expect(settings.logLevel).toBe("warn");
    expect(settings.memtableArenas).toBe(3);
  });

  test("the defaults are the documented ones", () => {
    const settings = resolveSettings(NOTHING);
    expect(settings).toMatchObject({
      id: "n1",
      client: "127.0.0.1:9001",
      peer: "127.0.0.1:9101",
      http: "127.0.0.1:9201",
      data: "./data",
      heartbeatMs: 150,
      electionMs: 300,
      memtableBytes: 64 * 1024 * 1024,
      segmentBytes: 32 * 1024 * 1024,
      logRetainBytes: 512 * 1024 * 1024,
      keyBytesMax: 64 * 1024,
      valueBytesMax: 16 * 1024 * 1024,
      frameIdleMs: 30_000,
      requestTimeoutMs: 5_000,
    });
    expect(settings.peers).toEqual([{ name: "n1", address: "127.0.0.1:9101" }]);
  });

  test.each([
    [1, 1, 0],
    [2, 1, 1],
    [8, 7, 7],
    [64, 16, 16],
  ])("on %d cores there are %d shards and %d workers", (cores, shards, workers) => {
    expect(resolveSettings({ ...NOTHING, cores })).toMatchObject({ shards, workers });
  });

  test("what memory is planned for is divided, and what is set by itself stays", () => {
    const MIB = 1024 * 1024;
    const plan = (flags: Record<string, string>) => resolveSettings({ ...NOTHING, cores: 2, flags });
    expect(plan({ memoryBytes: "512MiB" })).toMatchObject({
      memtableBytes: Math.floor((64 * MIB) / 3),
      blockCacheBytes: 32 * MIB,
      logTailBytes: 8 * MIB,
    });
    expect(plan({ memoryBytes: "512MiB", tableIo: "direct" })).toMatchObject({ blockCacheBytes: 128 * MIB });
    expect(plan({ memoryBytes: "16GiB" })).toMatchObject({ memtableBytes: 64 * MIB, blockCacheBytes: 64 * MIB });
    expect(plan({ memoryBytes: "512MiB", blockCacheBytes: "0" })).toMatchObject({ blockCacheBytes: 0 });
    expect(refusal({ flags: { memoryBytes: "128MiB" } })).toContain("memtableBytes (from --memory-bytes)");
  });

  test("a node that shares its machine plans for its part of the cores", () => {
    expect(resolveSettings({ ...NOTHING, flags: { cores: "3" } })).toMatchObject({ shards: 2, workers: 2 });
    expect(resolveSettings({ ...NOTHING, flags: { cores: "1" } })).toMatchObject({ shards: 1, workers: 0 });
  });

  test("workers follow the shards that were asked for, and 0 workers is a choice", () => {
    expect(resolveSettings({ ...NOTHING, flags: { shards: "3" } }).workers).toBe(3);
    expect(resolveSettings({ ...NOTHING, flags: { workers: "0" } }).workers).toBe(0);
  });

  test("every default can be typed as a flag, a variable and a line of the file", () => {
    const usual = resolveSettings(NOTHING);
    for (const { name, variable, fallback } of settingDocs()) {
      if (fallback === null) continue;
      expect(resolveSettings({ ...NOTHING, flags: { [name]: fallback } })).toEqual(usual);
      expect(resolveSettings({ ...NOTHING, environment: { [variable]: fallback } })).toEqual(usual);
      const literal = /^(\d+|true|false)$/.test(fallback) ? fallback : JSON.stringify(fallback);
      expect(resolveSettings({ ...NOTHING, file: { path: "f", text: `${name} = ${literal}` } })).toEqual(usual);
    }
  });

  test("every setting says what it is", () => {
    for (const { name, description } of settingDocs()) expect(`${name}: ${description}`).toMatch(/: .{10,}/);
  });

  test("a nonsense value of any setting is refused by its name and its source", () => {
    for (const { name, flag, variable } of settingDocs()) {
      const nonsense = /^(data|.*File)$/.test(name) ? "" : "no such = value!";
      expect(refusal({ flags: { [name]: nonsense } })).toContain(`${name} (from ${flag})`);
      expect(refusal({ environment: { [variable]: nonsense } })).toContain(`${name} (from ${variable})`);
      const text = `${name} = ${JSON.stringify(nonsense)}`;
      expect(refusal({ file: { path: "/etc/n.toml", text } })).toContain(`${name} (from /etc/n.toml)`);
    }
  });

  test.each<[SettingName, string, string]>([
    ["heartbeatMs", "0", "from 1 to"],
    ["heartbeatMs", "1.5", "whole number"],
    ["client", "localhost", "host:port"],
    ["client", "127.0.0.1:70000", "65535"],
    ["memtableBytes", "64MB", "KiB, MiB or GiB"],
    ["memtableBytes", "1MiB", "largest entry"],
    ["logLevel", "loud", "debug, info"],
    ["bucketsCreateByUse", "yes", "true or false"],
    ["memtableArenas", "2", "from 3 to"],
    ["electionMs", "299", "heartbeatMs"],
    ["peers", "n2=127.0.0.1:1", "this node"],
    ["peers", "n1=127.0.0.1:1,n1=127.0.0.1:2", "twice"],
    ["peers", "n1=127.0.0.1:1,n2=127.0.0.1:1", "twice"],
    ["peers", "n1", "n1=127.0.0.1:9101"],
    ["id", "a b", "letters"],
    ["id", "../x", "letters"],
  ])("%s %s is refused with a reason (%s)", (name, value, reason) => {
    const message = refusal({ flags: { [name]: value } });
    expect(message).toStartWith(`${name} (from `);
    expect(message).toContain(reason);
  });

  test("a name in the file that is no setting is refused", () => {
    expect(refusal({ file: { path: "n.toml", text: "heartbeat = 10" } })).toBe(
      "heartbeat (from n.toml) is not a setting",
    );
    expect(refusal({ file: { path: "n.toml", text: "__proto__ = 10" } })).toContain("n.toml");
  });

  test("a file that is not TOML is refused by its name", () => {
    expect(refusal({ file: { path: "n.toml", text: "heartbeatMs = = 3" } })).toContain("n.toml is not TOML");
  });

  test("bytes may be written with a binary suffix", () => {
    expect(resolveSettings({ ...NOTHING, flags: { segmentBytes: "8MiB" } }).segmentBytes).toBe(8 * 1024 * 1024);
    expect(resolveSettings({ ...NOTHING, flags: { keyBytesMax: "512" } }).keyBytesMax).toBe(512);
  });

  test("peers may be one text, a list or a table, and give this node its own peer address", () => {
    const expected = [
      { name: "n1", address: "10.0.0.1:9101" },
      { name: "n2", address: "[::1]:9101" },
    ];
    const text = "n1=10.0.0.1:9101,n2=[::1]:9101";
    const settings = resolveSettings({ ...NOTHING, flags: { peers: text } });
    expect(settings.peers).toEqual(expected);
    expect(settings.peer).toBe("10.0.0.1:9101");
    const forms = ["peers = ['n1=10.0.0.1:9101', 'n2=[::1]:9101']", "[peers]\nn1 = '10.0.0.1:9101'\nn2 = '[::1]:9101'"];
    for (const form of forms) {
      expect(resolveSettings({ ...NOTHING, file: { path: "f", text: form } }).peers).toEqual(expected);
    }
  });

  test("a peer address of its own may differ from what the others dial", () => {
    const flags = { peers: "n1=10.0.0.1:9101", peer: "0.0.0.0:9101" };
    expect(resolveSettings({ ...NOTHING, flags })).toMatchObject({
      peer: "0.0.0.0:9101",
      peers: [{ name: "n1", address: "10.0.0.1:9101" }],
    });
  });

  test("settings of TLS are whole, or refused with what is missing or idle", () => {
    const pair = { tlsCertificate: "c", tlsKey: "k" };
    for (const [flags, why] of [
      [{ tlsClient: "on", tlsCertificate: "c" }, "tlsKey (from default) is needed, because tlsClient is on"],
      [{ tlsHttp: "on", tlsKey: "k" }, "tlsCertificate (from default) is needed, because tlsHttp is on"],
      [{ tlsPeer: "on", ...pair }, "tlsAuthority (from default) is needed, because tlsPeer is on"],
      [{ tlsClient: "required", ...pair }, "tlsAuthority (from default) is needed, because tlsClient is required"],
      [{ tlsAuthority: "a" }, "tlsAuthority (from --tls-authority) is of no use"],
      [{ tlsClient: "maybe" }, "must be off, on or required"],
    ] as const) {
      expect(refusal({ flags })).toContain(why);
    }
    expect(resolveSettings({ ...NOTHING, flags: { tlsClient: "on", ...pair } }).tlsAuthority).toBeUndefined();
  });
});
