/** Operations on buckets and members that take more than one step. Each ends in one call of `done`: null, or an error reply. */
import type { Coordinator, Waiter } from "../cluster/coordinator.ts";
import type { Result } from "../record/result.ts";
import type { ClientConnection } from "./client-connection.ts";
import { errorReply } from "./error-reply.ts";
import { KeyWalk } from "./key-walk.ts";

export type Done = (error: string | null) => void;

/** Answers with OK or the error, once the steps are done. */
export function replyWhenDone(client: ClientConnection): Done {
  const slot = client.defer();
  return (error) =>
    client.settle(slot, (reply) => {
      if (error === null) reply.ok();
      else reply.error(error);
    });
}

/** A waiter for one result of which only the error matters. */
export function whenDone(done: Done): Waiter {
  return {
    resolve(_tag: number, result: Result): void {
      done(result.kind === "error" ? errorReply(result.code, result.message) : null);
    },
  };
}

/** As `whenDone`; that the bucket is there already is as good. */
export function whenThere(done: Done): Waiter {
  return {
    resolve(_tag: number, result: Result): void {
      if (result.kind === "error" && result.code !== "BUCKET_EXISTS") done(errorReply(result.code, result.message));
      else done(null);
    },
  };
}

/** Empties these buckets one after the other; those without keys are left alone, for a fence in every shard is dear. */
export function emptyBuckets(coordinator: Coordinator, names: readonly string[], done: Done): void {
  const rest = [...names];
  const next = (error: string | null): void => {
    const name = rest.shift();
    if (error !== null || name === undefined) done(error);
    else emptyIfFilled(coordinator, name, next);
  };
  next(null);
}

function emptyIfFilled(coordinator: Coordinator, name: string, done: Done): void {
  let isFilled = false;
  const visitor = {
    onPage(page: { readonly matchCount: number }): boolean {
      isFilled = page.matchCount > 0;
      return !isFilled;
    },
    onEnd(error: string | null): void {
      if (error !== null || !isFilled) done(error);
      else coordinator.renewBucket(name, whenDone(done), 0);
    },
  };
  new KeyWalk(coordinator, coordinator.bucket(name), null, "count", visitor, null).start();
}
