/** What is asked about buckets as a whole. Each ends in one reply. Main thread only. */
import type { BucketRef, Coordinator } from "../../cluster/coordinator.ts";
import { durabilityText, parseDurability } from "../../record/durability.ts";
import type { PageResult, Result } from "../../record/result.ts";
import type { BinaryReply, BinaryRequest, BucketDescription } from "../../wire/binary-messages.ts";
import { isBucketName } from "../bucket-name.ts";
import { KeyWalk } from "../key-walk.ts";
import { failure } from "./replies.ts";

export type BucketRequest = Extract<
  BinaryRequest,
  { readonly type: "createBucket" | "dropBucket" | "emptyBucket" | "listBuckets" | "describeBucket" }
>;

type Answer = (reply: BinaryReply) => void;

const NOT_COUNTED = -1;
const DONE: BinaryReply = { type: "done", durability: "sync" };
const INVALID_NAME = failure(
  "INVALID_ARGUMENT",
  "invalid bucket name: 1 to 255 bytes of UTF-8 in normal form C, without slashes and control characters",
);

/** Why there cannot be a bucket of this name; null: there can. */
export function bucketNameProblem(name: string): BinaryReply | null {
  return isBucketName(name) ? null : INVALID_NAME;
}

/** `sees`: which buckets may be told of. */
export function bucketRequest(
  coordinator: Coordinator,
  request: BucketRequest,
  sees: (bucket: string) => boolean,
  answer: Answer,
): void {
  if (request.type === "listBuckets") {
    afterRefresh(coordinator, answer, () => answer({ type: "buckets", buckets: described(coordinator, sees) }));
    return;
  }
  const problem = bucketNameProblem(request.bucket);
  if (problem !== null) answer(problem);
  else if (request.type === "describeBucket") describe(coordinator, request.bucket, request.countKeys, answer);
  else change(coordinator, request, answer);
}

type Change = Extract<BucketRequest, { readonly type: "createBucket" | "dropBucket" | "emptyBucket" }>;

function change(coordinator: Coordinator, request: Change, answer: Answer): void {
  const waiter = { resolve: (_: number, result: Result) => answer(failed(result) ?? DONE) };
  if (request.type === "dropBucket") coordinator.dropBucket(request.bucket, waiter, 0);
  else if (request.type === "emptyBucket") coordinator.renewBucket(request.bucket, waiter, 0);
  else {
    const durability = request.durability === "" ? null : parseDurability(request.durability);
    if (durability === null && request.durability !== "") {
      answer(failure("INVALID_ARGUMENT", "the durability is sync, os or interval:<milliseconds up to 60000>"));
    } else coordinator.createBucket(request.bucket, durability, waiter, 0);
  }
}

function describe(coordinator: Coordinator, name: string, countKeys: boolean, answer: Answer): void {
  afterRefresh(coordinator, answer, () => {
    const bucket = coordinator.bucket(name);
    if (bucket.id === 0) answer(failure("NO_BUCKET", `no such bucket '${name}'`));
    else if (!countKeys) answer({ type: "buckets", buckets: [description(bucket, NOT_COUNTED)] });
    else count(coordinator, bucket, answer);
  });
}

function count(coordinator: Coordinator, bucket: BucketRef, answer: Answer): void {
  let keyCount = 0;
  const visitor = {
    onPage(page: PageResult): boolean {
      keyCount += page.matchCount;
      return true;
    },
    onEnd(_text: string | null, error: Result | null): void {
      const problem = error === null ? null : failed(error);
      answer(problem ?? { type: "buckets", buckets: [description(bucket, keyCount)] });
    },
  };
  new KeyWalk(coordinator, bucket, null, "count", visitor, null).start();
}

function afterRefresh(coordinator: Coordinator, answer: Answer, next: () => void): void {
  const resolve = (_: number, result: Result): void => {
    const problem = failed(result);
    if (problem === null) next();
    else answer(problem);
  };
  coordinator.refreshBuckets({ resolve }, 0);
}

function described(coordinator: Coordinator, sees: (bucket: string) => boolean): readonly BucketDescription[] {
  const buckets = coordinator.buckets().filter(({ name }) => sees(name));
  return buckets.map(({ name }) => description(coordinator.bucket(name), NOT_COUNTED));
}

function description({ name, id, seed, durability }: BucketRef, keyCount: number): BucketDescription {
  return { name, id, seed, durability: durabilityText(durability), keyCount };
}

function failed(result: Result): BinaryReply | null {
  return result.kind === "error" ? failure(result.code, result.message) : null;
}
