import { type Address, addressBytes, familyOf } from '../../base/address.ts';
import { type Traced, tracedChains } from '../../datapath/tracer.ts';
import type { Expression } from '../../nftables/expression.ts';
import { be32, be64 } from '../netlink/field.ts';
import { encode, type Values } from '../netlink/wire.ts';
import type { expressionAttributes } from '../nftables/attributes.ts';
import { encodeExpression } from '../nftables/expression.ts';

/** An expression as it lies in a rule. */
export type RawExpression = Values<typeof expressionAttributes>;

/** A chain at prerouting with one rule, which marks packets for tracing. */
export interface TracedRule {
  readonly chain: string;
  readonly priority: number;
  readonly expressions: readonly RawExpression[];
}

/** Before all others; and behind conntrack (-200), which alone knows whose answer a packet is. */
const priorities = { packets: -500, answers: -199 } as const;

/** The rules for packets, and for what answers them: by the addresses that the connection began with. */
export function tracedRules(packets: Traced): readonly TracedRule[] {
  const { source, destination } = packets;
  const family = familyOf(source);
  const [from, to] = family === 4 ? (['src_ip', 'dst_ip'] as const) : (['src_ip6', 'dst_ip6'] as const);
  const ofFamily = [{ name: 'meta', key: 'nfproto', dreg: 1 }, is(family === 4 ? '02' : '0a')] as const;
  return [
    {
      chain: tracedChains.packets,
      priority: priorities.packets,
      expressions: rule([...ofFamily, ...header(source, destination), ...transport(packets)]),
    },
    {
      chain: tracedChains.answers,
      priority: priorities.answers,
      expressions: rule([
        ...ofFamily,
        { name: 'ct', key: 'direction', dreg: 1 },
        is('01'),
        { name: 'ct', key: from, direction: 'original', dreg: 1 },
        is(hexOf(source)),
        { name: 'ct', key: to, direction: 'original', dreg: 1 },
        is(hexOf(destination)),
      ]),
    },
  ];
}

const is = (data: string): Expression => ({ name: 'cmp', op: 'eq', sreg: 1, data });

const hexOf = (address: Address): string => Buffer.from(addressBytes(address)).toString('hex');

/** Offsets and lengths of the addresses in both headers. */
function header(source: Address, destination: Address): readonly Expression[] {
  const [offset, length] = familyOf(source) === 4 ? [12, 4] : [8, 16];
  return [
    { name: 'payload', base: 'network', offset, length, dreg: 1 },
    is(hexOf(source)),
    { name: 'payload', base: 'network', offset: offset + length, length, dreg: 1 },
    is(hexOf(destination)),
  ];
}

function transport({ protocol, port }: Traced): readonly Expression[] {
  if (protocol === undefined) return [];
  const number = protocol.toString(16).padStart(2, '0');
  const ofProtocol: readonly Expression[] = [{ name: 'meta', key: 'l4proto', dreg: 1 }, is(number)];
  if (port === undefined) return ofProtocol;
  return [
    ...ofProtocol,
    { name: 'payload', base: 'transport', offset: 2, length: 2, dreg: 1 },
    is(port.toString(16).padStart(4, '0')),
  ];
}

/** NFTA_LIMIT_*: what a fast connection sends would drown all else. */
const limitAttributes = {
  rate: [1, be64],
  unit: [2, be64],
  burst: [3, be32],
  type: [4, be32],
  flags: [5, be32],
} as const;
const limit: RawExpression = {
  name: 'limit',
  data: encode(limitAttributes, { rate: 10n, unit: 1n, burst: 5, type: 0, flags: 0 }),
};

/** NFT_META_NFTRACE. */
const NFTRACE = 12;
const markForTracing: RawExpression = {
  name: 'meta',
  data: encode({ key: [2, be32], sreg: [3, be32] }, { key: NFTRACE, sreg: 1 }),
};

// … limit rate 10/second meta nftrace set 1
const rule = (conditions: readonly Expression[]): readonly RawExpression[] => [
  ...conditions.map((expression) => encodeExpression(expression, () => 0)),
  limit,
  encodeExpression({ name: 'immediate', dreg: 1, data: '01' }, () => 0),
  markForTracing,
];
