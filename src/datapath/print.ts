import { printScript } from '../nftables/script.ts';
import { routeText, ruleText } from './describe.ts';
import type { Change } from './difference.ts';
import { lanesSet, ownSet, podsMap, sentSet, snatMap } from './layout.ts';
import type { PolicyRule, Route, Sysctl } from './objects.ts';
import { planOf } from './operations.ts';

const sets = [
  ownSet,
  sentSet,
  ...([4, 6] as const).flatMap((family) => [podsMap(family), snatMap(family), lanesSet(family)]),
];

/** Changes as the commands that would make them, in their order; empty when there is nothing to do. */
export function printChanges(changes: readonly Change[]): string {
  const { before, transaction, after } = planOf(changes);
  const script = printScript(transaction, sets);
  const nft = script === '' ? [] : [`nft -f - <<'EOT'\n${script}EOT`];
  return [...before.map((object) => command(object, 'add')), ...nft, ...after.map((object) => command(object, 'del'))]
    .map((line) => `${line}\n`)
    .join('');
}

function command(object: Sysctl | Route | PolicyRule, verb: 'add' | 'del'): string {
  if (object.kind === 'sysctl') return `sysctl -w ${object.name}=${object.value}`;
  const text = object.kind === 'rule' ? ruleText(object) : routeText(object);
  const shown = object.kind === 'route' && verb === 'add' ? 'replace' : verb;
  return text.replace(/ (rule|route) /, ` $1 ${shown} `);
}
