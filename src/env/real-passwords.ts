/**
 * argon2id (RFC 9106) with 19 MiB and two passes, the least that OWASP's Password Storage Cheat Sheet takes for good: about
 * 40 ms of one core. More memory would cost whoever guesses no more than it costs a node that is flooded with guesses.
 */
import type { Passwords } from "./passwords.ts";

const MEMORY_KIB = 19_456;
const PASSES = 2;

export const realPasswords: Passwords = {
  hash: (password) => Bun.password.hash(password, { algorithm: "argon2id", memoryCost: MEMORY_KIB, timeCost: PASSES }),
  verify: (password, hash) => Bun.password.verify(password, hash, "argon2id"),
};
