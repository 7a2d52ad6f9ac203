import { type Address, addressBytes, familyOf } from '../../base/address.ts';
import type { Hex } from '../../nftables/expression.ts';
import { be16, be32, type Field, hex, nested, u8, u32 } from '../netlink/field.ts';
import { isKernelError, type NetlinkSocket, type Reply } from '../netlink/socket.ts';
import type { Table, Values } from '../netlink/wire.ts';
import { addressFamily } from '../rtnetlink/family.ts';
import { message } from '../rtnetlink/message.ts';
import { unlessRefused } from '../rtnetlink/refusal.ts';

/** CTA_IP_*: as hexadecimal, to be compared only. */
const ipTable = {
  source4: [1, hex],
  destination4: [2, hex],
  source6: [3, hex],
  destination6: [4, hex],
} as const satisfies Table;

/** Attributes that go back to the kernel as they came: those of a protocol are of no concern to us. */
const asTheyCame: Field<Hex> & { readonly nested: true } = { ...hex, nested: true };

/** CTA_TUPLE_*: one direction of a flow. */
const tupleTable = {
  ip: [1, nested(ipTable)],
  protocol: [2, asTheyCame],
  zone: [3, be16],
} as const satisfies Table;

/** CTA_FILTER_*: which parts of the tuples beside it a flow must have. */
const filterTable = { originalFlags: [1, u32], replyFlags: [2, u32] } as const satisfies Table;

/** linux/netfilter/nfnetlink_conntrack.h: CTA_*. */
const flowTable = {
  original: [1, nested(tupleTable)],
  reply: [2, nested(tupleTable)],
  id: [12, be32],
  zone: [18, be16],
  filter: [25, nested(filterTable)],
} as const satisfies Table;

/** struct nfgenmsg, then the flow. */
const flowMessage = message({ family: u8, version: u8, resource: be16 }, flowTable);

type Flow = Values<typeof flowTable>;
type Socket = Pick<NetlinkSocket, 'request' | 'dump'>;

const NFNL_SUBSYS_CTNETLINK = 1 << 8;
const IPCTNL_MSG_CT_GET = NFNL_SUBSYS_CTNETLINK | 1;
const IPCTNL_MSG_CT_DELETE = NFNL_SUBSYS_CTNETLINK | 2;
/** CTA_FILTER_F_CTA_IP_SRC of net/netfilter/nf_internals.h: the source address. */
const FILTER_SOURCE = 1;

/**
 * Deletes all flows of a pod's address: those that it began (their first packet came from it) and those that others
 * began (the answers come from it, whatever address they were sent to before DNAT). How many, the kernel does not tell.
 * Throws KernelError.
 */
// conntrack -D --orig-src 10.0.0.7; conntrack -D --reply-src 10.0.0.7
export async function deleteFlows(socket: Socket, address: Address): Promise<void> {
  if (familyOf(address) === 4 && (await deleteByFilter(socket, address))) return;
  for (const flow of await listFlows(socket, address)) await deleteFlow(socket, flow, address);
}

/** How kernels say that they cannot filter; ENOTSUP is Node's name for EOPNOTSUPP. */
const filterRefusals = ['EINVAL', 'ENOTSUP'] as const;

/**
 * The fast way: a fraction of a millisecond, where a listing alone takes ten (it locks each of the 262144 buckets that a
 * host has by default). Never for IPv6: up to Linux 6.18 at least ctnetlink_filter_match_tuple() compares those
 * addresses the wrong way round, and would delete all flows but the wanted. False when the kernel cannot: until
 * 2024 a deletion took a whole tuple and no filter.
 */
async function deleteByFilter(socket: Socket, address: Address): Promise<boolean> {
  for (const direction of ['original', 'reply'] as const) {
    const body = encodeFilter(address, direction);
    const done = await unlessRefused(socket.request({ type: IPCTNL_MSG_CT_DELETE, flags: 0, body }), ...filterRefusals);
    if (done === undefined) return false;
  }
  return true;
}

async function listFlows(socket: Socket, address: Address): Promise<readonly Flow[]> {
  const source = Buffer.from(addressBytes(address));
  // To look for the bytes first is what makes a hundred thousand flows of others cheap.
  const replies = (await dumpFlows(socket, address)).filter(({ body }) => body.includes(source));
  const flows = replies.map(({ body }) => flowMessage.decode(body).attributes);
  return flows.filter(({ original, reply }) => isFrom(original, source) || isFrom(reply, source));
}

function isFrom(tuple: Values<typeof tupleTable> | undefined, source: Buffer): boolean {
  return source.toString('hex') === (tuple?.ip?.source4 ?? tuple?.ip?.source6);
}

/** At least the flows with the address as a source; one that has it in both directions may come twice. */
async function dumpFlows(socket: Socket, address: Address): Promise<readonly Reply[]> {
  const dump = (body: Buffer) => socket.dump({ type: IPCTNL_MSG_CT_GET, flags: 0, body });
  const everything = flowMessage.encode(headerFor(address));
  if (familyOf(address) === 6) return dump(everything);
  try {
    return [...(await dump(encodeFilter(address, 'original'))), ...(await dump(encodeFilter(address, 'reply')))];
  } catch (error) {
    // Linux before 5.8 knows no filter: it refuses it, or passes over it and lists everything.
    if (isKernelError(error, ...filterRefusals)) return dump(everything);
    throw error;
  }
}

/**
 * Deletes one flow; its id tells it from a later one with the same tuple. ENOENT: it has ended by itself. EBUSY: it is
 * offloaded to somebody's flow table, from which it cannot be taken; it goes from there when the pod's device goes.
 */
async function deleteFlow(socket: Socket, { original, id, zone }: Flow, address: Address): Promise<void> {
  const body = flowMessage.encode(headerFor(address), { original, id, zone });
  await unlessRefused(socket.request({ type: IPCTNL_MSG_CT_DELETE, flags: 0, body }), 'ENOENT', 'EBUSY');
}

const headerFor = (address: Address) => ({ family: addressFamily(familyOf(address)) });

/** The body that stands for the flows with an IPv4 address as the source of one direction. */
function encodeFilter(address: Address, direction: 'original' | 'reply'): Buffer {
  const tuple = { ip: { source4: Buffer.from(addressBytes(address)).toString('hex') } };
  const filter = direction === 'original' ? { originalFlags: FILTER_SOURCE } : { replyFlags: FILTER_SOURCE };
  return flowMessage.encode(headerFor(address), { [direction]: tuple, filter });
}
