/** What the clients of the binary protocol are told of the node's limits, and share. Main thread only. */
import type { Coordinator } from "../../cluster/coordinator.ts";
import type { Clock } from "../../env/clock.ts";
import type { ClientPortSettings } from "../settings.ts";
import { respLimits } from "../settings.ts";
import type { BinaryServices } from "./binary-session.ts";
import { TopologyWatch } from "./topology-watch.ts";

const OPERATIONS_MAX = 65_536;
/** A frame with one value of the largest size has room for what else is in it. */
const FRAME_SLACK_BYTES = 128 * 1024;

export function binaryServices(coordinator: Coordinator, clock: Clock, settings: ClientPortSettings): BinaryServices {
  const { keyBytesMax, valueBytesMax, requestsInflightMax, version } = settings;
  return {
    coordinator,
    clock,
    topology: new TopologyWatch(coordinator, clock),
    serverVersion: version,
    limits: {
      keyBytesMax,
      valueBytesMax,
      frameBytesMax: respLimits(settings).frameBytesMax + keyBytesMax + FRAME_SLACK_BYTES,
      requestsInflightMax,
      operationsMax: OPERATIONS_MAX,
    },
  };
}
