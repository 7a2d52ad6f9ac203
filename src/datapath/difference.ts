import { canonicalJson, isEqual } from '../base/canonical.ts';
import { mergeIntervals, printRange } from '../nftables/interval.ts';
import type { Chain, InTable, NftSet, Rule } from '../nftables/object.ts';
import { isProgramChain } from './layout.ts';
import type { HostObject } from './objects.ts';

/** What must be done to one object so that the node is as it should be. */
export type Change =
  | { readonly verb: 'add'; readonly object: HostObject }
  | { readonly verb: 'remove'; readonly object: HostObject }
  | { readonly verb: 'replace'; readonly object: HostObject; readonly observed: HostObject };

/**
 * The changes that make what is into what should be, in the order of `desired`, then what is too much in the order of
 * `observed`. ADD applies it, CHECK reports it, DEL and GC apply it to nothing, `--dry-run` prints it.
 */
export function difference(desired: readonly HostObject[], observed: readonly HostObject[]): Change[] {
  const found = new Map(observed.map((object) => [keyOf(object), object]));
  const wanted = new Set(desired.map(keyOf));
  return [
    ...desired.flatMap((object) => changeOf(object, found.get(keyOf(object)))),
    ...observed.filter((object) => !wanted.has(keyOf(object))).map((object): Change => ({ verb: 'remove', object })),
  ];
}

function changeOf(object: HostObject, observed: HostObject | undefined): Change[] {
  if (observed === undefined) return [{ verb: 'add', object }];
  return same(object, observed) ? [] : [{ verb: 'replace', object, observed }];
}

/** Whether a change of a table is one of its flags alone. A table that is replaced by one like it loses what is in it. */
export const isOfFlags = (change: Change): boolean =>
  change.verb === 'replace' && change.object.kind === 'table' && !isEqual(change.object, change.observed);

/** What makes an object the same one on two lists, whatever else may differ: the words name it for people, too. */
export function keyOf(object: HostObject): string {
  switch (object.kind) {
    case 'table':
      return [...family(object), 'table'].join(' ');
    case 'set':
    case 'chain':
      return [...family(object), object.kind, object.name].join(' ');
    case 'element':
      return [...family(object), 'element', object.set, object.key].join(' ');
    case 'rule':
      return `rule ${object.family} ${object.priority} ${canonicalJson([object.action, object.fwmark, object.invert, object.input])}`;
    case 'route':
      return `route ${object.family} ${object.table} ${object.destination ?? 'default'} ${object.type}`;
    case 'sysctl':
    case 'tunnel':
      return `${object.kind} ${object.name}`;
    case 'address':
    case 'behind':
    case 'neighbour':
      return `${object.kind} ${object.device} ${object.address}`;
    case 'forwarding':
      return `forwarding ${object.device} ${object.mac}`;
  }
}

const family = ({ family }: InTable) => (family === undefined ? [] : [family]);

function same(desired: HostObject, observed: HostObject): boolean {
  if (desired.kind === 'set' && observed.kind === 'set') return sameSet(desired, observed);
  return isEqual(comparable(desired), comparable(observed));
}

const comparable = (object: HostObject): unknown =>
  object.kind === 'chain' ? { hook: object.hook, rules: object.rules.map(comparableRule) } : object;

/** Ranges are compared as the kernel keeps them: merged. When they were not read, the set's name says what is in it. */
function sameSet(desired: NftSet, observed: NftSet): boolean {
  if (!sameType(desired, observed)) return false;
  const { intervals = [] } = desired;
  const { intervals: read } = observed;
  return read === undefined || isEqual(mergeIntervals(intervals).map(printRange), read);
}

/** Whether two sets differ in their content at most: what else they are cannot be changed while rules look into them. */
export function sameType({ intervals, ...desired }: NftSet, { intervals: read, ...observed }: NftSet): boolean {
  // Of programs' sets the ranges may not have been read.
  const sameRanges = (intervals === undefined) === (read === undefined) || isProgramChain(desired.name);
  return sameRanges && isEqual(desired, observed);
}

/** The instructions only: what was read from the kernel has no words of ours. */
export const comparableRule = (rule: Rule): unknown => ({
  comment: rule.comment,
  expressions: rule.statements.flatMap((statement) => statement.expressions),
});

/** The rules of a chain that are missing or different, by their place from 1, with the words for them. */
export function missingRules(desired: Chain, observed: Chain): readonly { place: number; rule: Rule }[] {
  const found = new Set(observed.rules.map((rule) => canonicalJson(comparableRule(rule))));
  return desired.rules
    .map((rule, i) => ({ place: i + 1, rule }))
    .filter(({ rule }) => !found.has(canonicalJson(comparableRule(rule))));
}
