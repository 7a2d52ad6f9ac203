import { type Address, type Family, families } from '../../base/address.ts';
import { address, u8, u32 } from '../netlink/field.ts';
import type { NetlinkSocket } from '../netlink/socket.ts';
import { addressFamily } from './family.ts';
import { message } from './message.ts';
import { unlessRefused } from './refusal.ts';

/** An address of a network interface. */
export interface LinkAddress {
  readonly address: Address;
  readonly prefixLength: number;
  /** linux/rtnetlink.h, RT_SCOPE_*: 0 global, 253 link, 254 host. */
  readonly scope: number;
  readonly family: Family;
  /** Whether packets may leave with it: neither in nor failed at duplicate address detection, nor deprecated, nor temporary. */
  readonly usable: boolean;
}

/** linux/if_addr.h: struct ifaddrmsg and IFA_*. */
const addressMessage = message(
  { family: u8, prefixLength: u8, flags: u8, scope: u8, index: u32 },
  {
    /** The other end's address where the link has two ends with an address each, else the link's own. */
    address: [1, address],
    local: [2, address],
    flags: [8, u32],
  },
);

const RTM_GETADDR = 22;
/** linux/if_addr.h, IFA_F_*. */
const unusable = { dadFailed: 0x08, deprecated: 0x20, tentative: 0x40 } as const;
const unusableMask = unusable.dadFailed | unusable.deprecated | unusable.tentative;
/** IFA_F_TEMPORARY: a privacy address that will be another tomorrow. For IPv4 the same bit says SECONDARY. */
const temporary = 0x01;

/** The addresses of an interface, IPv4 first; none when the interface is gone. Throws KernelError. */
// ip -4 addr show dev eth1; ip -6 addr show dev eth1
export async function listAddresses(socket: NetlinkSocket, deviceIndex: number): Promise<readonly LinkAddress[]> {
  const lists: LinkAddress[][] = [];
  for (const family of families) lists.push(await listFamily(socket, family, deviceIndex));
  return lists.flat();
}

async function listFamily(socket: NetlinkSocket, family: Family, deviceIndex: number): Promise<LinkAddress[]> {
  const body = encodeAddressListing(family, deviceIndex);
  const replies = await unlessRefused(socket.dump({ type: RTM_GETADDR, flags: 0, body }), 'ENODEV');
  const entries = (replies ?? []).map((reply) => addressMessage.decode(reply.body));
  // Kernels before 4.20 know no strict checking and list the addresses of every interface.
  return entries.filter(({ header }) => header.index === deviceIndex).map((entry) => addressOf(family, entry));
}

/** The body of a question for the addresses of one interface. */
export function encodeAddressListing(family: Family, deviceIndex: number): Buffer {
  return addressMessage.encode({ family: addressFamily(family), index: deviceIndex });
}

/** The address that a message of a listing holds. */
export const decodeAddress = (family: Family, body: Buffer): LinkAddress =>
  addressOf(family, addressMessage.decode(body));

function addressOf(family: Family, { header, attributes }: ReturnType<typeof addressMessage.decode>): LinkAddress {
  const own = attributes.local ?? attributes.address ?? '';
  const { prefixLength, scope } = header;
  const mask = family === 6 ? unusableMask | temporary : unusableMask;
  return { address: own, prefixLength, scope, family, usable: ((attributes.flags ?? 0) & mask) === 0 };
}
