/**
 * Where a command may stand by itself: the key commands in buckets of users, the catalog and fences in the system bucket,
 * sessions in theirs. Nothing else is ever sent by a member, and what is not in its place is not let into a log: every
 * replica would carry it out, and again at each start. Any thread.
 */
import { SESSION_BUCKET, SYSTEM_BUCKET } from "../core/ids.ts";
import { CommandType } from "./command-format.ts";

type Place = "keys" | "system" | "sessions" | "nowhere";

const PLACES: Record<keyof typeof CommandType, Place> = {
  put: "keys",
  delete: "keys",
  commit: "nowhere",
  rollback: "nowhere",
  conditionalPut: "keys",
  increment: "keys",
  append: "keys",
  expire: "keys",
  persist: "keys",
  getDelete: "keys",
  getExpire: "keys",
  fence: "system",
  createBucket: "system",
  dropBucket: "system",
  renewBucket: "system",
  alterBucket: "system",
  fenceDone: "system",
  openSession: "sessions",
  closeSession: "sessions",
  foundCluster: "system",
  admitMember: "system",
  retireMember: "system",
  forgetMember: "system",
  setRange: "keys",
  setBit: "keys",
  incrementFloat: "keys",
  transaction: "keys",
  rename: "nowhere",
  copy: "nowhere",
  changeAccess: "system",
  removeAccess: "system",
  foundAccess: "system",
};

const PLACE_OF = new Map<CommandType, Place>(
  (Object.keys(PLACES) as (keyof typeof CommandType)[]).map((name) => [CommandType[name], PLACES[name]]),
);

/** Whether a command of this type may stand by itself in that bucket. */
export function isInPlace(type: CommandType, bucket: number): boolean {
  const place = PLACE_OF.get(type);
  if (bucket === SYSTEM_BUCKET) return place === "system";
  return place === (bucket === SESSION_BUCKET ? "sessions" : "keys");
}
