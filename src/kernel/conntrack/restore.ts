import { type Address, familyOf } from '../../base/address.ts';
import type { Flow } from '../../datapath/host.ts';
import { hex } from '../netlink/field.ts';
import type { NetlinkSocket, Request } from '../netlink/socket.ts';
import { encode } from '../netlink/wire.ts';
import { addressFamily } from '../rtnetlink/family.ts';
import { throwUnless } from '../rtnetlink/refusal.ts';
import { flowMessage, messageTypes, type Nat, protocolTable, type Tuple } from './tables.ts';

/** linux/netlink.h: NLM_F_CREATE and NLM_F_EXCL. */
const newOnly = 0x600;
/** linux/netfilter/nf_conntrack_tcp.h: TCP_CONNTRACK_ESTABLISHED; IP_CT_TCP_FLAG_BE_LIBERAL, for windows nobody knows. */
const established = 3;
const liberal = 8;
/**
 * linux/netfilter/nf_conntrack_common.h: IPS_SEEN_REPLY, IPS_ASSURED, and IPS_CONFIRMED. The kernel insists on the
 * last.
 */
const seenBothWays = 0x2 | 0x4 | 0x8;
/** A pod may send just between the two on another processor, but hardly so often in a row. */
const tries = 20;
/** Seconds: the kernel's own default for an established connection (nf_conntrack_tcp_timeout_established). */
const timeout = 432_000;

/**
 * Makes conntrack know established connections of TCP: translated as the flows say, but that they leave with `source`. A
 * rule could not do that: it would choose their ports anew. What conntrack knows of such a connection goes one message before: a
 * packet that came between the two would leave with another port, and the far end would reset the connection. When one did all the
 * same (EEXIST), what conntrack made of it goes. All are sent together, as often as some are there. Throws KernelError.
 */
// conntrack -D --orig-src …; conntrack -I --orig-src … --state ESTABLISHED --src-nat …
export async function restoreFlows(
  socket: Pick<NetlinkSocket, 'each'>,
  flows: readonly Flow[],
  source: Address,
): Promise<void> {
  let left = flows.flatMap((flow) => requestsFor(flow, source) ?? []);
  for (let tried = 1; tried <= tries && left.length > 0; tried++) {
    const answers = await socket.each(left.flatMap(({ remove, create }) => [remove, create]));
    const [removals, creations] = [0, 1].map((part) => answers.filter((_, i) => i % 2 === part)) as [Answers, Answers];
    throwUnless(removals, 'ENOENT', 'EBUSY');
    throwUnless(creations, 'EEXIST');
    left = left.filter((_, i) => creations[i] !== undefined);
  }
}

type Answers = Awaited<ReturnType<NetlinkSocket['each']>>;

/** The message that makes a flow, and the one that removes another of the same connection; none without ports. */
function requestsFor(flow: Flow, source: Address): { readonly create: Request; readonly remove: Request } | undefined {
  const { sourcePort, destinationPort, replySourcePort, replyDestinationPort } = flow;
  if (sourcePort === undefined || destinationPort === undefined) return undefined;
  const tcp = { state: established, originalFlags: liberal, replyFlags: liberal };
  const header = { family: addressFamily(flow.family) };
  const original = tupleOf(flow.protocol, [flow.source, sourcePort], [flow.destination, destinationPort]);
  const body = flowMessage.encode(header, {
    original,
    reply: tupleOf(flow.protocol, [flow.destination, destinationPort], [flow.source, sourcePort]),
    status: seenBothWays,
    protocolInfo: { tcp },
    sourceNat: natTo(source, replyDestinationPort ?? sourcePort),
    timeout,
    destinationNat: natTo(flow.replySource, replySourcePort ?? destinationPort),
  });
  return {
    create: { type: messageTypes.create, flags: newOnly, body },
    remove: { type: messageTypes.delete, flags: 0, body: flowMessage.encode(header, { original }) },
  };
}

type End = readonly [address: Address, port: number];

const tupleOf = (number: number, [source, sourcePort]: End, [destination, destinationPort]: End): Tuple => ({
  ip:
    familyOf(source) === 4
      ? { source4: source, destination4: destination }
      : { source6: source, destination6: destination },
  protocol: hex.decode(encode(protocolTable, { number, sourcePort, destinationPort })),
});

const natTo = (address: Address, port: number): Nat => ({
  ...(familyOf(address) === 4
    ? { address4: address, lastAddress4: address }
    : { address6: address, lastAddress6: address }),
  ports: { first: port, last: port },
});
