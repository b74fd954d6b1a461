/** Inputs that once brought a decoder down, or made it take memory that it was never sent: none may do so again. */
export interface FoundInput {
  /** Name of the target. */
  readonly target: string;
  readonly what: string;
  readonly hex: string;
  /** The input is these bytes so many times over. */
  readonly times: number;
}

export const FOUND: readonly FoundInput[] = [
  {
    target: "replies",
    what: "a blob that announced a gibibyte was given a gibibyte when its second byte came",
    hex: "24313037333734313832340d0a7878",
    times: 1,
  },
  {
    target: "peer-strangers",
    what: "a hello of nested arrays that each announce 131071 items took gigabytes",
    hex: "dd0001ffff",
    times: 40_000,
  },
];
