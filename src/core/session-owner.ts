/**
 * Sessions of users. The number that a client is given for its session is not the one that the shards know it by: that one is
 * made of the client's number and of whose it is. Whoever uses the number of somebody else therefore means another session,
 * which there is not, at whichever node; and nothing has to be kept for that anywhere. No thread of its own.
 */
const BITS_ABOVE = 21;

/** The number for the shards. `owner` empty: sessions are everybody's, and the numbers the same. */
export function ownedSession(owner: string, session: number): number {
  if (owner === "") return session;
  const digest = new Bun.CryptoHasher("sha256").update(`${owner}/${session}`).digest();
  return (digest.readUInt32LE(0) >>> (32 - BITS_ABOVE)) * 2 ** 32 + digest.readUInt32LE(4);
}
