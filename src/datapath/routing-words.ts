import { familyOf } from '../base/address.ts';
import { hexNumber } from '../base/shown.ts';
import { nameOfTable } from '../nftables/script.ts';
import type { NodeRoute, NodeRule, Other } from './objects.ts';

/** Objects of others in words for a person: the words of the tool that shows and removes them. */
export function describeOther(other: Other): string {
  if (other.kind === 'table') return `nft table ${nameOfTable(other)}`;
  return other.kind === 'rule' ? ruleText(other) : routeText(other);
}

const ip = (family: 4 | 6) => (family === 4 ? 'ip' : 'ip -6');

/** A rule, ours or not, in the words of `ip rule`, without the selectors that we do not know. */
export function ruleText({ family, priority, action, fwmark, invert, input, from, to, narrower }: NodeRule): string {
  const parts = [
    invert ? 'not' : '',
    from ? `from ${from}` : '',
    to ? `to ${to}` : '',
    fwmark ? `fwmark ${hexNumber(fwmark.value)}/${hexNumber(fwmark.mask)}` : '',
    input ? `iif ${input}` : '',
    narrower ? '…' : '',
    actionText(action),
  ];
  return [`${ip(family)} rule priority ${priority}`, ...parts.filter((part) => part !== '')].join(' ');
}

/** linux/fib_rules.h, FR_ACT_*. */
const otherActions: Readonly<Record<number, string>> = { 6: 'blackhole', 7: 'unreachable', 8: 'prohibit' };

/** linux/rtnetlink.h, RT_TABLE_*. */
const tableNames: Readonly<Record<number, string>> = { 253: 'default', 254: 'main', 255: 'local' };

/** A table as `ip` calls it. */
const tableText = (table: number): string => tableNames[table] ?? String(table);

function actionText(action: NodeRule['action']): string {
  if (typeof action === 'string') return action;
  if ('other' in action) return otherActions[action.other] ?? `action ${action.other}`;
  return 'goto' in action ? `goto ${action.goto}` : `lookup ${tableText(action.lookup)}`;
}

/** A route, ours or not, as `ip route` takes it, but for several next hops. */
export function routeText(route: NodeRoute): string {
  const { family, table, destination = 'default', type, device, via, onlink, several, metric } = route;
  const hop = via ? ` via ${familyOf(via) === family ? '' : 'inet6 '}${via}` : '';
  const way = several ? ' nexthop …' : `${hop}${device ? ` dev ${device}` : ''}${onlink ? ' onlink' : ''}`;
  const what = `${type === 'unicast' ? '' : `${type} `}${destination}${way}`;
  return `${ip(family)} route ${what} table ${tableText(table)} metric ${metric}`;
}
