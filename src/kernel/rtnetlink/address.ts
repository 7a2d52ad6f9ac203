import { type Address, type Family, families, familyOf } from '../../base/address.ts';
import type { Gateway } from '../../datapath/attachment.ts';
import type { HeldAddress } from '../../datapath/host.ts';
import type { InterfaceAddress } from '../../datapath/objects.ts';
import { tunnelDevice } from '../../datapath/tunnel.ts';
import type { KernelKind } from '../kind.ts';
import { address, type Field, u8, u32 } from '../netlink/field.ts';
import { flags, type NetlinkSocket } from '../netlink/socket.ts';
import { addressFamily } from './family.ts';
import { readLink, readLinkNames } from './link.ts';
import { message } from './message.ts';
import { onDevice } from './on-device.ts';
import { routeProtocol } from './protocol.ts';
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

/** Seconds that an address may be used for new connections (`preferred`), and at all; {@link forever} has no end. */
interface Lifetimes {
  readonly preferred: number;
  readonly valid: number;
}
const forever = 0xffffffff;

/** linux/if_addr.h, struct ifa_cacheinfo: two times follow that only the kernel sets. */
const lifetimes: Field<Lifetimes> = {
  encode: ({ preferred, valid }) => Buffer.concat([u32.encode(preferred), u32.encode(valid), Buffer.alloc(8)]),
  decode: (bytes) => ({ preferred: u32.decode(bytes), valid: u32.decode(bytes.subarray(4)) }),
};

/** linux/if_addr.h: struct ifaddrmsg and IFA_*. */
const addressMessage = message(
  { family: u8, prefixLength: u8, flags: u8, scope: u8, index: u32 },
  {
    /** The other end's address where the link has two ends with an address each, else the link's own. */
    address: [1, address],
    local: [2, address],
    flags: [8, u32],
    lifetimes: [6, lifetimes],
    /** Who made it, like the protocol of a route. */
    protocol: [11, u8],
  },
);

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
/** linux/rtnetlink.h, RT_SCOPE_*. */
const scopes = { global: 0, link: 253 } as const;
/** linux/if_addr.h, IFA_F_NODAD. */
const noDuplicateDetection = 0x02;
/** linux/if_addr.h, IFA_F_*. */
const unusable = { dadFailed: 0x08, deprecated: 0x20, tentative: 0x40 } as const;
const unusableMask = unusable.dadFailed | unusable.deprecated | unusable.tentative;
/** IFA_F_TEMPORARY: a privacy address that will be another tomorrow. The same bit means SECONDARY for IPv4. */
const temporary = 0x01;

/** The addresses of an interface, IPv4 first; none when the interface is gone. Throws KernelError. */
// ip -4 addr show dev eth1; ip -6 addr show dev eth1
export const listAddresses = (socket: NetlinkSocket, deviceIndex: number): Promise<readonly HeldAddress[]> =>
  listHeld(socket, deviceIndex);

/** The addresses of all interfaces, IPv4 first. Throws KernelError. */
// ip -4 addr show; ip -6 addr show
export const listAllAddresses = (socket: NetlinkSocket): Promise<readonly HeldAddress[]> => listHeld(socket, 0);

/** @param deviceIndex 0 for all interfaces */
async function listHeld(socket: NetlinkSocket, deviceIndex: number): Promise<HeldAddress[]> {
  const lists: HeldAddress[][] = [];
  for (const family of families) {
    const entries = await dump(socket, family, deviceIndex);
    lists.push(entries.map((entry) => heldAddressOf(family, entry)));
  }
  return lists.flat();
}

const heldAddressOf = (family: Family, entry: Entry): HeldAddress => ({
  ...addressOf(family, entry),
  deviceIndex: entry.header.index,
  ours: isOurs(family, entry),
});

/** Others may use our number, too: ours have the length of one address, and of IPv6 the node never chooses them. */
function isOurs(family: Family, { header, attributes }: Entry): boolean {
  if (attributes.protocol !== routeProtocol || header.prefixLength !== (family === 4 ? 32 : 128)) return false;
  return family === 4 || ((attributes.flags ?? header.flags) & unusable.deprecated) !== 0;
}

/** An interface, and an address on it; without an address, all of them. */
export interface Holder {
  readonly device: string;
  readonly address?: Address;
}

/**
 * The addresses that we gave to interfaces, IPv4 first: the `known` ones, and others on the same interfaces that the
 * kernel knows as ours. Other interfaces are not looked at. Kernels before 5.18 know no protocols of addresses
 * (IFA_PROTO) and forget who made one. Throws KernelError.
 */
// ip addr show dev eth0 proto 230
export async function listOurAddresses(
  socket: NetlinkSocket,
  known: readonly Holder[],
): Promise<readonly InterfaceAddress[]> {
  const lists: InterfaceAddress[][] = [];
  for (const device of new Set(known.map((holder) => holder.device))) {
    const onDevice = known.filter((holder) => holder.device === device);
    const isKnown = (own: Address) => onDevice.some(({ address = own }) => address === own);
    const link = await readLink(socket, device);
    const held = link ? await listHeld(socket, link.index) : [];
    const ours = held.filter((own) => own.ours || isKnown(own.address));
    lists.push(ours.map((own) => interfaceAddressOf(device, own)));
  }
  return lists.flat().sort((a, b) => familyOf(a.address) - familyOf(b.address));
}

/**
 * All addresses that the kernel knows as ours, on any interface: for this every address of the node is read. Throws
 * KernelError.
 */
// ip addr show proto 230
export async function findOurAddresses(socket: NetlinkSocket): Promise<readonly InterfaceAddress[]> {
  const ours = (await listAllAddresses(socket)).filter((held) => held.ours);
  const names = await readLinkNames(
    socket,
    ours.map(({ deviceIndex }) => deviceIndex),
  );
  return ours.flatMap((own) => {
    const device = names.get(own.deviceIndex);
    return device === undefined ? [] : [interfaceAddressOf(device, own)];
  });
}

/**
 * Gives an address to an interface; that it has it already, from whomever, is no error. IPv6 addresses are there at
 * once, without duplicate address detection. One of global scope is deprecated from the start: the node itself never
 * chooses it. Throws KernelError. For IPv6 the kernel takes the scope from the address, not from `scope`.
 *
 * @param deviceIndex of the interface that `address.device` names
 */
// ip addr add 172.18.0.5/32 dev egress0 scope link proto 230
// ip addr add fd00::33/128 dev eth0 nodad preferred_lft 0 proto 230
export async function addAddress(socket: NetlinkSocket, address: InterfaceAddress, deviceIndex: number): Promise<void> {
  const body = encodeAddress(address, deviceIndex);
  const request = { type: RTM_NEWADDR, flags: flags.create | flags.excl, body };
  await unlessRefused(socket.request(request), 'EEXIST');
}

/**
 * Takes an address from an interface, whoever gave it: ask {@link listOurAddresses} before. That it is gone already, or
 * the interface is, is no error. Throws KernelError.
 */
// ip addr del 172.18.0.5/32 dev egress0
export async function deleteAddress(
  socket: NetlinkSocket,
  address: InterfaceAddress,
  deviceIndex: number,
): Promise<void> {
  const body = encodeAddress(address, deviceIndex);
  // ENXIO: the interface lost IPv6, and its addresses with it.
  await unlessRefused(socket.request({ type: RTM_DELADDR, flags: 0, body }), 'EADDRNOTAVAIL', 'ENODEV', 'ENXIO');
}

type Entry = ReturnType<typeof addressMessage.decode>;

/** @param deviceIndex 0 for all interfaces */
async function dump(socket: NetlinkSocket, family: Family, deviceIndex: number): Promise<Entry[]> {
  const body = encodeAddressListing(family, deviceIndex);
  const replies = await unlessRefused(socket.dump({ type: RTM_GETADDR, flags: 0, body }), 'ENODEV');
  const entries = (replies ?? []).map((reply) => addressMessage.decode(reply.body));
  // Kernels before 4.20 know no strict checking and list the addresses of every interface.
  return deviceIndex === 0 ? entries : entries.filter(({ header }) => header.index === deviceIndex);
}

/** The body of a message that gives an address to an interface, or takes it. */
export function encodeAddress({ address, prefixLength, scope }: InterfaceAddress, deviceIndex: number): Buffer {
  const family = familyOf(address);
  const deprecated = family === 6 && scope === 'global';
  return addressMessage.encode(
    { family: addressFamily(family), prefixLength, scope: scopes[scope], index: deviceIndex },
    {
      address,
      local: address,
      ...(family === 6 && { flags: noDuplicateDetection }),
      ...(deprecated && { lifetimes: { preferred: 0, valid: forever } }),
      protocol: routeProtocol,
    },
  );
}

/** The body of a question for the addresses of one interface, or with index 0 of all. */
export function encodeAddressListing(family: Family, deviceIndex: number): Buffer {
  return addressMessage.encode({ family: addressFamily(family), index: deviceIndex });
}

/** The address that a message of a listing holds. */
export const decodeAddress = (family: Family, body: Buffer): LinkAddress =>
  addressOf(family, addressMessage.decode(body));

function addressOf(family: Family, { header, attributes }: Entry): LinkAddress {
  const own = attributes.local ?? attributes.address ?? '';
  const { prefixLength, scope } = header;
  const mask = family === 6 ? unusableMask | temporary : unusableMask;
  return { address: own, prefixLength, scope, family, usable: ((attributes.flags ?? 0) & mask) === 0 };
}

function interfaceAddressOf(device: string, { address, prefixLength, scope }: LinkAddress): InterfaceAddress {
  return { kind: 'address', device, address, prefixLength, scope: scope === scopes.global ? 'global' : 'link' };
}

/** Whether those are there is the business of elections. */
const withoutElected = (held: readonly InterfaceAddress[], gateway: Gateway | undefined): readonly InterfaceAddress[] =>
  held.filter(
    ({ device, address }) =>
      !gateway?.owned.some((owned) => owned.elected && owned.device === device && owned.address === address),
  );

/** The addresses of the tunnel's device, and on a gateway its egress addresses. */
export const addressKind: KernelKind<InterfaceAddress> = {
  ...onDevice(addAddress, deleteAddress),
  observe: async ({ socket, node: { addresses = [] }, needs: { tunnel, gateway } }) =>
    tunnel === undefined
      ? []
      : withoutElected(
          await listOurAddresses(socket, [
            ...(gateway ? [...addresses, ...gateway.owned] : []),
            { device: tunnelDevice },
          ]),
          gateway,
        ),
  list: async ({ socket, node }) => {
    const held = node?.addresses ? await listOurAddresses(socket, node.addresses) : await findOurAddresses(socket);
    return { ours: held.filter(({ device }) => device !== tunnelDevice) };
  },
};
