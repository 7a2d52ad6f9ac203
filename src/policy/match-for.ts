import { type Address, contains, familyOf } from '../base/address.ts';
import { holdPorts, type Protocol } from '../base/port-range.ts';
import { nothingElse } from '../base/whole.ts';
import type { Match, Program } from './match.ts';

/**
 * The parts of a packet that a program looks at. An ICMP error counts as a packet of the connection that it reports on.
 */
export interface Packet {
  /** After DNAT: behind a Service, the address of the pod that answers. */
  readonly destination: Address;
  /** Absent: none of the protocols that a policy can name. */
  readonly protocol?: Protocol;
  /** After DNAT, 1…65535; absent: a packet without ports, or one whose port is not known. No range of ports holds it. */
  readonly port?: number;
}

/** The match of a program that decides about a packet out of the cluster; `undefined` when none fits. */
export const matchFor = (program: Program, packet: Packet): Match | undefined =>
  program.find((match) => fits(match, packet));

/** Whether a match takes a packet that no match before it has taken. */
export function fits({ policy: _policy, family, destinations, ...terms }: Match, packet: Packet): boolean {
  const { except, ports, exit: _exit, ...others } = terms;
  nothingElse(others);
  const { destination } = packet;
  const holds = (prefixes: Match['destinations']) => prefixes.some((prefix) => contains(prefix, destination));
  return (
    family === familyOf(destination) &&
    holds(destinations) &&
    !holds(except) &&
    (ports === undefined || takePort(ports, packet))
  );
}

function takePort(ports: NonNullable<Match['ports']>, { protocol, port }: Packet): boolean {
  if (protocol === undefined) return false;
  return holdPorts(ports, port === undefined || protocol === 'icmp' ? protocol : `${protocol}:${port}`);
}
