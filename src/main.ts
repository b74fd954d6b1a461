#!/usr/bin/env bun
/** The program: arguments in, exit code out. */
import { runProgram } from "./cli/program.ts";

const exitCode = await runProgram(process.argv.slice(2));
// What is still open by now (a socket, standard input) is of no use to anyone; only the output has to arrive.
process.stdout.write("", () => process.exit(exitCode));
