/** The short way to a shard: whatever comes between a turn and the steps behind it, the next turn does not pass it over. */
import { expect, test } from "bun:test";
import type { ShardRequest } from "../../src/bridge/shard-protocol.ts";
import { type DirectShard, DirectLink } from "../../src/cluster/direct-link.ts";
import { logIndex } from "../../src/core/ids.ts";

const REQUEST: ShardRequest = { type: "commit", commitIndex: logIndex(1) };

/** Takes requests in its turns; says something in the steps in which it is told to. */
class PlayedShard implements DirectShard {
  readonly calls: string[] = [];
  readonly idleMs = Number.POSITIVE_INFINITY;
  /** What happens in the next step, and whether it leaves more to do. */
  step: () => boolean = () => false;

  handle(): void {
    this.calls.push("handle");
  }

  takeAndWrite(): void {
    this.calls.push("take");
  }

  settle(): void {
    this.calls.push("settle");
  }

  backgroundStep(): boolean {
    this.calls.push("step");
    return this.step();
  }
}

function turn(link: DirectLink): void {
  link.flush();
  link.settle();
}

test("what is sent between a turn and the step behind it is taken in the next turn", () => {
  const shard = new PlayedShard();
  const link = new DirectLink(shard);
  turn(link);
  link.send(REQUEST);
  expect(link.background()).toBe(false);
  turn(link);
  expect(shard.calls).toEqual(["take", "settle", "handle", "step", "take", "settle"]);
});

test("what is sent because of what the shard says in a step is taken in the next turn", () => {
  const shard = new PlayedShard();
  const link = new DirectLink(shard);
  turn(link);
  shard.step = () => {
    link.send(REQUEST);
    link.stir();
    return false;
  };
  expect(link.background()).toBe(false);
  shard.step = () => false;
  expect(link.background()).toBe(false);
  turn(link);
  expect(shard.calls).toEqual(["take", "settle", "step", "handle", "take", "settle"]);
});
