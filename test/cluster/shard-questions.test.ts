/** Questions to a shard: each is answered once, and none waits for a turn that nobody has asked for. */
import { expect, test } from "bun:test";
import type { ShardLink, ShardRequest } from "../../src/bridge/shard-protocol.ts";
import { type Answer, ShardQuestions } from "../../src/cluster/shard-questions.ts";
import { OK } from "../../src/record/result.ts";

function played() {
  const calls: string[] = [];
  const answers: Answer["type"][] = [];
  const link: ShardLink = {
    congested: false,
    send: (request: ShardRequest) => calls.push(request.type),
    flush: () => undefined,
    settle: () => undefined,
  };
  const questions = new ShardQuestions(link, () => calls.push("wake"));
  const ask = (): void => questions.ask({ type: "snapshot" }, (answer) => answers.push(answer.type));
  return { questions, ask, calls, answers };
}

test("what is asked leaves with a turn that comes for it", () => {
  const { ask, calls } = played();
  ask();
  expect(calls).toEqual(["snapshot", "wake"]);
});

test("an answer is given once, and a failure is the answer to the others", () => {
  const { questions, ask, answers } = played();
  ask();
  ask();
  questions.answered({ type: "snapshotPiece", requestId: 1, bytes: new Uint8Array(1) });
  questions.answered({ type: "done", requestId: 1, result: OK });
  questions.fail();
  questions.fail();
  expect(answers).toEqual(["snapshotPiece", "done"]);
});
