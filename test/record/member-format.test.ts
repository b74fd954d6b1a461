/** Members on disk and wire: what is written is read again, and nothing else passes for it. */
import { expect, test } from "bun:test";
import { encode } from "@msgpack/msgpack";
import { EnvelopeError } from "../../src/core/errors.ts";
import { nodeId } from "../../src/core/ids.ts";
import {
  decodeMemberList,
  decodeMemberRecord,
  encodeMemberList,
  encodeMemberRecord,
  type MemberRecord,
} from "../../src/record/member-format.ts";

const FIRST: MemberRecord = {
  id: nodeId(1),
  name: "n1",
  incarnation: "ab",
  peerAddress: "127.0.0.1:9101",
  rack: "east",
  state: "member",
};
const SECOND: MemberRecord = {
  id: nodeId(7),
  name: "n2",
  incarnation: "",
  peerAddress: "[::1]:9102",
  rack: "",
  state: "leaving",
  forced: true,
};

test("golden bytes of a record and of a list", () => {
  const record =
    "87a2696401a46e616d65a26e31ab696e6361726e6174696f6ea26162ab7065657241646472657373ae3132372e302e302e313a39313031a47261636ba465617374a5737461746501a6666f72636564c2";
  expect(Buffer.from(encodeMemberRecord(FIRST)).toString("hex")).toBe(record);
  expect(decodeMemberRecord(Uint8Array.fromHex(record))).toEqual(FIRST);
  const list = { version: 3, nextId: 8, members: [FIRST, SECOND] };
  expect(decodeMemberList(encodeMemberList({ ...list, members: [SECOND, FIRST] }))).toEqual(list);
});

test("what is no member is refused", () => {
  const whole = { ...FIRST, state: 1, forced: false };
  const bad = [
    ...[0, 65_536, 1.5, "1"].map((id) => ({ ...whole, id })),
    ...["", "-n", "a b", 7, "x".repeat(65)].map((name) => ({ ...whole, name })),
    ...["nowhere", "host:70000", 3].map((peerAddress) => ({ ...whole, peerAddress })),
    ...[0, 3, "member"].map((state) => ({ ...whole, state })),
    { ...whole, rack: "a b" },
    { ...whole, incarnation: "a".repeat(65) },
    { ...whole, forced: undefined },
    [],
    null,
  ];
  for (const value of bad) expect(() => decodeMemberRecord(encode(value))).toThrow(EnvelopeError);
  expect(() => decodeMemberRecord(Uint8Array.of(0xc1))).toThrow(EnvelopeError);
});

test("what is no list is refused: ids rise and have been given out, names are there once", () => {
  const of = (...members: unknown[]) => encode({ version: 1, nextId: 8, members });
  const one = { ...FIRST, state: 1, forced: false };
  const two = { ...one, id: 2, name: "n2" };
  expect(decodeMemberList(of(one, two)).members.length).toBe(2);
  const bad = [
    of(two, one),
    of(one, { ...two, name: "n1" }),
    of(one, { ...two, id: 8 }),
    encode({ version: 1 }),
    of(1),
  ];
  for (const bytes of bad) expect(() => decodeMemberList(bytes)).toThrow(EnvelopeError);
});
