import { type Address, type Family, familyOf, type Prefix } from '../base/address.ts';
import { holdPorts, type PortRange, type Protocol } from '../base/port-range.ts';
import { type Every, whole } from '../base/whole.ts';
import { withoutNested } from './prefixes.ts';
import { firstHolding } from './range-index.ts';

/**
 * The terms of a policy beside its destinations, and of each match of a program. A new member does not compile until
 * the table below, the policy file, records and rules know it. The digest of programs has it by itself.
 */
export interface Terms {
  /** Left alone, as if the policy did not exist. Canonical; may be empty. */
  readonly except: readonly Prefix[];
  /** Canonical, merged; never empty. Absent: packets of any protocol. */
  readonly ports?: readonly PortRange[];
  /** Name of an exit: a configured one, or the built-in `node` or `drop`. */
  readonly exit: string;
  /** Connections of running pods do not stay with the exit that they had. Absent: they do. */
  readonly onChange?: 'cut';
}

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

/** What is to be known of a term. */
interface Term<V> {
  /** What of a policy's term is for packets of the family. */
  of(value: V, family: Family): V;
  /** Why packets like this are not the policy's, as half a sentence; `undefined` when they are, as far as the term goes. */
  missed(value: V, packet: Packet): string | undefined;
  /** Whether no packet is left out by it. */
  isEverything(value: V): boolean;
}

/** In the order in which people are told of them. */
const table: { readonly [K in keyof Terms]-?: Term<Terms[K]> } = {
  except: {
    of: (except, family) => withoutNested(except.filter((range) => familyOf(range) === family)),
    missed: (except, { destination }) => {
      const excepted = firstHolding(except, destination);
      return excepted && `it leaves ${excepted} alone`;
    },
    isEverything: (except) => except.length === 0,
  },
  ports: {
    of: (ports) => ports,
    missed: (ports, packet) =>
      ports === undefined || takePort(ports, packet) ? undefined : `it is for ${ports.join(', ')} only`,
    isEverything: (ports) => ports === undefined,
  },
  exit: { of: (exit) => exit, missed: () => undefined, isEverything: () => true },
  onChange: { of: (onChange) => onChange, missed: () => undefined, isEverything: () => true },
};

function takePort(ports: readonly PortRange[], { protocol, port }: Packet): boolean {
  if (protocol === undefined) return false;
  return holdPorts(ports, port === undefined || protocol === 'icmp' ? protocol : `${protocol}:${port}`);
}

const names = Object.keys(table) as (keyof Terms)[];

/** A term takes its own values alone. */
const termOf = (name: keyof Terms): Term<unknown> => table[name] as Term<unknown>;

/** The terms of a policy for packets of the family. */
export const termsOf = (terms: Terms, family: Family): Terms =>
  whole<Terms>(
    Object.fromEntries(names.map((name) => [name, termOf(name).of(terms[name], family)])) as unknown as Every<Terms>,
  );

/** The first term that leaves a packet out, and why. */
export function missedTerm(
  terms: Terms,
  packet: Packet,
): { readonly reason: keyof Terms; readonly words: string } | undefined {
  for (const reason of names) {
    const words = termOf(reason).missed(terms[reason], packet);
    if (words !== undefined) return { reason, words };
  }
  return undefined;
}

/** Whether the terms leave out no packet. */
export const isEverything = (terms: Terms): boolean => names.every((name) => termOf(name).isEverything(terms[name]));
