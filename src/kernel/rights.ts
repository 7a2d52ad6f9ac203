import { readFileSync } from 'node:fs';
import { whySysctlsAreReadOnly } from './sysctl.ts';

/** Numbers of capabilities (linux/capability.h), and what they are for here. */
const needed = [
  { name: 'CAP_NET_ADMIN', any: [12], purpose: 'nftables, routes, rules, links, addresses and connections' },
  { name: 'CAP_NET_RAW', any: [13], purpose: 'announcements of addresses, and packets for a new gateway' },
  // Before Linux 5.8 CAP_SYS_ADMIN (21) stood for it.
  { name: 'CAP_BPF', any: [39, 21], purpose: 'filters on the interfaces of pods' },
] as const;

/**
 * What this process may not do, of all that keeping a node takes, in sentences. Where it is right nothing is changed,
 * and so a right that is missing would be noticed only when it is needed.
 */
export function findMissingRights(): readonly string[] {
  const effective = effectiveCapabilities(readFileSync('/proc/self/status', 'latin1'));
  const missing = needed.filter(({ any }) => !any.some((number) => (effective >> BigInt(number)) & 1n));
  const parameters = whySysctlsAreReadOnly();
  return [
    ...missing.map(({ name, purpose }) => `this process lacks ${name}, which it needs for ${purpose}`),
    ...(parameters === undefined ? [] : [parameters]),
  ];
}

/** proc_pid_status(5). */
const effectiveCapabilities = (status: string): bigint =>
  BigInt(`0x${/^CapEff:\s*([\da-f]+)$/m.exec(status)?.[1] ?? 0}`);
