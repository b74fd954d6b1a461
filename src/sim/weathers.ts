/**
 * The weathers of a simulated cluster:
 *
 *   mixed      each of the others in a part of the runs, and in most of them ordinary days: one misfortune after another
 *   renewals   everybody pipelines through the same few nodes, all in one bucket that is emptied (FLUSHDB) again and
 *              again, while leaders change often, disks are slow, and who empties the bucket may not live to finish it
 *   clocks     clocks of nodes are set forwards and backwards by up to an hour while leaders change and nodes restart
 *   leases     leaders are stopped or cut off until others lead, and asked to read on their leases all the while
 *   rot        bits of one node's tables and sealed segments are turned over, again and again
 *   hunt       every new leader is cut off at once
 *   ballots    that too, a voter loses power in the same moment and is back at once, and many messages take as long as
 *              an election
 *   members    nodes join and leave the cluster, and some lose their disks for good and are replaced by others, while leaders
 *              change and nodes come and go; groups are parted as their members change
 */
export const WEATHERS = ["mixed", "renewals", "clocks", "leases", "rot", "hunt", "ballots", "members"] as const;
export type Weather = (typeof WEATHERS)[number];
