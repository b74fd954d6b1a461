/** While it is in question which id a bucket has, its operations wait, and they leave in the order in which they came. */
import { expect, test } from "bun:test";
import { BucketLookUps } from "../../src/cluster/bucket-look-ups.ts";
import { NO_QUOTA } from "../../src/cluster/bucket-quota.ts";
import { ConnectionOrdering, type Operation } from "../../src/cluster/operation.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { errorResult, OK, type Result } from "../../src/record/result.ts";

const NO_BUCKET = errorResult("NO_BUCKET", "no such bucket: news");

test("what comes under a new id waits for what is under way under the former one, and for what that comes to", () => {
  const { bucket, send, comeBack, refuse, lookUps, sent, asked } = setUp(64);
  const [first, second] = [send(), send()];
  bucket.id = 65;
  lookUps.renewed(bucket);
  const third = send();
  expect(sent).toEqual([first.tag, second.tag]);
  comeBack(second);
  refuse(first, 64);
  expect(sent.slice(2)).toEqual([first.tag, third.tag]);
  // Nothing had to be asked: an id newer than the one that was refused was known.
  expect(asked.length).toBe(0);
  expect(lookUps.any).toBe(false);
});

test("an id that was refused is asked for only when everything sent under it has come back", () => {
  const { bucket, send, comeBack, refuse, sent, asked } = setUp(64);
  const [first, second] = [send(), send()];
  refuse(second, 64);
  const third = send();
  expect(asked.length).toBe(0);
  comeBack(first);
  bucket.id = 65;
  expect(asked.length).toBe(1);
  asked[0]!(OK);
  expect(sent).toEqual([first.tag, second.tag, second.tag, third.tag]);
});

test("a new id is no reason to wait when nothing is under way, or nobody comes", () => {
  const { bucket, send, comeBack, lookUps, sent } = setUp(64);
  bucket.id = 65;
  lookUps.renewed(bucket);
  expect(lookUps.any).toBe(false);
  const only = send();
  bucket.id = 66;
  lookUps.renewed(bucket);
  expect(lookUps.any).toBe(true);
  comeBack(only);
  expect(lookUps.any).toBe(false);
  expect(send().tag).toBe(sent[1]!);
});

test("of what was refused again on the spot nothing is overtaken", () => {
  const { bucket, send, refuse, onSent, sent, asked } = setUp(64);
  const [first, second] = [send(), send()];
  refuse(first, 64);
  refuse(second, 64);
  bucket.id = 65;
  onSent.run = (operation) => {
    onSent.run = () => undefined;
    refuse(operation, 65);
  };
  asked[0]!(OK);
  bucket.id = 66;
  asked[1]!(OK);
  expect(sent).toEqual([first.tag, second.tag, first.tag, first.tag, second.tag]);
});

test("that nobody knows the name is told to those who asked; who came meanwhile asks again", () => {
  const { bucket, send, said, sent, asked } = setUp(0);
  const first = send();
  const second = send();
  asked[0]!(NO_BUCKET);
  expect(said).toEqual([`${first.tag}:NO_BUCKET`]);
  bucket.id = 70;
  asked[1]!(OK);
  expect(sent).toEqual([second.tag]);
});

test("who asks in vain is told why, and who came meanwhile too", () => {
  const { send, said, lookUps, asked } = setUp(0);
  const [first, second] = [send(), send()];
  asked[0]!(errorResult("UNAVAILABLE", "no leader could be reached; the operation was not executed"));
  expect(said).toEqual([`${first.tag}:UNAVAILABLE`, `${second.tag}:UNAVAILABLE`]);
  expect(lookUps.any).toBe(false);
});

test("what waits is dropped when its connection has ended", () => {
  const { bucket, ordering, send, said, sent, asked } = setUp(0);
  const only = send();
  ordering.hasEnded = true;
  bucket.id = 70;
  asked[0]!(OK);
  expect([said, sent]).toEqual([[`${only.tag}:UNAVAILABLE`], []]);
});

/** The router's part: what may go under way does, everything else waits. */
function setUp(id: number) {
  const bucket = { name: "news", id, seed: id, durability: 0, quota: NO_QUOTA };
  const ordering = new ConnectionOrdering(1);
  const said: string[] = [];
  const sent: number[] = [];
  const asked: ((result: Result) => void)[] = [];
  const onSent = { run: (_operation: Operation): void => undefined };
  const submit = (operation: Operation): void => {
    if (lookUps.holds(bucket)) return lookUps.add(operation, bucket, 0);
    lookUps.begun(operation);
    sent.push(operation.tag);
    onSent.run(operation);
  };
  const lookUps = new BucketLookUps({ ask: (_name, done) => void asked.push(done), resubmit: submit });
  const waiter = {
    resolve: (tag: number, result: Result) => void said.push(`${tag}:${result.kind === "error" ? result.code : "ok"}`),
  };
  let sequence = 0;
  const send = (): Operation => {
    const number = ++sequence;
    const work = { kind: "read", read: { type: "get", bucket: id, key: utf8("k"), metadataOnly: false } } as const;
    const mode = { readMode: "linearizable", staleMs: 0 } as const;
    const rest = { shard: 0, bucket, ordering, afterOwnWrite: false, ...mode, waiter, deadlineMs: 1e9 };
    const operation: Operation = { sequence: number, work, tag: number, ...rest };
    submit(operation);
    return operation;
  };
  const comeBack = (operation: Operation): void => lookUps.ended(operation);
  const refuse = (operation: Operation, refusedId: number): void => {
    lookUps.add(operation, bucket, refusedId);
    lookUps.ended(operation);
  };
  return { bucket, ordering, lookUps, said, sent, asked, onSent, send, comeBack, refuse };
}
