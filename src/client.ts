/** The package's entry `envelopedb/client`: what a program on Bun, Node or Deno imports to use a database. */

// biome-ignore-all lint/performance/noBarrelFile: the package's entry
export { bytes, type Codec, json, text } from "./client/codec.ts";
export { connect } from "./client/connect.ts";
export type * from "./client/database.ts";
export * from "./client/errors.ts";
export type { ConnectOptions, TlsOptions } from "./client/settings.ts";
export type { SchemaIssue, StandardSchema } from "./client/standard-schema.ts";
