/** Users, roles, keys of tokens and revocations on disk: what is written is read again, and nothing else passes for it. */
import { expect, test } from "bun:test";
import { encode } from "@msgpack/msgpack";
import { utf8 } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import {
  accessKeyOf,
  decodeAccessCensus,
  decodeAccessChange,
  decodeRevocation,
  decodeRole,
  decodeTokenKey,
  decodeUser,
  encodeAccessCensus,
  encodeAccessChange,
  encodeAccessRecord,
  isAccessName,
  type UserRecord,
} from "../../src/record/access-format.ts";

const USER: UserRecord = {
  id: 3,
  hash: "$argon2id$x",
  enabled: true,
  roles: ["reader", "clerk"],
  grants: [{ bucket: "orders", prefix: utf8("eu:"), rights: 3 }],
  revision: 7,
};
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("golden bytes of every entry", () => {
  expect(hex(encodeAccessRecord("users", USER))).toBe(
    "86a2696403a468617368ab246172676f6e3269642478a7656e61626c6564c3a5726f6c657392a6726561646572a5636c65726ba66772616e74739183a66275636b6574a66f7264657273a6707265666978c40365753aa672696768747303a87265766973696f6e07",
  );
  expect(decodeUser(encodeAccessRecord("users", USER))).toEqual(USER);
  const role = { grants: USER.grants, revision: 2 };
  expect(hex(encodeAccessRecord("roles", role))).toBe(
    "82a66772616e74739183a66275636b6574a66f7264657273a6707265666978c40365753aa672696768747303a87265766973696f6e02",
  );
  expect(decodeRole(encodeAccessRecord("roles", role))).toEqual(role);
  const key = { secret: new Uint8Array(32).fill(5), createdMs: 1, retiredMs: 0, revision: 2 };
  expect(hex(encodeAccessRecord("tokenKeys", key))).toBe(
    `84a6736563726574c420${"05".repeat(32)}a9637265617465644d7301a9726574697265644d7300a87265766973696f6e02`,
  );
  expect(decodeTokenKey(encodeAccessRecord("tokenKeys", key))).toEqual(key);
  const revocation = { expiresMs: 256, revision: 2 };
  expect(hex(encodeAccessRecord("revocations", revocation))).toBe("82a9657870697265734d73cd0100a87265766973696f6e02");
  expect(decodeRevocation(encodeAccessRecord("revocations", revocation))).toEqual(revocation);
  const census = { version: 1, users: 2, roles: 3, tokenKeys: 4, revocations: 5 };
  expect(hex(encodeAccessCensus(census))).toBe("0100000002000000030000000400000005000000");
  expect(decodeAccessCensus(encodeAccessCensus(census))).toEqual(census);
  expect(decodeAccessChange("users", encodeAccessChange("users", 6, USER))).toEqual({ expected: 6, record: USER });
});

test("keys of the catalog, and what may be a name", () => {
  expect(accessKeyOf("user/ann")).toEqual({ kind: "users", name: "ann" });
  expect(accessKeyOf("token-revoked/x")).toEqual({ kind: "revocations", name: "x" });
  expect(["member/n1", "access", "user", "users/x"].map(accessKeyOf)).toEqual([null, null, null, null]);
  expect(
    ["ann", "a@b.c", "__proto__", "constructor", "", "a b", "../x", "é", "x".repeat(65)].map(isAccessName),
  ).toEqual([true, true, false, true, false, false, false, false, false]);
});

test("what is no entry is refused", () => {
  const map = { ...USER, roles: [...USER.roles] };
  const grant = { bucket: "b", prefix: utf8(""), rights: 1 };
  const bad = [
    ...[-1, 1.5, "1", null].map((id) => ({ ...map, id })),
    ...[7, "x".repeat(257)].map((hash) => ({ ...map, hash })),
    ...["yes", 1].map((enabled) => ({ ...map, enabled })),
    ...["reader", [7], ["a b"], Array.from({ length: 33 }, () => "r")].map((roles) => ({ ...map, roles })),
    ...[{}, [7], Array.from({ length: 33 }, () => grant)].map((grants) => ({ ...map, grants })),
    ...[0, 16, "read"].map((rights) => ({ ...map, grants: [{ ...grant, rights }] })),
    ...["", "x".repeat(256), 7].map((bucket) => ({ ...map, grants: [{ ...grant, bucket }] })),
    ...["text", new Uint8Array(1025)].map((prefix) => ({ ...map, grants: [{ ...grant, prefix }] })),
    { ...map, revision: undefined },
    [],
    null,
    7,
  ];
  for (const value of bad) expect(() => decodeUser(encode(value))).toThrow(EnvelopeError);
  expect(() => decodeUser(Uint8Array.of(0xc1))).toThrow(EnvelopeError);
  expect(() => decodeAccessCensus(new Uint8Array(19))).toThrow(EnvelopeError);
  expect(() => decodeAccessChange("roles", encode({ record: {} }))).toThrow(EnvelopeError);
});
