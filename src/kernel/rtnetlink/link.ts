import type { Link } from '../../datapath/objects.ts';
import { cString, nested, u8, u16, u32 } from '../netlink/field.ts';
import type { NetlinkSocket, Reply } from '../netlink/socket.ts';
import { mac } from './mac.ts';
import { message } from './message.ts';
import { unlessRefused } from './refusal.ts';

/** linux/rtnetlink.h: struct ifinfomsg; linux/if_link.h: IFLA_*. */
const linkMessage = message(
  { family: u8, pad: u8, type: u16, index: u32, flags: u32, change: u32 },
  {
    filter: [29, u32],
    name: [3, cString],
    mac: [1, mac],
    mtu: [4, u32],
    master: [10, u32],
    info: [18, nested({ kind: [1, cString], memberKind: [4, cString] })],
  },
);

/** linux/rtnetlink.h */
export const [RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK] = [16, 17, 18];
/** linux/rtnetlink.h, RTEXT_FILTER_*: counters would be half of the answer. */
const SKIP_STATS = 8;
const IFF_UP = 1;
/** It has a carrier, as far as its kind knows: RFC 2863's operational state "up" or "unknown". */
const IFF_RUNNING = 0x40;
/** Of the text of an Ethernet address; IP tunnels and InfiniBand have addresses of other lengths. */
const macLength = 17;
/** Bytes of an alternative name: ALTIFNAMSIZ (linux/if.h) without the zero behind it. */
const longestName = 127;

/** The network interface with a name (also an alternative one) or an index; `undefined` when there is none. */
// ip link show dev eth1
export async function readLink(socket: NetlinkSocket, nameOrIndex: string | number): Promise<Link | undefined> {
  if (typeof nameOrIndex === 'string' && !isName(nameOrIndex)) return undefined;
  const body = encodeLinkQuery(nameOrIndex);
  const replies = await unlessRefused(socket.request({ type: RTM_GETLINK, flags: 0, body }), 'ENODEV');
  return replies?.[0] && decodeLink(replies[0].body);
}

/** Whether an interface is there, up, and has a carrier. Throws KernelError. */
// ip link show dev eth1 up: LOWER_UP, and state UP or UNKNOWN
export async function isLinkRunning(socket: NetlinkSocket, name: string): Promise<boolean> {
  const body = encodeLinkQuery(name);
  const replies = await unlessRefused(socket.request({ type: RTM_GETLINK, flags: 0, body }), 'ENODEV');
  const flags = replies?.[0] === undefined ? 0 : linkMessage.decode(replies[0].body).header.flags;
  return (flags & IFF_UP) !== 0 && (flags & IFF_RUNNING) !== 0;
}

/** Whether an interface could have the name. A message has no room for some; of others the kernel reads the begin. */
const isName = (name: string): boolean => Buffer.byteLength(name) <= longestName && !name.includes('\0');

/** The names of interfaces by their indexes; one that is gone has none. Throws KernelError. */
export async function readLinkNames(
  socket: NetlinkSocket,
  indexes: Iterable<number | undefined>,
): Promise<ReadonlyMap<number, string>> {
  const names = new Map<number, string>();
  for (const index of new Set(indexes)) {
    const link = index === undefined ? undefined : await readLink(socket, index);
    if (link !== undefined) names.set(link.index, link.name);
  }
  return names;
}

/** Takes an interface down; that it is gone is no error. Throws KernelError. */
// ip link set dev eth1 down
export async function setLinkDown(socket: NetlinkSocket, index: number): Promise<void> {
  await unlessRefused(socket.request({ type: RTM_NEWLINK, flags: 0, body: encodeLinkDown(index) }), 'ENODEV');
}

/** The body of a question for one interface. */
export function encodeLinkQuery(nameOrIndex: string | number): Buffer {
  const byName = typeof nameOrIndex === 'string';
  return linkMessage.encode(byName ? {} : { index: nameOrIndex }, {
    filter: SKIP_STATS,
    name: byName ? nameOrIndex : undefined,
  });
}

/** The body of the message that takes an interface down: of all flags, change IFF_UP alone. */
export const encodeLinkDown = (index: number): Buffer => linkMessage.encode({ index, flags: 0, change: IFF_UP });

/** The interface that an answer holds. */
export function decodeLink(body: Buffer): Link {
  const { header, attributes } = linkMessage.decode(body);
  const { master, info } = attributes;
  const type = info?.kind;
  return {
    index: header.index,
    name: attributes.name ?? '',
    up: (header.flags & IFF_UP) !== 0,
    ...(type !== undefined && { type }),
    mtu: attributes.mtu ?? 0,
    ...(master && { master: { index: master, ...(info?.memberKind && { type: info.memberKind }) } }),
    ...(attributes.mac?.length === macLength && { mac: attributes.mac }),
  };
}

/** What a notification tells of an interface. */
export interface LinkChange {
  readonly link: Link;
  readonly isGone: boolean;
  /** It is new, or gone: of less the kernel says which flags have changed. */
  readonly isWhole: boolean;
}

/** All bits of `ifi_change`. */
const everything = 0xffff_ffff;

/** What a notification tells of an interface; `undefined` when it is about something else. */
export function linkChangeIn({ type, body }: Reply): LinkChange | undefined {
  if (type !== RTM_NEWLINK && type !== RTM_DELLINK) return undefined;
  const isWhole = linkMessage.decode(body).header.change === everything;
  return { link: decodeLink(body), isGone: type === RTM_DELLINK, isWhole };
}
