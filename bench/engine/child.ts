/** The process of one measurement: its argument is a Job as JSON, its last line of output the Outcome. */
import type { Job } from "./job.ts";
import { measure } from "./measures.ts";

const job = JSON.parse(process.argv[2] ?? "null") as Job;
const outcome = await measure(job);
process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0));
