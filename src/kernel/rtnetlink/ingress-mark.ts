import { closeSync } from 'node:fs';
import { EgressError, isSystemError } from '../../base/errors.ts';
import { hexNumber } from '../../base/shown.ts';
import type { IngressMark } from '../../datapath/objects.ts';
import { ingressMarks } from '../../datapath/unjudged.ts';
import { loadProgram } from '../bpf/load.ts';
import { markingProgram } from '../bpf/marking.ts';
import { type KernelKind, noneListed } from '../kind.ts';
import { cString, type Field, u8, u16, u32 } from '../netlink/field.ts';
import { flags, isKernelError, type NetlinkSocket } from '../netlink/socket.ts';
import { decode, encode } from '../netlink/wire.ts';
import { readLink } from './link.ts';
import { message } from './message.ts';
import { onDevice } from './on-device.ts';
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

/** Bytes as they are: what options mean depends on their kind. */
const raw: Field<Buffer> = { encode: (value) => value, decode: (bytes) => bytes };

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

/** Our place among the filters: the preference (as our number on routes), all protocols (ETH_P_ALL in network order). */
const place = ((routeProtocol << 16) | 0x0300) >>> 0;
/** Of the one filter in that place. */
const filterHandle = 1;

const namePrefix = 'cni-egress-';
const nameOf = ({ value, mask }: IngressMark): string => `${namePrefix}${hexNumber(value)}/${hexNumber(mask)}`;

/**
 * Lets an interface mark what comes in by it, before nftables sees it; others' filters stay, and go on behind ours. Throws
 * KernelError, and {@link systemError} of bpf(2): kernels may lack either.
 */
// tc qdisc add dev veth1 clsact; tc filter add dev veth1 ingress pref 230 handle 1 bpf direct-action …
export async function setIngressMark(socket: NetlinkSocket, mark: IngressMark, index: number): Promise<void> {
  const program = loadProgram(markingProgram(mark));
  try {
    await addQueue(socket, index);
    await socket.request({ type: RTM_NEWTFILTER, flags: flags.create, body: encodeFilter(mark, index, program) });
  } finally {
    closeSync(program);
  }
}

/** `clsact`, or the older `ingress`, may be there already. */
async function addQueue(socket: NetlinkSocket, index: number): Promise<void> {
  try {
    await socket.request({ type: RTM_NEWQDISC, flags: flags.create | flags.excl, body: encodeQueue(index) });
  } catch (error) {
    if (!isKernelError(error, 'EEXIST')) throw error;
  }
}

/** The mark that an interface gives by us; none when it is gone. Throws KernelError. */
// tc filter show dev veth1 ingress
export async function readIngressMark(
  socket: NetlinkSocket,
  device: string,
  index: number,
): Promise<IngressMark | undefined> {
  const bodies = await listFilters(socket, index, clsact.ingress);
  return bodies.flatMap((body) => decodeFilter(body, device, index) ?? [])[0];
}

/**
 * Deletes what {@link setIngressMark} made; that it is gone already is no error. The queueing discipline goes with it when it
 * has no filter any more. Throws KernelError.
 */
// tc filter del dev veth1 ingress pref 230; tc qdisc del dev veth1 clsact
export async function deleteIngressMark(socket: NetlinkSocket, { device }: IngressMark, index: number): Promise<void> {
  if ((await readIngressMark(socket, device, index)) === undefined) return;
  const body = trafficMessage.encode(
    { index, parent: clsact.ingress, handle: filterHandle, info: place },
    { kind: 'bpf' },
  );
  await unlessRefused(socket.request({ type: RTM_DELTFILTER, flags: 0, body }), ...gone);
  const left = [
    ...(await listFilters(socket, index, clsact.ingress)),
    ...(await listFilters(socket, index, clsact.egress)),
  ];
  if (left.length > 0) return;
  await unlessRefused(socket.request({ type: RTM_DELQDISC, flags: 0, body: encodeQueue(index) }), ...gone);
}

/** By these the kernel says that the interface, the queueing discipline or the filter is not there. */
const gone = ['ENODEV', 'ENOENT', 'EINVAL'];

async function listFilters(socket: NetlinkSocket, index: number, parent: number): Promise<readonly Buffer[]> {
  const body = trafficMessage.encode({ index, parent });
  const replies = await unlessRefused(socket.dump({ type: RTM_GETTFILTER, flags: 0, body }), ...gone);
  return (replies ?? []).filter(({ type }) => type === RTM_NEWTFILTER).map((reply) => reply.body);
}

/** The body of the message that adds `clsact`, or takes it away. */
const encodeQueue = (index: number): Buffer =>
  trafficMessage.encode({ index, handle: clsact.handle, parent: clsact.parent }, { kind: 'clsact' });

/** The body of the message that sets our filter; `program` is a descriptor of one. */
export const encodeFilter = (mark: IngressMark, index: number, program: number): Buffer =>
  trafficMessage.encode(
    { index, handle: filterHandle, parent: clsact.ingress, info: place },
    { kind: 'bpf', options: encode(bpf, { descriptor: program, name: nameOf(mark), flags: directAction }) },
  );

/** The mark that a filter of a listing gives; `undefined` when it is none of ours. */
export function decodeFilter(body: Buffer, device: string, index: number): IngressMark | undefined {
  const { header, attributes } = trafficMessage.decode(body);
  const { kind, options } = attributes;
  if (header.index !== index || header.info !== place || kind !== 'bpf' || options === undefined) return undefined;
  const { name = '', flags: how } = decode(bpf, options);
  const [value, mask, ...more] = name.startsWith(namePrefix)
    ? name.slice(namePrefix.length).split('/').map(Number)
    : [];
  const isMark = (number: number | undefined): number is number => Number.isInteger(number);
  if (how !== directAction || !isMark(value) || !isMark(mask) || more.length > 0) return undefined;
  return { kind: 'ingressMark', device, value, mask };
}

/** Interfaces are asked that are to have one: no listing tells which have. Throws `cannot-mark`. */
export const ingressMarkKind: KernelKind<IngressMark> = {
  ...onDevice<IngressMark>(refusing(setIngressMark), deleteIngressMark),
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
