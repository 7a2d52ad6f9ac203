import type { ForeignFlowtable } from '../../datapath/examiner.ts';
import { be32, be32Signed, cString, listOf, nested } from '../netlink/field.ts';
import { flags, type NetlinkSocket, type Request } from '../netlink/socket.ts';
import { decode, encode } from '../netlink/wire.ts';
import { families, isOurs } from './foreign.ts';
import { genericHeader, subsystem } from './message.ts';

/** linux/netfilter/nf_tables.h: NFT_MSG_NEWFLOWTABLE and NFT_MSG_GETFLOWTABLE. */
const messageTypes = { new: 22, get: 23 } as const;
/** NFPROTO_UNSPEC, for a listing of all, and NFPROTO_INET. */
const numbers = { any: 0, inet: 1 } as const;
/** NF_NETDEV_INGRESS, the one hook that there is for flowtables. */
const ingress = 0;

/** NFTA_FLOWTABLE_* and NFTA_FLOWTABLE_HOOK_*. */
const flowtableAttributes = {
  table: [1, cString],
  name: [2, cString],
  hook: [3, nested({ number: [1, be32], priority: [2, be32Signed], devices: [3, listOf(1, cString)] })],
} as const;

const request = (type: keyof typeof messageTypes, more: number, family: number, attributes: Buffer): Request => ({
  type: (subsystem << 8) | messageTypes[type],
  flags: more,
  body: Buffer.concat([genericHeader(family, 0), attributes]),
});

/** The message that adds a flowtable at interfaces to a table of the family inet. */
export function newFlowtable({ table, name, devices }: Omit<ForeignFlowtable, 'family'>, priority = 0): Request {
  const values = { table, name, hook: { number: ingress, priority, devices } };
  return request('new', flags.create, numbers.inet, encode(flowtableAttributes, values));
}

/** All flowtables of others. A kernel without flowtables has none. Throws KernelError. */
// nft list flowtables
export async function listFlowtables(socket: NetlinkSocket): Promise<readonly ForeignFlowtable[]> {
  const replies = await socket.dump(request('get', 0, numbers.any, Buffer.alloc(0)));
  return replies.flatMap(({ body }) => {
    const family = families.get(body[0]);
    const { table = '', name = '', hook } = decode(flowtableAttributes, body.subarray(4));
    return family === undefined || isOurs(table) ? [] : [{ family, table, name, devices: [...(hook?.devices ?? [])] }];
  });
}
