import { type Family, familyOf, type Prefix, parsePrefix } from '../base/address.ts';
import { type PortRange, parsePortRange } from '../base/port-range.ts';
import { shown } from '../base/shown.ts';
import { everywhere } from '../policy/policy.ts';

// How kube-vip (its nftables mode, after 1.2.3) reads the lists in its annotations, seen by running it.

/** What became of a list. */
export interface List<T> {
  readonly values: readonly T[];
  /** Notes about its entries. */
  readonly remarks: readonly string[];
  /** Why kube-vip makes no rule at all; absent: it makes one. */
  readonly noRule?: string;
}

/** What kube-vip understands of `destination-ports`. */
export interface Ports extends List<PortRange> {
  /** Whether it looks at ports: where it understands no entry, it steers all. */
  readonly areAsked: boolean;
}

/** Entries are taken as they stand, white space and all: `tcp`, `udp` or `sctp`, a colon, and a number. */
export function portsIn(text = ''): Ports {
  const entries = (text === '' ? [] : text.split(',')).map((entry) => ({ entry, port: portOf(entry) }));
  const understood = entries.flatMap(({ port }) => port ?? []);
  const areAsked = understood.length > 0;
  const values = [...new Set(understood.flatMap((port) => parsePortRange(port) ?? []))];
  const remarks = entries.flatMap(({ entry, port }) => wordsOn(entry, port, areAsked));
  const noRule = areAsked && values.length === 0 ? 'kube-vip steers port 0 alone, to which nobody sends' : undefined;
  return { values, remarks, areAsked, ...(noRule !== undefined && { noRule }) };
}

/** kube-vip's reading of an entry, which may be no valid port; `undefined` when it does not understand it. */
function portOf(entry: string): string | undefined {
  const [, protocol, digits] = /^(tcp|udp|sctp):[+]?0*(\d{1,5})$/.exec(entry) ?? [];
  return digits === undefined || Number(digits) > 65535 ? undefined : `${protocol}:${digits}`;
}

function wordsOn(entry: string, port: string | undefined, areAsked: boolean): string[] {
  if (port === entry && parsePortRange(port) !== undefined) return [];
  if (port !== undefined) return [`kube-vip reads ${shown(entry)} as ${port}`];
  const meant = meantBy(entry);
  const then = areAsked ? '' : ', and steers all ports, since it understands no other: so does the policy';
  const instead = meant === undefined ? '' : `; ${shown(meant)} in "ports" of the policy is what it seems to mean`;
  return [`kube-vip ignores ${shown(entry)}, which is not "protocol:port" as it reads that${then}${instead}`];
}

function meantBy(entry: string): PortRange | undefined {
  const text = entry.replace(/\s/g, '').toLowerCase();
  return parsePortRange(/^\d/.test(text) ? `tcp:${text}` : text);
}

/** Networks that are left alone: one that is wrong, and there is no rule. */
export function deniedIn(text: string | undefined, family: Family): List<Prefix> {
  const entries = entriesOf(text);
  const wrong = entries.find((entry) => networkOf(entry, family) === undefined);
  if (wrong !== undefined) return { values: [], remarks: [], noRule: unread(wrong, family) };
  return { values: valuesOf(entries, family), remarks: [] };
}

/** Networks that are steered. An empty entry is all of them; more than one beside ports, and there is no rule. */
export function allowedIn(text: string | undefined, family: Family, arePortsAsked: boolean): List<Prefix> {
  const all = entriesOf(text);
  const entries = all.filter((entry) => entry !== '');
  const wrong = entries.find((entry) => networkOf(entry, family) === undefined);
  if (wrong !== undefined) return { values: [], remarks: [], noRule: unread(wrong, family) };
  if (arePortsAsked && all.length > 1) {
    return { values: [], remarks: [], noRule: 'kube-vip makes no rule for several networks and some ports' };
  }
  if (all.length > 0 && entries.length === all.length) return { values: valuesOf(entries, family), remarks: [] };
  const remarks = all.length > 0 ? ['kube-vip reads an empty entry as all networks: so does the policy'] : [];
  return { values: everywhere.filter((range) => familyOf(range) === family), remarks };
}

/** White space around the whole list does not count, inside of it does. */
const entriesOf = (text = ''): string[] => (text.trim() === '' ? [] : text.trim().split(','));

/** A network with its length, of the family that the Service has. */
function networkOf(entry: string, family: Family): Prefix | undefined {
  const prefix = entry.includes('/') ? parsePrefix(entry) : undefined;
  return prefix !== undefined && familyOf(prefix) === family ? prefix : undefined;
}

const valuesOf = (entries: readonly string[], family: Family): Prefix[] => [
  ...new Set(entries.flatMap((entry) => networkOf(entry, family) ?? [])),
];

const unread = (entry: string, family: Family): string =>
  `kube-vip makes no rule with ${shown(entry)}, which is no IPv${family} range like "${family === 4 ? '10.0.0.0/8' : 'fd00::/8'}" without white space`;
