/**
 * Loaded into a node's main thread before its own code (`bun --preload`): from then on the process takes the time of day
 * to be off by EDB_TEST_CLOCK_SKEW_MS milliseconds. It does not reach worker threads.
 */
const skewMs = Number(process.env["EDB_TEST_CLOCK_SKEW_MS"]);
const actual = Date.now;
Date.now = () => actual() + skewMs;
