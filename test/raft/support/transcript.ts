/**
 * Golden transcripts of the protocol, in the manner of etcd-io/raft's `testdata`: blocks of commands, a line `----`, and
 * what happened. Every command names a member or a pair; what the member hands out in consequence is printed under it.
 *
 *   group 3 [preVote=off] [tail=BYTES] [lease=MS] …   a fresh group of that many voters
 *   disk 2 term=3 vote=1 log=1,1,2 commit=1   what member 2 finds on its disk: the terms of entries 1, 2, 3
 *   elect 1   makes 1 the leader and says nothing about it
 *   join 4   a fresh member that knows of no group yet
 *   tick 1 [COUNT] · campaign 1 · propose 1 TEXT · read 1 CONTEXT · transfer 1 2
 *   release 1 5   the log of 1 begins at 5 from now on · offer 1 ID   a snapshot for all that want one
 *   install 2   2 installs what it was offered · abandon 2   or does not · fail 1 2   1 has none for 2
 *   clock 1 MS   the clock of 1 stands there · lease 1   what 1 may read without a round
 *   change 1 voters=1,2 [learners=3]   1 proposes these as the group
 *   deliver 1 2 [TYPE] · drop 1 2 [TYPE] · repeat 1 2 [TYPE]   everything on the way from 1 to 2, or all of one type
 *   persist 1 [COUNT]   the disk of 1 finishes its oldest writes · crash 1   and starts again · old 1   answers a read of entries
 *   settle   every disk and message until nothing is left, one line each · status   one line a member
 */
import { NO_NODE, type NodeId } from "../../../src/core/ids.ts";
import { Random } from "../../../src/core/random.ts";
import type { RaftMessage } from "../../../src/raft/messages.ts";
import type { RaftOptions } from "../../../src/raft/ready.ts";
import { change, Durable, describe, entryList, Member, proposal } from "./member.ts";

class Stage {
  readonly members = new Map<number, Member>();
  #messages: RaftMessage[] = [];
  #lines: string[] = [];
  #options: Partial<RaftOptions> = {};
  #voters: number[] = [];
  readonly #commits = new Map<number, number>();
  readonly #configurations = new Map<number, string>();

  run(command: string): string[] {
    this.#lines = [];
    const [verb = "", ...words] = command.split(/\s+/);
    const settings = new Map(
      words.filter((word) => word.includes("=")).map((word) => word.split("=", 2) as [string, string]),
    );
    this.#perform(verb, words, settings);
    return this.#lines;
  }

  #perform(verb: string, words: readonly string[], settings: ReadonlyMap<string, string>): void {
    const first = Number(words[0]);
    const second = Number(words[1]);
    switch (verb) {
      case "group":
        return this.#group(first, settings);
      case "disk":
        return this.#disk(first, settings);
      case "tick":
        for (let i = 0; i < (second || 1); i++) this.#member(first).raft.tick();
        return this.#collect(first);
      case "campaign":
        this.#member(first).raft.campaign();
        return this.#collect(first);
      case "elect":
        this.#member(first).raft.campaign();
        this.#collect(first);
        this.#settle();
        this.#lines = [];
        return;
      case "propose":
        this.#print(first, `proposed ${proposal(this.#member(first), words[1] ?? "")}`);
        return this.#collect(first);
      case "read":
        this.#print(first, `read ${second}: ${this.#member(first).raft.readIndex(second)}`);
        return this.#collect(first);
      case "join":
        return this.#start(first, new Durable(), []);
      case "change":
        this.#print(
          first,
          `proposed ${change(this.#member(first), ids(settings, "voters"), ids(settings, "learners"))}`,
        );
        return this.#collect(first);
      case "release":
        this.#member(first).release(second);
        return this.#collect(first);
      case "offer":
        this.#member(first).offerSnapshots(second);
        return this.#collect(first);
      case "fail":
        this.#member(first).raft.snapshotFailed(second as NodeId);
        return this.#collect(first);
      case "install":
        return this.#install(first);
      case "abandon":
        this.#member(first).abandonInstall();
        return this.#collect(first);
      case "clock":
        this.#member(first).nowMs = second;
        return;
      case "lease": {
        const member = this.#member(first);
        return this.#print(first, `lease: ${member.raft.leaseIndex(member.nowMs) ?? "none"}`);
      }
      case "transfer":
        this.#print(first, `transfer to ${second}: ${this.#member(first).raft.transferLeadership(second as NodeId)}`);
        return this.#collect(first);
      case "deliver":
        for (const message of this.#take(first, second, words[2])) this.#deliver(message);
        return;
      case "drop":
        for (const message of this.#take(first, second, words[2])) this.#lines.push(`lost: ${describe(message)}`);
        return;
      case "repeat":
        this.#messages.push(...this.#messages.filter((message) => isOn(message, first, second, words[2])));
        return;
      case "persist":
        return this.#persist(first, second || undefined);
      case "crash":
        this.#member(first).restart();
        return this.#collect(first);
      case "old":
        this.#member(first).answerRead();
        return this.#collect(first);
      case "settle":
        return this.#settle();
      case "status":
        for (const member of this.members.values()) this.#lines.push(status(member));
        return;
      default:
        throw new Error(`unknown command ${verb}`);
    }
  }

  #group(size: number, settings: ReadonlyMap<string, string>): void {
    this.#options = {
      preVote: settings.get("preVote") !== "off",
      ...(settings.has("tail") && { tailBytesMax: Number(settings.get("tail")) }),
      ...(settings.has("lease") && { leaseMs: Number(settings.get("lease")) }),
      ...(settings.has("append") && { appendBytesMax: Number(settings.get("append")) }),
      ...(settings.has("inflight") && { inflightCountMax: Number(settings.get("inflight")) }),
      ...(settings.has("uncommitted") && { uncommittedBytesMax: Number(settings.get("uncommitted")) }),
    };
    this.members.clear();
    this.#messages = [];
    this.#voters = Array.from({ length: size }, (_, i) => i + 1);
    for (const id of this.#voters) this.#start(id, new Durable(), this.#voters);
  }

  #disk(id: number, settings: ReadonlyMap<string, string>): void {
    const durable = new Durable();
    durable.term = Number(settings.get("term") ?? 0);
    durable.vote = Number(settings.get("vote") ?? NO_NODE);
    const terms = (settings.get("log") ?? "").split(",").filter((word) => word !== "");
    durable.entries = terms.map((term, i) => ({
      index: (i + 1) as never,
      term: Number(term) as never,
      bytes: new TextEncoder().encode(`${i + 1}@${term}`),
      configuration: null,
    }));
    durable.commitIndex = Number(settings.get("commit") ?? 0);
    this.#start(id, durable, this.#voters);
    // The silence of a restarted voter has a transcript of its own.
    if (settings.get("quiet") !== "on") for (let i = 0; i < 10; i++) this.#member(id).raft.tick();
    this.#lines = [];
    this.#collect(id);
    this.#lines = [];
    this.#messages = this.#messages.filter(({ from }) => from !== id);
  }

  #start(id: number, durable: Durable, voters: readonly number[]): void {
    this.members.set(id, new Member(id, voters, this.#options, durable, new Random(id)));
    this.#configurations.set(id, group(this.#member(id)));
    this.#commits.set(id, this.#member(id).collect()?.commitIndex ?? 0);
  }

  #member(id: number): Member {
    const member = this.members.get(id);
    if (member === undefined) throw new Error(`no member ${id}`);
    return member;
  }

  #take(from: number, to: number, type: string | undefined): RaftMessage[] {
    const taken = this.#messages.filter((message) => isOn(message, from, to, type));
    this.#messages = this.#messages.filter((message) => !taken.includes(message));
    return taken;
  }

  #deliver(message: RaftMessage): void {
    this.#lines.push(`deliver: ${describe(message)}`);
    if (!this.members.has(message.to)) return;
    this.#member(message.to as NodeId).raft.step(message);
    this.#collect(message.to);
  }

  #persist(id: number, count: number | undefined): void {
    this.#member(id).persist(count);
    this.#collect(id);
  }

  #install(id: number): void {
    const member = this.#member(id);
    this.#print(id, `may install: ${member.startInstall()}`);
    member.finishInstall();
    this.#collect(id);
  }

  #settle(): void {
    for (let round = 0; round < 100; round++) {
      const busy = [...this.members.values()].filter(({ pending, reads }) => pending.length + reads.length > 0);
      if (busy.length === 0 && this.#messages.length === 0) return;
      for (const member of busy) {
        this.#print(member.id, "disk");
        while (member.reads.length > 0) member.answerRead();
        this.#persist(member.id, undefined);
      }
      for (const message of this.#messages.splice(0)) this.#deliver(message);
    }
    throw new Error("the group never settles");
  }

  #collect(id: number): void {
    const member = this.#member(id);
    const ready = member.collect();
    if (ready === null) return;
    const { raft } = member;
    if (ready.roleChanged) this.#print(id, `${raft.role} term=${raft.term} leader=${raft.leader}`);
    if (ready.hardState !== null) this.#print(id, `save term=${ready.hardState.term} vote=${ready.hardState.vote}`);
    if (ready.entries.length > 0) this.#print(id, `write ${entryList(ready.entries)}`);
    for (const message of ready.messages) this.#print(id, `send ${describe(message)}`);
    for (const { from, bytesMax } of ready.reads) this.#print(id, `wants entries from ${from}, ${bytesMax} bytes`);
    for (const wanting of ready.snapshotsWanted) this.#print(id, `wants a snapshot for ${wanting}`);
    if (ready.install !== null) {
      const { from, id: name, index, term } = ready.install;
      this.#print(id, `fetch snapshot ${name}, last=${index}@${term}, from ${from}`);
    }
    for (const { context, index } of ready.readStates) this.#print(id, `read ${context} at ${index}`);
    for (const context of ready.readFailures) this.#print(id, `read ${context} failed`);
    const configuration = group(member);
    if (configuration !== this.#configurations.get(id)) this.#print(id, `group ${configuration}`);
    this.#configurations.set(id, configuration);
    if (ready.commitIndex !== this.#commits.get(id)) this.#print(id, `commit=${ready.commitIndex}`);
    this.#commits.set(id, ready.commitIndex);
    this.#messages.push(...ready.messages);
  }

  #print(id: number, text: string): void {
    this.#lines.push(`  ${id}: ${text}`);
  }
}

function isOn(message: RaftMessage, from: number, to: number, type: string | undefined): boolean {
  return message.from === from && message.to === to && (type === undefined || message.type === type);
}

function ids(settings: ReadonlyMap<string, string>, name: string): number[] {
  return (settings.get(name) ?? "")
    .split(",")
    .filter((word) => word !== "")
    .map(Number);
}

function group({ raft }: Member): string {
  const { voters, learners } = raft.configuration;
  return `voters=${voters}${learners.length > 0 ? ` learners=${learners}` : ""}`;
}

function status({ id, raft }: Member): string {
  const terms: number[] = [];
  for (let index = 1; index <= raft.lastIndex; index++) terms.push(raft.termAt(index as never) ?? 0);
  return `${id} ${raft.role} term=${raft.term} vote=${raft.vote} leader=${raft.leader} log=[${terms}] commit=${raft.commitIndex}`;
}

/** Plays a transcript; returns it with what really happened. */
export function play(transcript: string): string {
  const stage = new Stage();
  const out: string[] = [];
  let inOutput = false;
  let commands: string[] = [];
  for (const line of `${transcript.trimEnd()}\n\n`.split("\n")) {
    if (inOutput) {
      if (line === "") inOutput = false;
      else continue;
    }
    if (line === "----") {
      out.push(line);
      for (const command of commands) {
        const lines = stage.run(command);
        out.push(...(commands.length > 1 ? [`> ${command}`, ...lines] : lines));
      }
      commands = [];
      inOutput = true;
      continue;
    }
    if (line !== "" && !line.startsWith("#")) commands.push(line);
    out.push(line);
  }
  if (commands.length > 0) throw new Error(`commands without ----: ${commands}`);
  return `${out.join("\n").trimEnd()}\n`;
}
