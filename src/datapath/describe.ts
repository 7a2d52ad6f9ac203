import { type Chain, dormant, type NftSet, type Table } from '../nftables/object.ts';
import { nameOfTable } from '../nftables/script.ts';
import { isReset } from './counting.ts';
import { type Change, missingRules, sameType } from './difference.ts';
import { keyText } from './layout.ts';
import type { HostObject, Sysctl, TunnelLink } from './objects.ts';
import { routeText, ruleText } from './routing-words.ts';
import { isSpareWayBack } from './way-back.ts';

/** What a change says about the node, in sentences for a person: what is missing, different, or too much. */
export function describe(change: Change): string[] {
  if (isReset(change) || isSpareWayBack(change)) return [];
  const name = nameOf(change.object);
  if (change.verb === 'add') return [`${name} is missing`];
  if (change.verb === 'remove') return [`${name} should not be there`];
  const { object, observed } = change;
  if (object.kind === 'chain' && observed.kind === 'chain') return describeChain(object, observed);
  if (object.kind === 'sysctl' && observed.kind === 'sysctl') {
    return [`${name} is ${observed.value}, expected ${object.value}`];
  }
  if (object.kind === 'set' && observed.kind === 'set' && !sameType(object, observed)) {
    return [describeType(object, observed)];
  }
  if (observed.kind === 'table') return [describeFlags(name, observed)];
  if (object.kind === 'tunnel' && observed.kind === 'tunnel') return describeTunnel(object, observed);
  return [`${name} is not as expected`];
}

/** Of a table with NFT_TABLE_F_OWNER only its owner may change anything; with all others it is as if they were not there. */
const describeFlags = (name: string, { flags = 0 }: Table): string =>
  (flags & dormant) !== 0
    ? `${name} is dormant: none of its rules acts`
    : `${name} has flags 0x${flags.toString(16)}, which we never give`;

/** What a set that has one of our names is, and what it should be. */
export const describeType = (desired: NftSet, observed: NftSet): string =>
  `${nameOf(desired)} of table ${nameOfTable(desired)} is a ${typeText(observed)}, expected a ${typeText(desired)}`;

function typeText({ key, value, counter, intervals }: NftSet): string {
  const kind = value === undefined ? 'set' : 'map';
  const types = key.length === 0 ? 'a type that we never use' : `type ${key.join(' . ')}${value ? ` : ${value}` : ''}`;
  const flags = [...(counter ? ['counters'] : []), ...(intervals ? ['ranges'] : [])];
  return [`${kind} of ${types}`, ...flags].join(' with ');
}

function describeChain(desired: Chain, observed: Chain): string[] {
  const missing = missingRules(desired, observed);
  if (missing.length === 0)
    return [`${nameOf(desired)} is not as expected: its hook, or the order or number of its rules`];
  return missing.map(
    ({ place, rule }) =>
      `rule ${place} of ${nameOf(desired)} is missing: ${rule.statements.map(({ text }) => text).join(' ')}`,
  );
}

const tunnelWords = {
  vni: 'VNI',
  port: 'port',
  local: 'local address',
  mac: 'MAC address',
  mtu: 'MTU',
  groupPolicy: 'group policy',
  learning: 'learning',
  up: 'up',
} as const;

function describeTunnel(desired: TunnelLink, observed: TunnelLink): string[] {
  const properties = Object.keys(tunnelWords) as (keyof typeof tunnelWords)[];
  return properties
    .filter((property) => desired[property] !== observed[property])
    .map(
      (property) =>
        `${nameOf(desired)}: ${tunnelWords[property]} is ${observed[property]}, expected ${desired[property]}`,
    );
}

/** The object in the words of the tool that shows it. */
export function nameOf(object: HostObject): string {
  switch (object.kind) {
    case 'table':
      return `table ${nameOfTable(object)}`;
    case 'set':
      return `${object.value === undefined ? 'set' : 'map'} ${object.name}`;
    case 'chain':
      return `${object.hook === undefined ? 'chain' : 'base chain'} ${object.name}`;
    case 'element':
      return `element ${keyText(object.set, object.key)} of ${object.set}`;
    case 'rule':
      return ruleText(object);
    case 'route':
      return routeText(object);
    case 'sysctl':
      return sysctlText(object);
    case 'tunnel':
      return `tunnel device ${object.name}`;
    case 'address':
      return `address ${object.address}/${object.prefixLength} of ${object.device}`;
    case 'behind':
      return `metric 230 of local route ${object.address} of ${object.device}`;
    case 'neighbour':
      return `neighbour ${object.address} of ${object.device} with ${object.mac}`;
    case 'forwarding':
      return `forwarding entry ${object.mac} of ${object.device} to ${object.remote}`;
  }
}

/** As `sysctl` takes it; the path is taken as it is, because an interface's name may hold dots. */
const sysctlText = ({ name }: Sysctl): string => `sysctl ${name}`;
