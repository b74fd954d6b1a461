/**
 * What commands about members come to, by the plainest means: a record is "id incarnation address rack state", the census
 * "version next staying". Shares no code with the shard's own applying (engine-model.ts).
 */
import { decode } from "@msgpack/msgpack";
import { CommandType } from "../record/command-format.ts";

/** The keys of the system bucket. */
export interface SystemKeys {
  get(key: string): string | null;
  set(key: string, content: string | null): void;
}

interface Fields {
  readonly id?: number;
  readonly nextId?: number;
  readonly members?: readonly { readonly id: number; readonly name: string }[];
  readonly incarnation?: string;
  readonly peerAddress?: string;
  readonly rack?: string;
  readonly forced?: boolean;
}

/** In the words of `describeResult`; null: it is no command about members. */
export function runMemberCommand(type: CommandType, name: string, value: string, keys: SystemKeys): string | null {
  const record = keys.get(`member/${name}`)?.split(" ") ?? null;
  const census = keys.get("members")?.split(" ").map(Number) ?? null;
  const bytes = Buffer.from(value, "latin1");
  if (type === CommandType.forgetMember) {
    if (record === null || Number(record[0]) !== bytes.readUInt32LE()) return "error NO_MEMBER";
    if (record[4] === "member") return "error INVALID_ARGUMENT";
    keys.set(`member/${name}`, null);
    count(keys, census, 0, 0);
    return "ok";
  }
  if (type === CommandType.foundCluster) {
    const { members = [], nextId } = decode(bytes) as Fields;
    if (census !== null) return "ok";
    for (const member of members) keys.set(`member/${member.name}`, `${member.id}    member`);
    keys.set("members", `1 ${nextId} ${members.length}`);
    return "ok";
  }
  if (type === CommandType.admitMember) return admit(name, decode(bytes) as Fields, record, census, keys);
  if (type === CommandType.retireMember) return retire(name, decode(bytes) as Fields, record, census, keys);
  return null;
}

function admit(name: string, fields: Fields, record: string[] | null, census: number[] | null, keys: SystemKeys) {
  const { incarnation = "", peerAddress = "", rack = "" } = fields;
  if (census === null) return "error UNAVAILABLE";
  if (record === null) {
    const [, next] = census;
    keys.set(`member/${name}`, `${next} ${incarnation} ${peerAddress} ${rack} member`);
    count(keys, census, 1, 1);
    return `integer ${next}`;
  }
  const [id, bound, , , state] = record;
  if (bound !== "" && bound !== incarnation) return "error MEMBER_EXISTS";
  const now = `${id} ${incarnation} ${peerAddress} ${rack} ${state}`;
  if (now !== record.join(" ")) {
    keys.set(`member/${name}`, now);
    count(keys, census, 0, 0);
  }
  return `integer ${id}`;
}

function retire(name: string, fields: Fields, record: string[] | null, census: number[] | null, keys: SystemKeys) {
  if (record === null || census === null || Number(record[0]) !== fields.id) return "error NO_MEMBER";
  const was = record[4] ?? "";
  const becomes = fields.forced === true || was === "forced" ? "forced" : "leaving";
  if (was === becomes) return "ok";
  if (was === "member" && census[2] === 1) return "error INVALID_ARGUMENT";
  keys.set(`member/${name}`, [...record.slice(0, 4), becomes].join(" "));
  count(keys, census, 0, was === "member" ? -1 : 0);
  return "ok";
}

function count(keys: SystemKeys, census: number[] | null, ids: number, staying: number): void {
  const [version = 0, next = 0, stays = 0] = census ?? [];
  keys.set("members", `${version + 1} ${next + ids} ${stays + staying}`);
}
