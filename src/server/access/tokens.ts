/**
 * Signed tokens: JSON Web Tokens (RFC 7519) with HMAC-SHA-256, which a client shows instead of a password.
 *
 *   header   alg HS256, kid: the key in the catalog that signed it
 *   claims   iss "envelopedb", sub: the user, uid: that user's id, jti, iat, exp, and lim: what the token is limited to,
 *            a list of {bucket, prefix (base64url), rights}
 *
 * A token stands for its user, never for more: what it allows is what its limits and the user's grants of the moment both
 * allow. The keys are secrets of the catalog, because every node has to issue and to check; a signature of two keys would keep
 * nothing from anybody who can read the one but not the other, so the simpler one was taken. A key that was rotated out checks
 * until the last token that it may have signed has ended. Main thread only.
 */
import { errors, jwtVerify, SignJWT } from "jose";
import { ALL_RIGHTS, type Grant, type TokenKeyRecord } from "../../record/access-format.ts";
import type { AccessContent } from "../../cluster/access-catalog.ts";

const ISSUER = "envelopedb";
const ALGORITHM = "HS256";
/** How far the clocks of two nodes may be apart without a token seeming too young or too old. */
const SKEW_SECONDS = 5;
export const TOKEN_SECONDS_MAX = 90 * 24 * 3_600;
export const TOKEN_BYTES_MAX = 8 * 1024;

/** What is known of a token that was shown. */
export interface TokenClaims {
  readonly id: string;
  readonly keyId: string;
  readonly user: string;
  readonly userId: number;
  readonly limits: readonly Grant[];
  readonly expiresMs: number;
}

/** The key that signs now: the newest that is not retired. */
export function signingKey(content: AccessContent): { readonly id: string; readonly key: TokenKeyRecord } | null {
  let found: { id: string; key: TokenKeyRecord } | null = null;
  for (const [id, key] of content.tokenKeys) {
    if (key.retiredMs === 0 && (found === null || key.revision > found.key.revision)) found = { id, key };
  }
  return found;
}

export async function signToken(
  keyId: string,
  secret: Uint8Array,
  claims: TokenClaims,
  nowMs: number,
): Promise<string> {
  const lim = claims.limits.map(({ bucket, prefix, rights }) => ({ bucket, prefix: textOf(prefix), rights }));
  return await new SignJWT({ uid: claims.userId, lim })
    .setProtectedHeader({ alg: ALGORITHM, kid: keyId })
    .setIssuer(ISSUER)
    .setSubject(claims.user)
    .setJti(claims.id)
    .setIssuedAt(Math.floor(nowMs / 1000))
    .setExpirationTime(Math.floor(claims.expiresMs / 1000))
    .sign(secret);
}

/** Null: it is not ours, not whole, not yet or no longer good, or signed by a key that nobody knows. */
export async function readToken(content: AccessContent, token: string, nowMs: number): Promise<TokenClaims | null> {
  let keyId = "";
  try {
    const { payload } = await jwtVerify(
      token,
      ({ kid }) => {
        const key = kid === undefined ? undefined : content.tokenKeys.get(kid);
        if (key === undefined) throw new errors.JWKSNoMatchingKey();
        keyId = kid ?? "";
        return key.secret;
      },
      {
        algorithms: [ALGORITHM],
        issuer: ISSUER,
        clockTolerance: SKEW_SECONDS,
        currentDate: new Date(nowMs),
        maxTokenAge: TOKEN_SECONDS_MAX,
        requiredClaims: ["sub", "jti", "iat", "exp"],
      },
    );
    const { sub, jti, exp, uid, lim } = payload as Record<string, unknown>;
    const limits = limitsOf(lim);
    const isWhole = typeof sub === "string" && typeof jti === "string" && typeof exp === "number";
    if (!isWhole || typeof uid !== "number" || limits === null) return null;
    return { id: jti, keyId, user: sub, userId: uid, limits, expiresMs: exp * 1000 };
  } catch (cause) {
    if (cause instanceof errors.JOSEError) return null;
    throw cause;
  }
}

function limitsOf(value: unknown): Grant[] | null {
  if (!Array.isArray(value)) return null;
  const limits: Grant[] = [];
  for (const item of value as unknown[]) {
    const { bucket, prefix, rights } = (item ?? {}) as Record<string, unknown>;
    const isRights = typeof rights === "number" && rights > 0 && rights <= ALL_RIGHTS;
    if (typeof bucket !== "string" || typeof prefix !== "string" || !isRights) return null;
    limits.push({ bucket, prefix: Uint8Array.fromBase64(prefix, { alphabet: "base64url" }), rights });
  }
  return limits;
}

function textOf(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}
