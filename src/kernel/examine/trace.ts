import { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { parseMessages } from 'netlink/dist/structs.js';
import { addressFromBytes } from '../../base/address.ts';
import { EgressError } from '../../base/errors.ts';
import type { Traced, TraceEvent, TraceVerdict } from '../../datapath/tracer.ts';
import { be32, be32Signed, be64, cString, listOf, nested, raw } from '../netlink/field.ts';
import { descriptorOfPort, setSocketOption } from '../netlink/libc.ts';
import { flags, isKernelError, NetlinkSocket, protocols, type Request } from '../netlink/socket.ts';
import { decode, encode, type Values } from '../netlink/wire.ts';
import { chainAttributes, expressionAttributes, tableAttributes } from '../nftables/attributes.ts';
import { choice } from '../nftables/data.ts';
import { families } from '../nftables/foreign.ts';
import { genericHeader, messageTypes, subsystem } from '../nftables/message.ts';
import { encodeBatch } from '../nftables/transaction.ts';
import { tracedRules } from './traced-rules.ts';

/** linux/netfilter/nfnetlink.h: NFNLGRP_NFTRACE. */
const traceGroup = 9;
const NFT_MSG_TRACE = 17;
const NFPROTO_INET = 1;
/** NFT_TABLE_F_OWNER: the kernel removes the table when the socket that made it is closed. */
const OWNER = 2;
const SOL_NETLINK = 270;
const NETLINK_NO_ENOBUFS = 5;
const messageBytes = 64 * 1024;
const bufferBytes = 4 * 1024 * 1024;

/** NFTA_RULE_* */
const ruleAttributes = {
  table: [1, cString],
  chain: [2, cString],
  expressions: [4, listOf(1, nested(expressionAttributes))],
} as const;

/** NFTA_TRACE_*, and NFTA_VERDICT_* in it. */
const traceAttributes = {
  table: [1, cString],
  chain: [2, cString],
  handle: [3, be64],
  type: [
    4,
    choice([
      ['policy', 1],
      ['return', 2],
      ['rule', 3],
    ]),
  ],
  verdict: [5, nested({ code: [1, be32Signed], chain: [2, cString] })],
  id: [6, be32],
  network: [8, raw],
  input: [10, be32],
  output: [12, be32],
  mark: [14, be32],
  policy: [16, be32],
} as const;

/**
 * Traces packets until disposed of. The table with the rules that mark them goes with its socket, and so with the process
 * however that ends.
 *
 * @param name of the table: one that nobody else has
 */
export async function trace(name: string, packets: Traced, seen: (event: TraceEvent) => void): Promise<Disposable> {
  const listener = listen(seen);
  const owner = new NetlinkSocket(protocols.netfilter);
  const close = () => {
    owner.close();
    listener.close();
  };
  try {
    await owner.batch(encodeBatch(tableOf(name, packets)));
  } catch (error) {
    close();
    if (!isKernelError(error, 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL')) throw error;
    const what = `A table that goes with its maker (NFT_TABLE_F_OWNER, Linux 5.12): ${error.message}`;
    throw new EgressError('kernel-refused', what, { cause: error });
  }
  return { [Symbol.dispose]: close };
}

function listen(seen: (event: TraceEvent) => void): RawNetlinkSocket {
  const socket = new RawNetlinkSocket(protocols.netfilter, {
    messagePeeking: false,
    msgBufferSize: messageBytes,
    recvBufferSize: bufferBytes,
    sendBufferSize: 0,
  });
  try {
    // ENOBUFS makes poll(2) say that the socket has an error, and there the package ends the whole process.
    setSocketOption(descriptorOfPort(socket.address().port), SOL_NETLINK, NETLINK_NO_ENOBUFS, 1);
    socket.addMembership(traceGroup);
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.on('message', (bytes: Buffer) => {
    for (const { type, data } of parseMessages(bytes)) {
      const event = type === ((subsystem << 8) | NFT_MSG_TRACE) ? decodeEvent(data as Buffer) : undefined;
      if (event !== undefined) seen(event);
    }
  });
  return socket;
}

// nft -f - <<'EOT'
// table inet NAME { flags owner; chain CHAIN { type filter hook prerouting priority -500; ip saddr … meta nftrace set 1; } … }
// EOT
function tableOf(table: string, packets: Traced): readonly Request[] {
  return [
    request('newTable', 0, encode(tableAttributes, { table, flags: OWNER })),
    ...tracedRules(packets).flatMap(({ chain, priority, expressions }) => [
      request(
        'newChain',
        flags.create,
        encode(chainAttributes, { table, name: chain, type: 'filter', hook: { hook: 0, priority } }),
      ),
      request(
        'newRule',
        flags.create | flags.append,
        encode(ruleAttributes, { table, chain, expressions: [...expressions] }),
      ),
    ]),
  ];
}

const request = (type: 'newTable' | 'newChain' | 'newRule', own: number, body: Buffer): Request => ({
  type: (subsystem << 8) | messageTypes[type],
  flags: own,
  body: Buffer.concat([genericHeader(NFPROTO_INET, 0), body]),
});

/** The event that a message holds; undefined for one of a family that we do not know. */
export function decodeEvent(body: Buffer): TraceEvent | undefined {
  const values = decode(traceAttributes, body.subarray(4));
  const { table = '', chain = '', handle, type, id = 0, mark = 0, input, output } = values;
  const family = families.get(body[0]); // of the table; NFTA_TRACE_NFPROTO is the packet's
  if (family === undefined || type === undefined) return undefined;
  const verdict = verdictOf(values);
  return {
    ...{ id, family, table, chain, type, mark },
    ...(handle !== undefined && { handle }),
    ...(verdict && { verdict }),
    ...(input !== undefined && { inputIndex: input }),
    ...(output !== undefined && { outputIndex: output }),
    ...addressesIn(values.network),
  };
}

/** linux/netfilter.h: NF_*; nf_tables.h: NFT_*. Of a drop the upper bits may hold an error. */
const codes = new Map<number, TraceVerdict['code']>([
  [0, 'drop'],
  [1, 'accept'],
  [2, 'stolen'],
  [3, 'queue'],
  [-1, 'continue'],
  [-2, 'continue'],
  [-3, 'jump'],
  [-4, 'goto'],
  [-5, 'return'],
]);

function verdictOf({ type, verdict, policy }: Values<typeof traceAttributes>): TraceVerdict | undefined {
  if (type === 'policy') return { code: policy === 0 ? 'drop' : 'accept' };
  if (verdict?.code === undefined) return undefined;
  const { code: number, chain } = verdict;
  const code = codes.get(number < 0 ? number : number & 0xff);
  return code && { code, ...(chain !== undefined && { chain }) };
}

/** Of an IP header of either family. */
function addressesIn(header: Buffer | undefined): Pick<TraceEvent, 'source' | 'destination'> {
  const version = header === undefined || header.length < 20 ? 0 : header.readUInt8(0) >> 4;
  if (header === undefined || (version !== 4 && version !== 6) || (version === 6 && header.length < 40)) return {};
  const [at, length] = version === 4 ? [12, 4] : [8, 16];
  return {
    source: addressFromBytes(header.subarray(at, at + length)),
    destination: addressFromBytes(header.subarray(at + length, at + 2 * length)),
  };
}
