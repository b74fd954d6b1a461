/**
 * What takes long on purpose: making and checking the hash of a password. It runs on threads of the runtime's own, so the one
 * that asks goes on; whoever asks bounds how many are under way, because each takes memory for itself alone.
 */
export interface Passwords {
  /** With a salt of its own and its parameters in the text. */
  hash(password: Uint8Array): Promise<string>;
  /** Takes as long whether they belong together or not. */
  verify(password: Uint8Array, hash: string): Promise<boolean>;
}
