/** Commands on one key, wherever it is: in the shard's state, or in what a transaction has come to so far. Shard thread. */
import { unreachable } from "../core/assert.ts";
import { CommandType } from "../record/command-format.ts";
import { errorResult, OK, type Result } from "../record/result.ts";
import { applyExpire, applyGetExpire, applyPersist } from "./apply-expiry.ts";
import { applyIncrement } from "./apply-increment.ts";
import { applyIncrementFloat } from "./apply-increment-float.ts";
import { applySetBit, applySetRange } from "./apply-parts.ts";
import { applyAppend, applyConditionalPut, applyDelete, applyGetDelete } from "./apply-strings.ts";
import type { KeyContext } from "./key-context.ts";

const OUT_OF_PLACE = errorResult("INVALID_ARGUMENT", "a command of this type does not belong here");

/** What the command comes to; null: there is no room, and nothing was written. */
export function applyKeyCommand(context: KeyContext): Result | null {
  const { command } = context;
  switch (command.type) {
    case CommandType.put:
      return context.put(command.bytes, command.valueStart, command.valueEnd, command.expiryMs) ? OK : null;
    case CommandType.delete:
      return applyDelete(context);
    case CommandType.conditionalPut:
      return applyConditionalPut(context);
    case CommandType.increment:
      return applyIncrement(context);
    case CommandType.append:
      return applyAppend(context);
    case CommandType.setRange:
      return applySetRange(context);
    case CommandType.setBit:
      return applySetBit(context);
    case CommandType.incrementFloat:
      return applyIncrementFloat(context);
    case CommandType.expire:
      return applyExpire(context);
    case CommandType.persist:
      return applyPersist(context);
    case CommandType.getDelete:
      return applyGetDelete(context);
    case CommandType.getExpire:
      return applyGetExpire(context);
    case CommandType.commit:
    case CommandType.rollback:
    case CommandType.fence:
    case CommandType.createBucket:
    case CommandType.dropBucket:
    case CommandType.renewBucket:
    case CommandType.fenceDone:
    case CommandType.alterBucket:
    case CommandType.openSession:
    case CommandType.closeSession:
    case CommandType.foundCluster:
    case CommandType.admitMember:
    case CommandType.retireMember:
    case CommandType.forgetMember:
    case CommandType.changeAccess:
    case CommandType.removeAccess:
    case CommandType.foundAccess:
    case CommandType.transaction:
    case CommandType.rename:
    case CommandType.copy:
      return OUT_OF_PLACE;
    default:
      return unreachable(command.type);
  }
}
