/**
 * The host name by which a certificate names a node: one of its alternative names must be `n1.orders` for node n1 of
 * cluster orders. It need not be known to any name server. Any thread.
 */
export function nodeHost(node: string, cluster: string): string {
  return `${node}.${cluster}`.toLowerCase();
}

/** Whether a certificate with these host names is that of the node. A wildcard names nobody. */
export function namesNode(hosts: readonly string[], node: string, cluster: string): boolean {
  const wanted = nodeHost(node, cluster);
  return hosts.some((host) => host.toLowerCase() === wanted);
}
