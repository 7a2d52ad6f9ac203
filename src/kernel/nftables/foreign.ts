import { fastTable } from '../../datapath/fast-path-changes.ts';
import type { Filter } from '../../datapath/filter.ts';
import { tableName } from '../../nftables/object.ts';
import type { NetlinkSocket, Reply } from '../netlink/socket.ts';
import { chainAttributes } from './attributes.ts';
import { attributesOf, message } from './message.ts';

/** linux/netfilter.h, NFPROTO_*: the first byte of a message says the family of its table. */
export const families: ReadonlyMap<number | undefined, Filter['family']> = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [5, 'netdev'],
  [7, 'bridge'],
  [10, 'ip6'],
]);

/** linux/netfilter.h, enum nf_inet_hooks, and enum nf_dev_hooks for netdev. */
const inetHooks = ['prerouting', 'input', 'forward', 'output', 'postrouting', 'ingress'];
const deviceHooks = ['ingress', 'egress'];

/** The name of a hook; undefined for a chain that is at none. */
export const placeOf = (family: Filter['family'], hook = -1): string | undefined =>
  (family === 'netdev' ? deviceHooks : inetHooks)[hook];

/** The base chains of type `filter` in tables of others, of all families. Their rules are not read. Throws KernelError. */
// nft list chains
export async function listFilters(socket: NetlinkSocket): Promise<readonly Filter[]> {
  const replies = await socket.dump(message('getChain', 0, chainAttributes, {}, { family: 'any' }));
  return replies.flatMap(decodeFilter);
}

/** The table of the fast path is ours, too. */
export const isOurs = (table: string): boolean => table === tableName || table === fastTable;

/** The chain that a message of a listing holds, if it is one of a filter that is not ours. */
function decodeFilter(reply: Reply): Filter[] {
  const family = families.get(reply.body[0]);
  const { table = '', name: chain = '', type, policy, hook, use: rules = 0 } = attributesOf(chainAttributes, reply);
  if (family === undefined || isOurs(table) || type !== 'filter' || hook === undefined) return [];
  const place = placeOf(family, hook.hook);
  if (place === undefined || policy === undefined) return [];
  const devices = [...(hook.device === undefined ? [] : [hook.device]), ...(hook.devices ?? [])];
  return [{ family, table, chain, hook: place, devices: [...new Set(devices)], policy, rules }];
}
