import { addressFromBytes } from '../base/address.ts';
import type { Chain, Element } from '../nftables/object.ts';
import { nameOfTable } from '../nftables/script.ts';
import { type Change, missingRules } from './difference.ts';
import { deviceOfKey, exitIdOfKey, setNames } from './layout.ts';
import type { HostObject, PolicyRule, Route, Sysctl } from './objects.ts';

/** What a change says about the node, in sentences for a person: what is missing, different, or too much. */
export function describe(change: Change): string[] {
  const name = nameOf(change.object);
  if (change.verb === 'add') return [`${name} is missing`];
  if (change.verb === 'remove') return [`${name} should not be there`];
  const { object, observed } = change;
  if (object.kind === 'chain' && observed.kind === 'chain') return describeChain(object, observed);
  if (object.kind === 'sysctl' && observed.kind === 'sysctl') {
    return [`${name} is ${observed.value}, expected ${object.value}`];
  }
  return [`${name} is not as expected`];
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
      return `element ${elementKey(object)} of ${object.set}`;
    case 'rule':
      return ruleText(object);
    case 'route':
      return routeText(object);
    case 'sysctl':
      return sysctlText(object);
  }
}

/** The key of an element of our maps: a pod's address, or an exit's id and what it goes with. */
function elementKey({ set, key }: Element): string {
  if (set.startsWith('pods')) return addressFromBytes(Buffer.from(key, 'hex'));
  if (set.startsWith('snat')) return String(exitIdOfKey(key));
  if (set === setNames.sent) return `${exitIdOfKey(key)} . ${deviceOfKey(key)}`;
  if (!set.startsWith('lanes')) return key;
  return `${exitIdOfKey(key)} . ${deviceOfKey(key)} . ${addressFromBytes(Buffer.from(key.slice(40), 'hex'))}`;
}

const hex = (value: number) => `0x${value.toString(16)}`;
const ip = (family: 4 | 6) => (family === 4 ? 'ip' : 'ip -6');

/** As `ip rule` takes it. */
export function ruleText({ family, priority, action, fwmark, invert }: PolicyRule): string {
  const mark = fwmark ? ` ${invert ? 'not ' : ''}fwmark ${hex(fwmark.value)}/${hex(fwmark.mask)}` : '';
  const then = action === 'nop' ? 'nop' : 'goto' in action ? `goto ${action.goto}` : `lookup ${action.lookup}`;
  return `${ip(family)} rule priority ${priority}${mark} ${then}`;
}

/** As `ip route` takes it. */
export function routeText({ family, table, type, device, via, metric }: Route): string {
  const way = type === 'unreachable' ? 'unreachable default' : `default${via ? ` via ${via}` : ''} dev ${device}`;
  return `${ip(family)} route ${way} table ${table} metric ${metric}`;
}

/** As `sysctl` takes it; the path is taken as it is, because an interface's name may hold dots. */
export const sysctlText = ({ name }: Sysctl): string => `sysctl ${name}`;
