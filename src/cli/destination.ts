import { InvalidArgumentError } from 'commander';
import { type Address, parseAddress } from '../base/address.ts';
import { type Protocol, protocols } from '../base/port-range.ts';
import type { Packet } from '../policy/terms.ts';

const highestPort = 65535;

/**
 * A packet, as a person names it: `address`, `address:port` (which is TCP), `[IPv6]:port`, `protocol/address`,
 * `protocol/address:port`. Throws an error that commander reports as a wrong call.
 */
export function parseDestination(text: string): Packet {
  const [first = '', second, ...more] = text.split('/');
  if (parseEnd(first) !== undefined && second !== undefined) throw new InvalidArgumentError(noRange);
  if (second === undefined) return packetOf(text, undefined, requireEnd(first));
  const protocol = requireProtocol(first);
  if (more.length > 0) throw new InvalidArgumentError(noRange);
  return packetOf(text, protocol, requireEnd(second));
}

const noRange = 'A range is no destination: name one address.';

interface End {
  readonly address: Address;
  readonly port?: string;
}

function parseEnd(text: string): End | undefined {
  const whole = parseAddress(text);
  if (whole !== undefined) return { address: whole };
  const [, six, four, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(text) ?? [];
  const address = parseAddress(six ?? four ?? '');
  if (address === undefined || address.includes(':') !== (six !== undefined)) return undefined;
  return { address, ...(port !== undefined && { port }) };
}

function requireEnd(text: string): End {
  const end = parseEnd(text);
  if (end !== undefined) return end;
  throw new InvalidArgumentError(
    'Expected address, address:port, [IPv6 address]:port, or one of these behind a protocol, like udp/203.0.113.9:5060.',
  );
}

function requireProtocol(text: string): Protocol {
  const protocol = protocols.find((known) => known === text);
  if (protocol !== undefined) return protocol;
  throw new InvalidArgumentError(`Policies know the protocols ${protocols.join(', ')}, not "${text}".`);
}

/** A port without protocol is TCP's. */
function packetOf(text: string, named: Protocol | undefined, { address, port }: End): Packet {
  const protocol = named ?? (port === undefined ? undefined : 'tcp');
  const known = { destination: address, ...(protocol && { protocol }) };
  if (port === undefined) return known;
  if (protocol === 'icmp') throw new InvalidArgumentError(`ICMP has no ports, but "${text}" names one.`);
  const number = /^\d{1,5}$/.test(port) ? Number(port) : 0;
  if (number < 1 || number > highestPort) {
    throw new InvalidArgumentError(`Expected a port from 1 to ${highestPort}, got "${port}".`);
  }
  return { ...known, port: number };
}
