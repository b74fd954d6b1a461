/** What a simulated engine says, in the words in which the model says it. */
import { decodeAccessCensus, decodeRole, decodeUser } from "../record/access-format.ts";
import { decodeCensus, decodeMemberRecord } from "../record/member-format.ts";
import { decode } from "@msgpack/msgpack";
import type { CommandResult, ShardBoot } from "../bridge/shard-protocol.ts";
import { viewOf } from "../core/bytes.ts";
import type { Result } from "../record/result.ts";
import { type EngineEntry, textOf } from "./engine-command.ts";

/** The terms of a log from an index on, as runs. */
export function termRunsOf(state: readonly EngineEntry[], firstIndex: number): string {
  const runs: string[] = [];
  for (let i = firstIndex - 1; i < state.length; i++) {
    const entry = state[i];
    if (entry === undefined || (i >= firstIndex && state[i - 1]?.term === entry.term)) continue;
    runs.push(`${entry.index}@${entry.term}`);
  }
  return runs.join(" ");
}

/** A result in the words of the model. */
export function describeResult(result: Result): string {
  if (result.kind === "integer") return `integer ${result.value}`;
  if (result.kind === "bytes") return `bytes ${textOf(result.bytes)}`;
  if (result.kind === "version") return `version ${textOf(result.value)}`;
  if (result.kind === "results") return `[${result.results.map(describeResult).join(", ")}]`;
  return result.kind === "error" ? `error ${result.code}` : result.kind;
}

/** What a key of the system bucket says, as the model keeps it. */
export function systemText(key: string, value: Uint8Array): string {
  if (key === "members") {
    const { version, nextId, stayingCount } = decodeCensus(value);
    return `${version} ${nextId} ${stayingCount}`;
  }
  if (key.startsWith("member/")) {
    const { id, incarnation, peerAddress, rack, state, forced } = decodeMemberRecord(value);
    return `${id} ${incarnation} ${peerAddress} ${rack} ${forced === true ? "forced" : state}`;
  }
  if (key === "access") {
    const { version, users, roles } = decodeAccessCensus(value);
    return `${version} ${users} ${roles}`;
  }
  if (key.startsWith("user/")) {
    const { id, revision, enabled } = decodeUser(value);
    return `${id} ${revision} ${enabled}`;
  }
  if (key.startsWith("role/")) return `0 ${decodeRole(value).revision} -`;
  if (key === "next-bucket") return String(viewOf(value).getUint32(0, true));
  return key.startsWith("bucket/") ? String((decode(value) as { id: number }).id) : textOf(value);
}

/** Whether a command was refused because what it needs is damaged. */
export function isRefusedForDamage({ result }: CommandResult): boolean {
  return result.kind === "error" && result.code === "CORRUPTION";
}

/** What is wrong with the configurations of a start with this log, null: nothing. It knows the last that tables hold and all that follow. */
export function configurationFault({ configurations }: ShardBoot, state: readonly EngineEntry[]): string | null {
  const all = configurationsOf(state);
  const found = configurations.map(({ index, body }) => `${index} ${textOf(body)}`);
  const isTail = all.slice(Math.max(0, all.length - found.length)).join("\n") === found.join("\n");
  if (isTail && (found.length > 0 || all.length === 0)) return null;
  return `configurations [${found.join(", ")}] of [${all.join(", ")}]`;
}

/** The configurations of a log, each with its index. */
function configurationsOf(state: readonly EngineEntry[]): string[] {
  return state.flatMap(({ index, configuration }) => (configuration === null ? [] : [`${index} ${configuration}`]));
}
