/** Values of one bucket: through its schema and its codec to bytes, and back. */
import type { Codec } from "./codec.ts";
import { SchemaError } from "./errors.ts";
import type { SchemaIssue, StandardSchema } from "./standard-schema.ts";

const ISSUES_SHOWN_MAX = 3;

export class Values<T> {
  readonly #codec: Codec<T>;
  readonly #schema: StandardSchema<T> | null;

  constructor(codec: Codec<T>, schema: StandardSchema<T> | null) {
    this.#codec = codec;
    this.#schema = schema;
  }

  /** What the schema makes of the value is what is stored: defaults are filled in. */
  async encode(value: T): Promise<Uint8Array> {
    return this.#codec.encode(this.#schema === null ? value : await this.#checked(value, "the value to be written"));
  }

  /** Of a value to compare with, which is compared as bytes. */
  encodeUnchecked(value: T): Uint8Array {
    return this.#codec.encode(value);
  }

  async decode(stored: Uint8Array): Promise<T> {
    const value = this.#codec.decode(stored);
    return this.#schema === null ? value : this.#checked(value, "the stored value");
  }

  async #checked(value: unknown, what: string): Promise<T> {
    const result = await this.#schema?.["~standard"].validate(value);
    if (result === undefined) return value as T;
    if (result.issues === undefined) return result.value;
    const { issues } = result;
    const shown = issues.slice(0, ISSUES_SHOWN_MAX).map(issueText).join("; ");
    throw new SchemaError(`${what} does not fit the schema: ${shown}`, issues);
  }
}

function issueText({ message, path }: SchemaIssue): string {
  const steps = (path ?? []).map((step) => String(typeof step === "object" ? step.key : step));
  return steps.length === 0 ? message : `${steps.join(".")}: ${message}`;
}
