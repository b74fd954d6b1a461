/** Tokens that nobody has signed, or that were changed on the way: none opens, and none is more than refused. */
import { expect, test } from "bun:test";
import type { AccessContent } from "../../../src/cluster/access-catalog.ts";
import { Random } from "../../../src/core/random.ts";
import { readToken, signToken, type TokenClaims } from "../../../src/server/access/tokens.ts";
import { mutated } from "../../fuzz/mutation.ts";

const NOW_MS = 1_800_000_000_000;
const SECRET = new Uint8Array(32).fill(7);
const KEY = { secret: SECRET, createdMs: 0, retiredMs: 0, revision: 1 };
const CONTENT = {
  users: new Map(),
  roles: new Map(),
  tokenKeys: new Map([["k1", KEY]]),
  revocations: new Map(),
} as unknown as AccessContent;
const CLAIMS: TokenClaims = {
  id: "t1",
  keyId: "k1",
  user: "ann",
  userId: 3,
  limits: [{ bucket: "*", prefix: new Uint8Array(0), rights: 1 }],
  expiresMs: NOW_MS + 60_000,
};
const INPUTS = 3_000;
const HEADERS = [
  { alg: "none" },
  { alg: "none", kid: "k1" },
  { alg: "HS256" },
  { alg: "HS256", kid: 5 },
  { alg: "HS256", kid: ["k1"] },
  { alg: "HS256", kid: "__proto__" },
  { alg: "HS512", kid: "k1" },
  { alg: "RS256", kid: "k1" },
  { alg: 7, kid: "k1" },
  { alg: "HS256", kid: "k1", crit: ["exp"] },
  { alg: "HS256", kid: "k1", crit: "b64", b64: false },
  { alg: "HS256", kid: "k1", b64: false, crit: ["b64"] },
  { alg: "HS256", kid: "k1", jwk: { kty: "oct", k: "AA" } },
  { alg: "HS256", kid: "k1", zip: "DEF" },
  [],
  null,
  "HS256",
] as const;

test("headers of every kind with a foreign signature", async () => {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  for (const header of HEADERS) {
    for (const payload of [{ sub: "ann", jti: "x", iat: 1, exp: 9e9, uid: 3, lim: [] }, [], null, 5]) {
      for (const signature of ["", "AAAA", "A".repeat(43)]) {
        const token = `${part(header)}.${part(payload)}.${signature}`;
        expect({ token, claims: await readToken(CONTENT, token, NOW_MS) }).toEqual({ token, claims: null });
      }
    }
  }
});

test("a good token, changed anywhere", async () => {
  const good = await signToken("k1", SECRET, CLAIMS, NOW_MS);
  expect((await readToken(CONTENT, good, NOW_MS))?.user).toBe("ann");
  const bytes = Buffer.from(good);
  const random = new Random(5);
  for (let i = 0; i < INPUTS; i++) {
    const token = Buffer.from(mutated(bytes, bytes, random)).toString("latin1");
    if (sameToken(token, good)) continue;
    expect({ token, claims: await readToken(CONTENT, token, NOW_MS) }).toEqual({ token, claims: null });
  }
});

/** The last character of a part has bits that stand for nothing. */
function sameToken(a: string, b: string): boolean {
  const [one, other] = [a, b].map((token) =>
    token.split(".").map((part) => Buffer.from(part, "base64url").toString("hex")),
  );
  return Bun.deepEquals(one, other);
}
