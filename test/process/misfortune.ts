/**
 * What can befall real nodes: each misfortune begins and is taken back again. `victim` is a node chosen by the caller, who
 * lets each node suffer one misfortune at a time.
 */
import type { PeerLink } from "./peer-links.ts";
import type { TestCluster } from "./test-cluster.ts";

export interface Misfortune {
  begin(cluster: TestCluster, victim: number): Promise<void>;
  end(cluster: TestCluster, victim: number): Promise<void>;
}

export const MISFORTUNES = {
  /** `kill -9`, and a restart. */
  kill: {
    begin: (cluster, victim) => cluster.kill(victim),
    end: (cluster, victim) => cluster.restart(victim),
  },
  /** SIGSTOP and SIGCONT. */
  stop: {
    begin: async (cluster, victim) => cluster.signal(victim, "SIGSTOP"),
    end: async (cluster, victim) => cluster.signal(victim, "SIGCONT"),
  },
  /** Its connections to the other nodes are closed, and no new ones let in. */
  partition: ofLinks(around, (link) => link.cut()),
  /** It hears the others, and they do not hear it. */
  mute: ofLinks(from, (link) => link.cut()),
  /** The others hear it, and it does not hear them. */
  deaf: ofLinks(to, (link) => link.cut()),
  /** It and the next node do not see each other. */
  bridge: ofLinks(toNext, (link) => link.cut()),
  /** What is said to it and by it comes late, all at once. */
  hold: ofLinks(around, (link) => link.hold()),
  /** Its connections die without a word. */
  swallow: ofLinks(around, (link) => link.swallow()),
  /** Its connections are slow, narrow, and break now and then. */
  drag: ofLinks(around, (link) => {
    link.delayMs = 40;
    link.bytesPerSecond = 200_000;
    link.lossChance = 0.01;
  }),
} as const satisfies Record<string, Misfortune>;

export type MisfortuneName = keyof typeof MISFORTUNES;

export function isMisfortune(name: string): name is MisfortuneName {
  return Object.hasOwn(MISFORTUNES, name);
}

type Choice = (cluster: TestCluster, victim: number) => readonly PeerLink[];

function around({ links }: TestCluster, victim: number): readonly PeerLink[] {
  return links.around(victim);
}

function from({ links }: TestCluster, victim: number): readonly PeerLink[] {
  return links.from(victim);
}

function to({ links }: TestCluster, victim: number): readonly PeerLink[] {
  return links.to(victim);
}

function toNext({ links, nodes }: TestCluster, victim: number): readonly PeerLink[] {
  return links.both(victim, (victim + 1) % nodes.length);
}

function ofLinks(choose: Choice, spoil: (link: PeerLink) => void): Misfortune {
  return {
    begin: async (cluster, victim) => {
      for (const link of choose(cluster, victim)) spoil(link);
    },
    end: async (cluster, victim) => {
      for (const link of choose(cluster, victim)) link.heal();
    },
  };
}
