import type { Family } from './address.ts';

/** Protocols that a policy may name. `icmp` is that of the family: ICMP for IPv4, ICMPv6 for IPv6. */
export const protocols = ['icmp', 'tcp', 'udp', 'sctp'] as const;

/** One of {@link protocols}. */
export type Protocol = (typeof protocols)[number];

/** The number of a protocol in the header of a packet (IPPROTO_*). */
export const protocolNumber = (protocol: Protocol, family: Family): number =>
  protocol === 'icmp' ? icmpNumbers[family] : numbers[protocol];

const numbers = { tcp: 6, udp: 17, sctp: 132 } as const;
const icmpNumbers = { 4: 1, 6: 58 } as const;

/** The protocol of a number in a packet's header; `undefined` for one that no policy can name. */
export const protocolOf = (number: number, family: Family): Protocol | undefined =>
  protocols.find((protocol) => protocolNumber(protocol, family) === number);

/**
 * Destination ports of a protocol as canonical text: `tcp` (all of it), `tcp:25`, `tcp:5060-5061`. Equal ranges have
 * equal texts. Made by {@link parsePortRange} only.
 */
export type PortRange = string;

/** What a {@link PortRange} says. */
export interface PortRangeParts {
  readonly protocol: Protocol;
  /** Ports 0…65535, both included; absent: the whole protocol. `icmp` has no ports. */
  readonly ports?: { readonly first: number; readonly last: number };
}

/** The canonical text of `protocol[:port[-port]]`, or `undefined` when the text is none. ICMP has no ports. */
export function parsePortRange(text: string): PortRange | undefined {
  const [, name, first, last = first] = /^(\w+)(?::(\d{1,5})(?:-(\d{1,5}))?)?$/.exec(text) ?? [];
  const protocol = protocols.find((known) => known === name);
  if (protocol === undefined) return undefined;
  if (first === undefined) return protocol;
  const ports = { first: Number(first), last: Number(last) };
  if (protocol === 'icmp' || ports.first < 1 || ports.last > highestPort || ports.first > ports.last) return undefined;
  return textOf({ protocol, ports });
}

const highestPort = 65535;

/** The parts of a canonical text. */
export function portRangeParts(range: PortRange): PortRangeParts {
  const [protocol = '', ports] = range.split(':');
  if (ports === undefined) return { protocol: protocol as Protocol };
  const [first = '', last = first] = ports.split('-');
  return { protocol: protocol as Protocol, ports: { first: Number(first), last: Number(last) } };
}

function textOf({ protocol, ports }: PortRangeParts): PortRange {
  if (ports === undefined) return protocol;
  return `${protocol}:${ports.first}${ports.last === ports.first ? '' : `-${ports.last}`}`;
}

/** The same ports, each once: sorted, with overlapping and adjoining ranges made one. */
export function mergePortRanges(ranges: readonly PortRange[]): PortRange[] {
  const parts = [...new Set(ranges)].map(portRangeParts);
  return protocols.flatMap((protocol) => {
    const own = parts.filter((range) => range.protocol === protocol);
    if (own.some(({ ports }) => ports === undefined)) return [protocol];
    return mergePorts(own.flatMap(({ ports }) => ports ?? [])).map((ports) => textOf({ protocol, ports }));
  });
}

type Ports = NonNullable<PortRangeParts['ports']>;

function mergePorts(ranges: readonly Ports[]): Ports[] {
  const merged: Ports[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before === undefined || before.last + 1 < range.first) merged.push(range);
    else if (range.last > before.last) merged[merged.length - 1] = { ...before, last: range.last };
  }
  return merged;
}

/** Whether a range holds another one, or a single port of a protocol. */
export function holdsPorts(outer: PortRange, inner: PortRange): boolean {
  const [wide, narrow] = [portRangeParts(outer), portRangeParts(inner)];
  if (wide.protocol !== narrow.protocol) return false;
  if (wide.ports === undefined) return true;
  return narrow.ports !== undefined && wide.ports.first <= narrow.ports.first && narrow.ports.last <= wide.ports.last;
}

/** Whether one of the ranges holds another one, or a single port of a protocol. */
export const holdPorts = (ranges: readonly PortRange[], inner: PortRange): boolean =>
  ranges.some((range) => holdsPorts(range, inner));

/** The range in parts, none of them partly inside one of the others. A whole protocol is one part. */
export function splitPortRange(range: PortRange, others: readonly PortRange[]): PortRange[] {
  const { protocol, ports } = portRangeParts(range);
  if (ports === undefined) return [range];
  const starts = others
    .map(portRangeParts)
    .flatMap((other) => (other.protocol === protocol && other.ports ? [other.ports.first, other.ports.last + 1] : []))
    .filter((start) => start > ports.first && start <= ports.last);
  const cuts = [...new Set([ports.first, ...starts])].toSorted((a, b) => a - b);
  return cuts.map((first, i) => textOf({ protocol, ports: { first, last: (cuts[i + 1] ?? ports.last + 1) - 1 } }));
}
