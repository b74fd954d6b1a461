/** The roles that are there from the start, and the names of rights. */
import { ALL_RIGHTS, type Grant, Right } from "../../record/access-format.ts";

const EVERY_KEY = { bucket: "*", prefix: new Uint8Array(0) };

/** None of them can be changed; all but the last are about buckets. */
export const BUILT_IN_ROLES: ReadonlyMap<string, readonly Grant[]> = new Map([
  ["reader", [{ ...EVERY_KEY, rights: Right.read }]],
  ["writer", [{ ...EVERY_KEY, rights: Right.read | Right.write }]],
  ["admin", [{ ...EVERY_KEY, rights: Right.read | Right.write | Right.admin }]],
  ["cluster", [{ ...EVERY_KEY, rights: Right.cluster }]],
]);

/** "read,write" as bits; null: another word is in it. */
export function parseRights(text: string): number | null {
  if (text === "all") return ALL_RIGHTS;
  let rights = 0;
  for (const word of text.split(",")) {
    if (!Object.hasOwn(Right, word)) return null;
    rights |= Right[word as keyof typeof Right];
  }
  return rights;
}

export function rightsText(rights: number): string {
  const words = Object.entries(Right).filter(([, bit]) => (rights & bit) !== 0);
  return words.map(([word]) => word).join(",");
}
