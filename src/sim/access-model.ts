/**
 * What commands about users and roles come to, by the plainest means: an entry is "id revision enabled", the census "version
 * users roles". Shares no code with the shard's own applying (engine-model.ts).
 */
import { decode } from "@msgpack/msgpack";
import { CommandType } from "../record/command-format.ts";
import type { SystemKeys } from "./member-model.ts";

interface Change {
  readonly expected: number;
  readonly record: { readonly enabled?: boolean };
}

/** In the words of `describeResult`; null: it is no command about users and roles. */
export function runAccessCommand(type: CommandType, key: string, value: string, keys: SystemKeys): string | null {
  const census = keys.get("access")?.split(" ").map(Number) ?? null;
  const entry = keys.get(key)?.split(" ") ?? null;
  const bytes = Buffer.from(value, "latin1");
  const isUser = key.startsWith("user/");
  if (type === CommandType.removeAccess) {
    if (entry === null || Number(entry[1]) !== bytes.readUInt32LE()) return "error CONFLICT";
    if (isUser && census?.[1] === 1) return "error INVALID_ARGUMENT";
    keys.set(key, null);
    count(keys, census, isUser, -1);
    return "ok";
  }
  if (type !== CommandType.changeAccess && type !== CommandType.foundAccess) return null;
  const { expected, record } = decode(bytes) as Change;
  if (type === CommandType.foundAccess && census !== null) return "error CONFLICT";
  if (Number(entry?.[1] ?? 0) !== expected) return "error CONFLICT";
  if (!isUser && (census?.[1] ?? 0) === 0) return "error INVALID_ARGUMENT";
  const version = (census?.[0] ?? 0) + 1;
  const id = isUser ? (entry?.[0] ?? version) : 0;
  keys.set(key, `${id} ${version} ${record.enabled ?? "-"}`);
  count(keys, census, isUser, entry === null ? 1 : 0);
  return `integer ${version}`;
}

function count(keys: SystemKeys, census: number[] | null, isUser: boolean, more: number): void {
  const [version = 0, users = 0, roles = 0] = census ?? [];
  keys.set("access", `${version + 1} ${users + (isUser ? more : 0)} ${roles + (isUser ? 0 : more)}`);
}
