import type { Facts } from './facts.ts';
import { fault, ok, type Seen, warning } from './finding.ts';

const folder = 'net/netfilter/nf_conntrack_';
/** Shares of the table in use: from there on somebody should know of it, and from there on new connections are dropped. */
const limits = { warning: 0.8, fault: 0.95 } as const;

/** Room for connections: when it is full, packets that begin one are dropped, of exits as of all. */
export function conntrack({ host }: Facts): readonly Seen[] {
  const [count, max] = ['count', 'max'].map((name) => Number(host.readSysctl(`${folder}${name}`) ?? Number.NaN));
  if (count === undefined || max === undefined || Number.isNaN(count + max)) {
    return [ok('not in use yet')];
  }
  const used = max === 0 ? 0 : count / max;
  const text = `${count} of ${max} connections (${Math.round(used * 100)} %)`;
  const remedy = `sysctl -w net.netfilter.nf_conntrack_max=${2 * max}`;
  if (used >= limits.fault) return [fault(`${text}: new connections are dropped when it is full`, remedy)];
  return [used >= limits.warning ? warning(text, remedy) : ok(text)];
}
