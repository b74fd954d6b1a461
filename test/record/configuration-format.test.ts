/** Who belongs to a group, as bytes: golden ones, and none that are something else. */
import { describe, expect, test } from "bun:test";
import { encode } from "@msgpack/msgpack";
import { viewOf } from "../../src/core/bytes.ts";
import { crc32 } from "../../src/core/crc32.ts";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import {
  type ConfigurationMember,
  decodeConfiguration,
  encodeConfiguration,
} from "../../src/record/configuration-format.ts";
import { configurationEntry, decodeEntries, isConfigurationEntry } from "../../src/record/entry-format.ts";

const MEMBERS: readonly ConfigurationMember[] = [
  { id: nodeId(1), name: "n1", incarnation: "a1", peerAddress: "127.0.0.1:9101", role: "voter" },
  { id: nodeId(300), name: "n2", incarnation: "", peerAddress: "127.0.0.1:9102", role: "learner" },
];

const GOLDEN =
  "f59562cc81a76d656d626572739285a2696401a46e616d65a26e31ab696e6361726e6174696f6ea26131ab70656572416464" +
  "72657373ae3132372e302e302e313a39313031a4726f6c650185a26964cd012ca46e616d65a26e32ab696e6361726e617469" +
  "6f6ea0ab7065657241646472657373ae3132372e302e302e313a39313032a4726f6c6502";

function sealed(value: unknown): Uint8Array {
  const map = encode(value);
  const body = new Uint8Array(4 + map.length);
  viewOf(body).setUint32(0, crc32(map), true);
  body.set(map, 4);
  return body;
}

describe("a configuration", () => {
  test("has these bytes, whatever the order of its members", () => {
    expect(encodeConfiguration(MEMBERS).toHex()).toBe(GOLDEN);
    expect(encodeConfiguration([...MEMBERS].reverse()).toHex()).toBe(GOLDEN);
    expect(decodeConfiguration(Uint8Array.fromHex(GOLDEN), "golden")).toEqual([...MEMBERS]);
  });

  test("is refused with any bit flipped, and cut anywhere", () => {
    const body = encodeConfiguration(MEMBERS);
    for (let bit = 0; bit < body.length * 8; bit++) {
      const damaged = body.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect([bit, decodeConfiguration(damaged, "test") instanceof Error]).toEqual([bit, true]);
    }
    for (let end = 0; end < body.length; end++) {
      expect([end, decodeConfiguration(body.slice(0, end), "test") instanceof Error]).toEqual([end, true]);
    }
  });

  test("has members with a name and a number each, in order, and a voter among them", () => {
    const good = { id: 1, name: "n", incarnation: "", peerAddress: "a:1", role: 1 };
    expect(decodeConfiguration(sealed({ members: [good] }), "test")).not.toBeInstanceOf(Error);
    for (const members of [
      [],
      null,
      "n",
      [null],
      [{ ...good, id: 0 }],
      [{ ...good, id: 65536 }],
      [{ ...good, id: 1.5 }],
      [{ ...good, name: 5 }],
      [{ ...good, incarnation: null }],
      [{ ...good, role: 0 }],
      [{ ...good, role: 3 }],
      [{ ...good, role: "voter" }],
      [{ ...good, role: 2 }],
      [good, good],
      [{ ...good, id: 2 }, good],
    ]) {
      expect([members, decodeConfiguration(sealed({ members }), "test") instanceof Error]).toEqual([members, true]);
    }
  });

  test("travels in an entry of its own kind, which is verified like any other", () => {
    const entry = configurationEntry(logIndex(7), term(3), encodeConfiguration(MEMBERS));
    expect([isConfigurationEntry(entry), decodeEntries(entry, "test")]).toEqual([true, [entry]]);
    entry[40]! ^= 1;
    expect(decodeEntries(entry, "test")).toMatchObject({ code: "CORRUPTION" });
  });
});
