import { closeSync } from 'node:fs';
import { EgressError, isSystemError } from '../../base/errors.ts';
import { hexNumber } from '../../base/shown.ts';
import type { IngressMark } from '../../datapath/objects.ts';
import { ingressMarks } from '../../datapath/unjudged.ts';
import { loadProgram } from '../bpf/load.ts';
import { markingProgram } from '../bpf/marking.ts';
import { type KernelKind, noneListed } from '../kind.ts';
import { cString, raw, u8, u16, u32 } from '../netlink/field.ts';
import { flags, isKernelError, type KernelError, type NetlinkSocket } from '../netlink/socket.ts';
import { decode, encode } from '../netlink/wire.ts';
import { readLink } from './link.ts';
import { message } from './message.ts';
import { routeProtocol } from './protocol.ts';
import { unlessRefused } from './refusal.ts';

/** linux/pkt_cls.h, TCA_BPF_*. */
const bpf = {
  descriptor: [6, u32],
  name: [7, cString],
  flags: [8, u32],
} as const;

/** TCA_BPF_FLAG_ACT_DIRECT: what the program returns is the verdict. */
const directAction = 1;

/** linux/rtnetlink.h: struct tcmsg and TCA_*, of a queueing discipline and of a filter of it. */
const trafficMessage = message(
  { family: u8, pad1: u8, pad2: u16, index: u32, handle: u32, parent: u32, info: u32 },
  { kind: [1, cString], options: [2, raw] },
);

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

/** linux/pkt_sched.h: where `clsact` is, TC_H_MAKE(TC_H_CLSACT, 0) and TC_H_CLSACT, and its two places. */
const clsact = { handle: 0xffff0000, parent: 0xfffffff1, ingress: 0xfffffff2, egress: 0xfffffff3 } as const;

/**
 * Our place among the filters: the preference (as our number on routes), all protocols (ETH_P_ALL in network order). Filters
 * of lower preferences come before: what they end (TC_ACT_OK, a redirect) has no mark. It is steered all the same, and only
 * a flush lets it through.
 */
const place = ((routeProtocol << 16) | 0x0300) >>> 0;
/** Of our filter in that place; 0 is what the kernel lists of the place itself. */
const filterHandle = 1;

const namePrefix = 'cni-egress-';
/** In the name of a filter whose queueing discipline we made, too. */
const queueSuffix = '/clsact';
const nameOf = ({ value, mask }: IngressMark, hasOwnQueue: boolean): string =>
  `${namePrefix}${hexNumber(value)}/${hexNumber(mask)}${hasOwnQueue ? queueSuffix : ''}`;

/** A filter of ours: its mark, and whether its queueing discipline is ours. */
interface OwnFilter {
  readonly mark: IngressMark;
  readonly hasOwnQueue: boolean;
}

/**
 * Lets an interface mark what comes in by it, before nftables sees it; others' filters stay, and go on behind ours. Throws
 * KernelError, `cannot-mark` where somebody else has our place, and {@link systemError} of bpf(2): kernels may lack either.
 */
// tc qdisc add dev veth1 clsact; tc filter add dev veth1 ingress pref 230 handle 1 bpf direct-action …
export async function setIngressMark(socket: NetlinkSocket, mark: IngressMark, index: number): Promise<void> {
  const program = loadProgram(markingProgram(mark));
  try {
    await addFilter(socket, mark, index, program);
  } finally {
    closeSync(program);
  }
}

/** In one exchange, on most interfaces: nobody else is there. `clsact`, or the older `ingress`, may be there already. */
async function addFilter(socket: NetlinkSocket, mark: IngressMark, index: number, program: number): Promise<void> {
  const add = flags.create | flags.excl;
  const [noQueue, noFilter] = await socket.each([
    { type: RTM_NEWQDISC, flags: add, body: encodeQueue(index) },
    { type: RTM_NEWTFILTER, flags: add, body: encodeFilter(mark, index, program) },
  ]);
  if (noQueue === undefined) return noFilter && (await withoutQueue(socket, index, noFilter));
  if (noQueue.code !== 'EEXIST') throw noQueue;
  if (noFilter !== undefined && noFilter.code !== 'EEXIST') throw noFilter;
  const { own } = noFilter ? await readFilters(socket, mark.device, index) : {};
  if (noFilter !== undefined && own === undefined) {
    throw new EgressError(
      'cannot-mark',
      `Somebody else has a filter with preference ${routeProtocol} at ${mark.device}`,
    );
  }
  const body = encodeFilter(mark, index, program, own?.hasOwnQueue === true);
  await socket.request({ type: RTM_NEWTFILTER, flags: flags.create, body });
}

/** The queueing discipline was made for a filter that the kernel refused. */
async function withoutQueue(socket: NetlinkSocket, index: number, refusal: KernelError): Promise<never> {
  await unlessRefused(socket.request(queueDeletion(index)), ...gone);
  throw refusal;
}

/** The mark that an interface gives by us; none when it is gone. Throws KernelError. */
// tc filter show dev veth1 ingress
export const readIngressMark = async (
  socket: NetlinkSocket,
  device: string,
  index: number,
): Promise<IngressMark | undefined> => (await readFilters(socket, device, index)).own?.mark;

/** Our filter at an interface, and whether others have some there. */
async function readFilters(
  socket: NetlinkSocket,
  device: string,
  index: number,
): Promise<{ readonly own?: OwnFilter; readonly hasOthers: boolean }> {
  const bodies = await listFilters(socket, index, clsact.ingress);
  const [own] = bodies.flatMap((body) => decodeFilter(body, device, index) ?? []);
  return { ...(own && { own }), hasOthers: bodies.some((body) => !isInOurPlace(body)) };
}

/**
 * Deletes what {@link setIngressMark} made; that it is gone already is no error. The queueing discipline goes with it when we
 * made it, and nobody else has a filter there. Throws KernelError.
 */
// tc filter del dev veth1 ingress pref 230; tc qdisc del dev veth1 clsact
export async function deleteIngressMark(socket: NetlinkSocket, { device }: IngressMark, index: number): Promise<void> {
  const { own, hasOthers } = await readFilters(socket, device, index);
  if (own === undefined) return;
  const body = trafficMessage.encode(
    { index, parent: clsact.ingress, handle: filterHandle, info: place },
    { kind: 'bpf' },
  );
  await unlessRefused(socket.request({ type: RTM_DELTFILTER, flags: 0, body }), ...gone);
  if (!own.hasOwnQueue || hasOthers || (await listFilters(socket, index, clsact.egress)).length > 0) return;
  await unlessRefused(socket.request(queueDeletion(index)), ...gone);
}

/** By these the kernel says that the interface, the queueing discipline or the filter is not there. */
const gone = ['ENODEV', 'ENOENT', 'EINVAL'];

/** By this a kernel without filters (CONFIG_NET_CLS) says that it does not know the question. EOPNOTSUPP is the same number. */
const unknown = 'ENOTSUP';

async function listFilters(socket: NetlinkSocket, index: number, parent: number): Promise<readonly Buffer[]> {
  const body = trafficMessage.encode({ index, parent });
  const replies = await unlessRefused(socket.dump({ type: RTM_GETTFILTER, flags: 0, body }), ...gone, unknown);
  return (replies ?? []).filter(({ type }) => type === RTM_NEWTFILTER).map((reply) => reply.body);
}

/** The body of the message that adds `clsact`, or takes it away. */
const encodeQueue = (index: number): Buffer =>
  trafficMessage.encode({ index, handle: clsact.handle, parent: clsact.parent }, { kind: 'clsact' });

const queueDeletion = (index: number) => ({ type: RTM_DELQDISC, flags: 0, body: encodeQueue(index) });

/** The body of the message that sets our filter; `program` is a descriptor of one. */
const encodeFilter = (mark: IngressMark, index: number, program: number, hasOwnQueue = true): Buffer =>
  trafficMessage.encode(
    { index, handle: filterHandle, parent: clsact.ingress, info: place },
    {
      kind: 'bpf',
      options: encode(bpf, { descriptor: program, name: nameOf(mark, hasOwnQueue), flags: directAction }),
    },
  );

function isInOurPlace(body: Buffer): boolean {
  const { info, handle } = trafficMessage.decode(body).header;
  return info === place && (handle === 0 || handle === filterHandle);
}

/** What a filter of a listing is; `undefined` when it is none of ours. */
function decodeFilter(body: Buffer, device: string, index: number): OwnFilter | undefined {
  const { header, attributes } = trafficMessage.decode(body);
  const { kind, options } = attributes;
  if (header.index !== index || !isInOurPlace(body) || kind !== 'bpf' || options === undefined) return undefined;
  const { name = '', flags: how } = decode(bpf, options);
  const [, value, mask, suffix] = namePattern.exec(name) ?? [];
  if (how !== directAction || value === undefined || mask === undefined) return undefined;
  return {
    mark: { kind: 'ingressMark', device, value: Number(value), mask: Number(mask) },
    hasOwnQueue: suffix !== undefined,
  };
}

const namePattern = new RegExp(`^${namePrefix}(0x[0-9a-f]+)/(0x[0-9a-f]+)(${queueSuffix})?$`);

/** Interfaces are asked that are to have one: no listing tells which have. Throws `cannot-mark`. */
export const ingressMarkKind: KernelKind<IngressMark> = {
  /** An interface that is gone has nothing to mark. */
  async setUp(socket, mark, indexOf) {
    const index = await indexOf(mark.device);
    if (index !== undefined) await refusing(setIngressMark)(socket, mark, index);
  },
  async takeDown(socket, mark, indexOf) {
    const index = await indexOf(mark.device);
    if (index !== undefined) await deleteIngressMark(socket, mark, index);
  },
  async observe({ socket, node, needs: { checked = [] } }) {
    const found: IngressMark[] = [];
    for (const { device } of ingressMarks(node, checked)) {
      const link = await readLink(socket, device);
      const mark = link && (await readIngressMark(socket, device, link.index));
      if (mark !== undefined) found.push(mark);
    }
    return found;
  },
  list: noneListed,
};

/** A kernel or a caller may lack what it takes; nobody's steering depends on it. */
function refusing(set: typeof setIngressMark): typeof setIngressMark {
  return async (socket, mark, index) => {
    try {
      await set(socket, mark, index);
    } catch (error) {
      if (!isKernelError(error) && !isSystemError(error)) throw error;
      throw new EgressError('cannot-mark', `What comes in by ${mark.device} cannot be marked: ${error.message}`, {
        cause: error,
      });
    }
  };
}
