/** A thread that makes the simulated runs it is sent, one after another, and sends back what came of each. */
import { parentPort } from "node:worker_threads";
import { type RunOrder, runOrder } from "../src/sim/run.ts";

parentPort?.on("message", (order: RunOrder) => parentPort?.postMessage(runOrder(order)));
