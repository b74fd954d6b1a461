/**
 * Opens the log behind the tables of a shard. A log that is damaged is refused where nobody else has what it held; where
 * there are others, the shard goes on with what is before the damage, or, if that ends before the tables do, with a new log
 * behind them, and is no full member until it has made up for the loss (log/log-loss.ts). Shard thread.
 */
import { EnvelopeError } from "../core/errors.ts";
import { Log } from "../log/log.ts";
import type { LogLoss } from "../log/log-loss.ts";
import type { LogOptions } from "../log/log-options.ts";
import { beginLogBehind } from "../log/log-origin.ts";
import { provenEnd } from "../log/proven-end.ts";
import { setLogAside } from "../log/set-aside.ts";
import { decodeConfiguration } from "../record/configuration-format.ts";
import type { FlushedPosition } from "../storage/manifest-format.ts";
import type { UnstartedTree } from "../storage/tree.ts";
import type { ShardEnvironment } from "./shard-environment.ts";

/** Throws what is wrong with the log when it cannot be gone on without. */
export function openLog(
  { disk, log: logger }: ShardEnvironment,
  options: LogOptions,
  hasPeers: boolean,
  loss: LogLoss,
  directory: string,
  { flushed, claims }: UnstartedTree,
): Log {
  const open = (mayCut: boolean): Log => {
    const log = Log.open(disk, directory, options, claims, mayCut);
    try {
      checkContinuity(log, flushed, directory);
    } catch (cause) {
      log.close();
      throw cause;
    }
    return log;
  };
  try {
    return open(false);
  } catch (cause) {
    if (!hasPeers || isOnlyVoter(flushed) || !isLoss(cause, loss)) throw cause;
    logger.error("the log is damaged; the shard goes on without a part of it, and waits for the others", {
      shard: options.shard,
      why: cause.message,
    });
    loss.note(provenEnd(disk, directory, options), cause.message);
  }
  try {
    return open(true);
  } catch (cause) {
    if (!isLoss(cause, loss)) throw cause;
  }
  const lastId = setLogAside(disk, directory, claims);
  const firstId = flushed.index === 0 ? 1 : lastId + 1;
  beginLogBehind(disk, directory, options, firstId, flushed.index, flushed.term);
  return open(false);
}

/** Damage; or that files are missing, where they have been set aside before. */
function isLoss(cause: unknown, loss: LogLoss): cause is EnvelopeError {
  if (!(cause instanceof EnvelopeError)) return false;
  return cause.code === "CORRUPTION" || (cause.code === "MISSING_FILE" && loss.isPending);
}

/** What only this member has acknowledged nobody else has. */
function isOnlyVoter({ configuration }: FlushedPosition): boolean {
  if (configuration.index === 0) return false;
  const members = decodeConfiguration(configuration.body, "the manifest");
  return members instanceof EnvelopeError || members.filter(({ role }) => role === "voter").length <= 1;
}

/**
 * Tables and log must be of one history. A log that ends before the tables do, or has the entry at which they end in
 * another term, has lost what they hold, or was put back from elsewhere.
 */
function checkContinuity(log: Log, { index, term }: FlushedPosition, directory: string): void {
  if (log.lastIndex < index) {
    throw new EnvelopeError(
      "CORRUPTION",
      `the log in ${directory} ends at entry ${log.lastIndex}, but its tables hold everything up to ${index}`,
    );
  }
  if (log.firstIndex > index + 1) {
    throw new EnvelopeError(
      "CORRUPTION",
      `the log in ${directory} begins at entry ${log.firstIndex}, but its tables end at ${index}: entries are missing`,
    );
  }
  const run = log.termRuns.findLast(({ firstIndex }) => firstIndex <= index);
  const termThere = run?.term ?? log.previousTerm;
  if (termThere !== term) {
    throw new EnvelopeError(
      "CORRUPTION",
      `the log in ${directory} has entry ${index} of term ${termThere}, its tables hold that of term ${term}`,
    );
  }
}
