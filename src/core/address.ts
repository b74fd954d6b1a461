/** What an address looks like: host:port, an IPv6 host in brackets. Any thread. */

const ADDRESS = /^(?:\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):(\d{1,5})$/;
const PORT_MAX = 65_535;

export function isAddress(text: string): boolean {
  const match = ADDRESS.exec(text);
  return match !== null && Number(match[1]) <= PORT_MAX;
}
