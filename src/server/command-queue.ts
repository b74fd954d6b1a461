/**
 * What a client has queued between MULTI and EXEC: commands with bytes of their own, because the parser goes on. Bounded in
 * number and bytes; whoever is refused once has spoiled the whole transaction. Main thread only.
 */
import { TRANSACTION_OPERATIONS_MAX } from "../record/transaction-format.ts";
import { RequestArguments } from "../wire/request-arguments.ts";
import type { CommandEntry } from "./command-table.ts";

/** What a command takes beside its arguments and where they lie. */
const COMMAND_BYTES = 256;

interface QueuedCommand {
  readonly entry: CommandEntry;
  readonly request: RequestArguments;
}

export class CommandQueue {
  readonly commands: QueuedCommand[] = [];
  /** Something could not be queued: EXEC does nothing. */
  isSpoiled = false;
  /** Of the arguments. */
  byteCount = 0;
  /** Bytes of memory that all of it takes. */
  heldBytes = 0;
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Takes a command in; else the error to be answered. */
  add(entry: CommandEntry, request: RequestArguments): string | null {
    const problem = this.#problemWith(entry, request);
    if (problem === null) {
      const own = ownRequest(request);
      this.commands.push({ entry, request: own });
      this.heldBytes += COMMAND_BYTES + own.bytes.length + own.starts.byteLength + own.ends.byteLength;
    } else this.isSpoiled = true;
    return problem;
  }

  #problemWith(entry: CommandEntry, request: RequestArguments): string | null {
    if (entry.exclusive)
      return `ERR Command not allowed inside a transaction: '${entry.name}' is about more than keys of one shard`;
    if (this.commands.length >= TRANSACTION_OPERATIONS_MAX)
      return `ERR too many commands in a transaction, the limit is ${TRANSACTION_OPERATIONS_MAX}`;
    for (let i = 0; i < request.count; i++) this.byteCount += request.byteCount(i);
    return this.byteCount > this.#bytesMax
      ? `ERR the transaction is too large, the limit is ${this.#bytesMax} bytes`
      : null;
  }
}

function ownRequest(request: RequestArguments): RequestArguments {
  const own = new RequestArguments();
  let byteCount = 0;
  for (let i = 0; i < request.count; i++) byteCount += request.byteCount(i);
  own.bytes = new Uint8Array(byteCount);
  let end = 0;
  for (let i = 0; i < request.count; i++) {
    own.bytes.set(request.view(i), end);
    own.push(end, end + request.byteCount(i));
    end += request.byteCount(i);
  }
  return own;
}
