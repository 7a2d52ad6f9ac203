import { readFileSync } from 'node:fs';
import type { Family } from '../base/address.ts';

const files = { 4: '/proc/net/ip_tables_names', 6: '/proc/net/ip6_tables_names' } as const;

/**
 * Names of the tables in use here of the older iptables, which is not nftables: `filter`, `nat`, … Their rules and
 * policies are not to be had by netlink. None where the kernel has no such tables.
 */
// cat /proc/net/ip_tables_names
export function listLegacyTables(family: Family): readonly string[] {
  try {
    return readFileSync(files[family]).toString().split('\n').filter(Boolean);
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES')) return [];
    throw error;
  }
}
