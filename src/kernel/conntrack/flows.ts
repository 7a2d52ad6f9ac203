import { type Address, addressBytes, type Family, familyOf } from '../../base/address.ts';
import type { Flow } from '../../datapath/host.ts';
import { isKernelError, type NetlinkSocket, type Reply } from '../netlink/socket.ts';
import { addressFamily } from '../rtnetlink/family.ts';
import { throwUnless, unlessRefused } from '../rtnetlink/refusal.ts';
import {
  decodeListed,
  type FlowAttributes,
  flowMessage,
  idIn,
  type ListedFlow,
  type ListedTuple,
  messageTypes,
} from './tables.ts';

type Socket = Pick<NetlinkSocket, 'request' | 'dump' | 'each'>;

/** CTA_FILTER_F_CTA_IP_SRC and _DST of net/netfilter/nf_internals.h: the addresses. */
const FILTER_SOURCE = 1;
const FILTER_DESTINATION = 2;

/** What a flow can have an address as: the parts that the kernel can filter by, with the attributes for it. */
const filters = {
  source: (source4: Address) => ({ original: { ip: { source4 } }, filter: { originalFlags: FILTER_SOURCE } }),
  replySource: (source4: Address) => ({ reply: { ip: { source4 } }, filter: { replyFlags: FILTER_SOURCE } }),
  replyDestination: (destination4: Address) => ({
    reply: { ip: { destination4 } },
    filter: { replyFlags: FILTER_DESTINATION },
  }),
  /** Of a flow to the address itself, which no NAT sent elsewhere. */
  target: (address: Address) => ({
    ...{ original: { ip: { destination4: address } }, reply: { ip: { source4: address } } },
    filter: { originalFlags: FILTER_DESTINATION, replyFlags: FILTER_SOURCE },
  }),
} as const satisfies Readonly<Record<string, (address: Address) => FlowAttributes>>;

type FlowEnd = keyof typeof filters;

const hasEnd = (flow: Flow, end: FlowEnd, address: Address): boolean =>
  end === 'target' ? flow.destination === address && flow.replySource === address : flow[end] === address;

/**
 * The flows whose first packet came from an address, or whose answers go to it: SNAT gave it to them, or its owner
 * began them. Throws KernelError.
 */
// conntrack -L --orig-src 10.0.0.7; conntrack -L --reply-dst 192.0.2.50
export async function listFlows(
  socket: Socket,
  address: Address,
  end: 'source' | 'replyDestination' | 'target',
): Promise<readonly Flow[]> {
  return (await findFlows(socket, address, [end])).map(({ flow }) => flow);
}

/** The kernel's own filter costs a walk through its whole table for each address, of IPv4 alone. */
const filteredAtMost = 2;

/** The flows whose first packet came from one of the addresses, by one listing for each family. Throws KernelError. */
// conntrack -L --orig-src 10.0.0.7; conntrack -L -f ipv6
export async function listFlowsFrom(socket: Socket, sources: readonly Address[]): Promise<readonly Flow[]> {
  const found: Flow[] = [];
  for (const [family, own] of Map.groupBy(sources, familyOf)) {
    if (family === 4 && own.length <= filteredAtMost) {
      for (const source of own) found.push(...(await listFlows(socket, source, 'source')));
    } else {
      const [wanted, flows] = [new Set(own), await findFlowsOfAny(socket, family, own)];
      found.push(...flows.map(({ flow }) => flow).filter(({ source }) => wanted.has(source)));
    }
  }
  return found;
}

/**
 * Deletes all flows of a pod's address, whoever began them: their first packet comes from it, or their answers do
 * (whatever address they were sent to before DNAT). `only` chooses among them; it may be asked twice for a flow between
 * the address and itself. How many, the kernel does not tell. Throws KernelError.
 */
// conntrack -D --orig-src 10.0.0.7; conntrack -D --reply-src 10.0.0.7
export async function deleteFlows(socket: Socket, address: Address, { only }: Chosen = {}): Promise<void> {
  const ends = ['source', 'replySource'] as const;
  await (only === undefined ? deleteByEnds(socket, address, ends) : deleteSome(socket, address, ends, only));
}

/** The same for some flows of any of the addresses, by one listing for each family. Throws KernelError. */
export async function deleteFlowsOfAny(
  socket: Socket,
  addresses: readonly Address[],
  only: (flow: Flow) => boolean,
): Promise<void> {
  for (const [family, own] of Map.groupBy(addresses, familyOf)) {
    const wanted = new Set(own);
    const isChosen = (flow: Flow) => (wanted.has(flow.source) || wanted.has(flow.replySource)) && only(flow);
    await deleteChosenFlows(socket, family, async (all) => new Set(all.filter(isChosen)));
  }
}

/**
 * Deletes all flows with answers to an address: SNAT gave it to them, or its owner began them. Those go, too, that somebody
 * began to the address itself: an answer that came late, when this node did not know its connection, may have begun one, and
 * that holds the connection's port. `only` chooses among them. Throws KernelError.
 */
// conntrack -D --reply-dst 192.0.2.50; conntrack -D --orig-dst 192.0.2.50 --reply-src 192.0.2.50
export async function deleteFlowsTo(socket: Socket, address: Address, { only }: Chosen = {}): Promise<void> {
  const ends = ['replyDestination', 'target'] as const;
  await (only === undefined ? deleteByEnds(socket, address, ends) : deleteSome(socket, address, ends, only));
}

/** The same for any of the addresses: of many by one listing for each family. Throws KernelError. */
export async function deleteFlowsToAny(socket: Socket, addresses: readonly Address[]): Promise<void> {
  for (const [family, own] of Map.groupBy(addresses, familyOf)) {
    if (own.length <= filteredAtMost) for (const address of own) await deleteFlowsTo(socket, address);
    else await deleteChosenFlows(socket, family, async (all) => new Set(all.filter(isToAny(new Set(own)))));
  }
}

const isToAny =
  (addresses: ReadonlySet<Address>) =>
  ({ destination, replySource, replyDestination }: Flow): boolean =>
    addresses.has(replyDestination) || (destination === replySource && addresses.has(destination));

/** Which flows are deleted, of those that something holds for. */
interface Chosen {
  readonly only?: ((flow: Flow) => boolean) | undefined;
}

async function deleteSome(
  socket: Socket,
  address: Address,
  ends: readonly FlowEnd[],
  only: (flow: Flow) => boolean,
): Promise<void> {
  const found = await findFlows(socket, address, ends);
  await deleteEach(
    socket,
    found.filter(({ flow }) => only(flow)),
  );
}

/** Deletes the chosen ones among all flows of a family. Throws KernelError. */
// conntrack -L -f ipv4; conntrack -D …
export async function deleteChosenFlows(
  socket: Socket,
  family: Family,
  choose: (all: readonly Flow[]) => Promise<ReadonlySet<Flow>>,
): Promise<void> {
  const found = (await dumpFamily(socket, family)).map(({ body }) => decodeFlow(body));
  const chosen = await choose(found.map(({ flow }) => flow));
  await deleteEach(
    socket,
    found.filter(({ flow }) => chosen.has(flow)),
  );
}

/** Numbers of all connections of a family (CTA_ID). Throws KernelError. */
// conntrack -L -f ipv4 -o id
export async function listConnections(socket: Socket, family: Family): Promise<readonly number[]> {
  return (await dumpFamily(socket, family)).flatMap(({ body }) => idIn(body) ?? []);
}

/** Of so many addresses the bytes are looked for, which makes flows of others cheap; of more a flow is sooner decoded. */
const soughtAtMost = 8;

/** The flows that have one of the addresses somewhere, and of many addresses also others. */
async function findFlowsOfAny(
  socket: Socket,
  family: Family,
  addresses: readonly Address[],
): Promise<readonly FoundFlow[]> {
  const bytes = addresses.map((address) => Buffer.from(addressBytes(address)));
  const all = await dumpFamily(socket, family);
  const isSought = bytes.length <= soughtAtMost;
  const replies = isSought ? all.filter(({ body }) => bytes.some((each) => body.includes(each))) : all;
  return replies.map(({ body }) => decodeFlow(body));
}

const dumpFamily = (socket: Socket, family: Family): Promise<readonly Reply[]> =>
  socket.dump({ type: messageTypes.get, flags: 0, body: flowMessage.encode({ family: addressFamily(family) }) });

async function deleteByEnds(socket: Socket, address: Address, ends: readonly FlowEnd[]): Promise<void> {
  if (familyOf(address) === 4 && (await deleteByFilter(socket, address, ends))) return;
  await deleteEach(socket, await findFlows(socket, address, ends));
}

/** How kernels say that they cannot filter; ENOTSUP is Node's name for EOPNOTSUPP. */
const filterRefusals = ['EINVAL', 'ENOTSUP'] as const;

/**
 * The fast way: a fraction of a millisecond, where a listing alone takes ten (it locks each of the 262144 buckets that a
 * host has by default). Never for IPv6: up to Linux 6.18 at least ctnetlink_filter_match_tuple() compares those
 * addresses the wrong way round, and would delete all flows but the wanted. False when the kernel cannot: until
 * 2024 a deletion took a whole tuple and no filter.
 */
async function deleteByFilter(socket: Socket, address: Address, ends: readonly FlowEnd[]): Promise<boolean> {
  for (const end of ends) {
    const body = encodeFilter(address, end);
    const done = await unlessRefused(socket.request({ type: messageTypes.delete, flags: 0, body }), ...filterRefusals);
    if (done === undefined) return false;
  }
  return true;
}

/** A flow, and the kernel's message, which has the attributes by which it is found again. */
interface FoundFlow {
  readonly flow: Flow;
  readonly body: Buffer;
}

/** The flows with the address at one of the ends. */
async function findFlows(socket: Socket, address: Address, ends: readonly FlowEnd[]): Promise<readonly FoundFlow[]> {
  const bytes = Buffer.from(addressBytes(address));
  // To look for the bytes first is what makes a hundred thousand flows of others cheap.
  const replies = (await dumpFlows(socket, address, ends)).filter(({ body }) => body.includes(bytes));
  return replies
    .map(({ body }) => decodeFlow(body))
    .filter(({ flow }) => ends.some((end) => hasEnd(flow, end, address)));
}

/** At least the flows with the address at one of the ends; one that has it at two may come twice. */
async function dumpFlows(socket: Socket, address: Address, ends: readonly FlowEnd[]): Promise<readonly Reply[]> {
  const dump = (body: Buffer) => socket.dump({ type: messageTypes.get, flags: 0, body });
  const everything = flowMessage.encode(headerFor(address));
  if (familyOf(address) === 6) return dump(everything);
  try {
    const replies: (readonly Reply[])[] = [];
    for (const end of ends) replies.push(await dump(encodeFilter(address, end)));
    return replies.flat();
  } catch (error) {
    // Linux before 5.8 knows no filter: it refuses it, or passes over it and lists everything.
    if (isKernelError(error, ...filterRefusals)) return dump(everything);
    throw error;
  }
}

function decodeFlow(body: Buffer): FoundFlow {
  const listed = decodeListed(body);
  const { protocol, ...ports } = protocolOf(listed.original);
  const reply = addressesOf(listed.reply);
  const flow: Flow = {
    ...(listed.id !== undefined && { id: listed.id }),
    family: familyOf(reply.source),
    protocol,
    ...addressesOf(listed.original),
    ...ports,
    replySource: reply.source,
    replyDestination: reply.destination,
    ...(ports.sourcePort !== undefined && replyPortsOf(listed)),
    ...(protocol === IPPROTO_TCP && isEstablished(listed) && { established: true }),
  };
  return { flow, body };
}

function replyPortsOf({ reply }: ListedFlow): Pick<Flow, 'replySourcePort' | 'replyDestinationPort'> {
  const { sourcePort = 0, destinationPort = 0 } = protocolOf(reply);
  return { replySourcePort: sourcePort, replyDestinationPort: destinationPort };
}

const addressesOf = ({ ip = {} }: ListedTuple = {}) => ({
  source: ip.source4 ?? ip.source6 ?? '',
  destination: ip.destination4 ?? ip.destination6 ?? '',
});

const IPPROTO_TCP = 6;
/** TCP, UDP, SCTP: others have no ports, or other things in their place (the keys of GRE). */
const protocolsWithPorts: readonly number[] = [IPPROTO_TCP, 17, 132];

function protocolOf({ protocol = {} }: ListedTuple = {}): Pick<Flow, 'protocol' | 'sourcePort' | 'destinationPort'> {
  const { number = 0, sourcePort, destinationPort } = protocol;
  if (sourcePort === undefined || destinationPort === undefined) return { protocol: number };
  return { protocol: number, ...(protocolsWithPorts.includes(number) && { sourcePort, destinationPort }) };
}

/** linux/netfilter/nf_conntrack_tcp.h: enum tcp_conntrack. */
const TCP_CONNTRACK_ESTABLISHED = 3;
/** linux/netfilter/nf_conntrack_common.h: enum ip_conntrack_status. */
const IPS_OFFLOAD = 1 << 14;

/** Of a flow in somebody's flow table the kernel tells no state; only established ones get there. */
function isEstablished({ protocolInfo, status = 0 }: ListedFlow): boolean {
  return protocolInfo?.tcp?.state === TCP_CONNTRACK_ESTABLISHED || (status & IPS_OFFLOAD) !== 0;
}

/**
 * Deletes flows, all together; the id tells a flow from a later one with the same tuple. ENOENT: it has ended by itself.
 * EBUSY: it is offloaded to somebody's flow table, from which it cannot be taken; it goes from there when the pod's
 * device goes.
 */
async function deleteEach(socket: Socket, found: readonly FoundFlow[]): Promise<void> {
  const requests = found.map(({ flow, body }) => {
    const { original, id, zone } = flowMessage.decode(body).attributes;
    return {
      type: messageTypes.delete,
      flags: 0,
      body: flowMessage.encode(headerFor(flow.source), { original, id, zone }),
    };
  });
  throwUnless(await socket.each(requests), 'ENOENT', 'EBUSY');
}

const headerFor = (address: Address) => ({ family: addressFamily(familyOf(address)) });

/** The body that stands for the flows with an IPv4 address at one of their ends. */
const encodeFilter = (address: Address, end: FlowEnd): Buffer =>
  flowMessage.encode(headerFor(address), filters[end](address));
