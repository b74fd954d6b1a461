/** Who is touched is served in the next turn, whenever it was touched; who is not is left alone. */
import { expect, test } from "bun:test";
import type { ShardGroup } from "../../src/cluster/shard-group.ts";
import { TouchedGroups } from "../../src/cluster/touched-groups.ts";

interface Played {
  readonly touched: TouchedGroups;
  /** The groups that were driven since the last call. */
  driven(): number[];
  /** What comes of driving and of settling a group. */
  onDrive: (shard: number) => boolean;
  onSettle: (shard: number) => void;
}

function played(count: number): Played {
  const touched = new TouchedGroups(count);
  const driven: number[] = [];
  const self: Played = {
    touched,
    driven: () => driven.splice(0),
    onDrive: () => false,
    onSettle: () => undefined,
  };
  const groups = Array.from({ length: count }, (_, shard) => ({
    shard,
    beginTurn: () => undefined,
    drive: () => {
      driven.push(shard);
      return self.onDrive(shard);
    },
    flush: () => undefined,
    settle: () => self.onSettle(shard),
    background: () => false,
    stir: () => touched.touch(shard),
    dueInMs: Number.POSITIVE_INFINITY,
  }));
  touched.serve(groups as unknown as ShardGroup[]);
  turn(touched);
  self.driven();
  return self;
}

/** As a node has it; `behindDrive` comes before the shards settle, where clients get their answers and go on. */
function turn(touched: TouchedGroups, behindDrive: () => void = () => undefined): void {
  touched.beginTurn();
  while (touched.drive()) touched.flush();
  touched.flush();
  behindDrive();
  touched.settle();
}

test("a turn drives those that were touched, and once they are served leaves them alone", () => {
  const { touched, driven } = played(4);
  touched.touch(2);
  touched.touch(0);
  touched.touch(2);
  turn(touched);
  expect([driven(), touched.any]).toEqual([[2, 0], false]);
  turn(touched);
  expect(driven()).toEqual([]);
});

test("what comes for a group behind its drive is for the next turn", () => {
  const { touched, driven } = played(3);
  touched.touch(1);
  turn(touched, () => {
    touched.touch(1);
    touched.touch(2);
  });
  expect([driven(), touched.any]).toEqual([[1], true]);
  turn(touched);
  expect([driven().sort(), touched.any]).toEqual([[1, 2], false]);
});

test("what a shard says while it settles is for the next turn", () => {
  const group = played(3);
  const { touched, driven } = group;
  group.onSettle = (shard) => touched.touch(shard);
  touched.touch(1);
  turn(touched);
  group.onSettle = () => undefined;
  driven();
  turn(touched);
  expect([driven(), touched.any]).toEqual([[1], false]);
});

test("what a group is touched by while it is driven is seen by the same turn where there is another pass", () => {
  const group = played(2);
  const { touched, driven } = group;
  let passes = 0;
  group.onDrive = (shard) => {
    passes += 1;
    if (passes === 1) touched.touch(shard);
    return passes === 1;
  };
  touched.touch(1);
  turn(touched);
  expect([driven(), touched.any]).toEqual([[1, 1], false]);
});
