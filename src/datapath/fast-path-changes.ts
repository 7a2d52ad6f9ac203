import { addressFromBytes } from '../base/address.ts';
import { tableName } from '../nftables/object.ts';
import type { FastPath } from './fast-path-plan.ts';
import type { Filter } from './filter.ts';
import * as layout from './layout.ts';

/** One message of the kernel about a ruleset, as far as it matters here. */
export interface RulesetChange {
  readonly verb: 'new' | 'delete';
  readonly kind: 'table' | 'chain' | 'rule' | 'set' | 'element' | 'other';
  /** Of its table; `undefined`: none that egress knows. */
  readonly family: Filter['family'] | undefined;
  readonly table: string;
  /** Of a chain, or of the chain of a rule; of a set, or of the set of elements. */
  readonly name: string;
  /** Of a chain. */
  readonly isBase?: boolean;
  /** Of elements, in hexadecimal. */
  readonly keys?: readonly string[];
}

/** Name of the table that the process of the fast path owns. */
export const fastTable = `${tableName}-fast`;

/**
 * What a transaction means for connections in the flowtable: `end` all at once, `soon` where the tables are others' (somebody may have
 * a filter that denies them now), or `nothing`, which has to be known for sure: pods that come and go beside those of the fast path.
 */
export type Effect = 'end' | 'soon' | 'nothing';

/** The effect of one transaction. */
export function effectOf(changes: readonly RulesetChange[], fast: Pick<FastPath, 'devices' | 'pods'>): Effect {
  const ours = changes.filter(({ table }) => table === tableName);
  const isOthers = changes.some(({ table }) => table !== tableName && table !== fastTable);
  const of = (verb: RulesetChange['verb'], kind: RulesetChange['kind']) =>
    new Set(ours.filter((change) => change.verb === verb && change.kind === kind).map(placeOf));
  const around: Around = {
    fast,
    newChains: of('new', 'chain'),
    goneChains: of('delete', 'chain'),
    goneSets: of('delete', 'set'),
  };
  if (!ours.every((change) => isHarmless(change, around))) return 'end';
  return isOthers ? 'soon' : 'nothing';
}

/** The other changes of a transaction. */
interface Around {
  readonly fast: Pick<FastPath, 'devices' | 'pods'>;
  readonly newChains: ReadonlySet<string>;
  readonly goneChains: ReadonlySet<string>;
  readonly goneSets: ReadonlySet<string>;
}

const placeOf = ({ family, name }: RulesetChange): string => `${family} ${name}`;

function isHarmless(change: RulesetChange, around: Around): boolean {
  const { verb, kind, name } = change;
  const { newChains, goneChains, goneSets } = around;
  switch (kind) {
    case 'set': // the kernel lets none go that a rule looks into
      return true;
    case 'chain': // nothing leads to a new one yet, and none goes that something leads to
      return (verb === 'new' && change.isBase !== true) || isOfPods(change, around);
    case 'rule':
      return verb === 'new' ? newChains.has(placeOf(change)) && !isHook(name) : goneChains.has(placeOf(change));
    case 'element':
      if (verb === 'delete' && goneSets.has(placeOf(change))) return true;
      return isOfOtherPods(change, around);
    default:
      return false;
  }
}

/** Chains in the way of every packet. */
const isHook = (chain: string): boolean => layout.isBaseChain(chain) && !layout.isProgramChain(chain);

/** A chain that only certain pods have, and none of the fast path where it is at an interface. */
function isOfPods({ name, family }: RulesetChange, { fast }: Around): boolean {
  if (family === 'netdev')
    return layout.isSourceChain(name) && !fast.devices.includes(layout.deviceOfSourceChain(name));
  return layout.isProgramChain(name) || layout.isPortsChain(name);
}

const podSets: ReadonlySet<string> = new Set([...layout.podSets(4), ...layout.podSets(6)].map(({ name }) => name));
const blockSets: ReadonlySet<string> = new Set([layout.setNames.blocks(4), layout.setNames.blocks(6)]);

function isOfOtherPods({ name, keys }: RulesetChange, { fast }: Around): boolean {
  if (keys === undefined) return false;
  if (podSets.has(name)) return keys.every((key) => !isFastPod(firstAddress(name, key), fast));
  if (blockSets.has(name)) return keys.every((key) => !isFastPod(layout.podOfBlockKey(key), fast));
  return false;
}

/** A key of one address, or of one that stands there twice. */
function firstAddress(set: string, key: string): string {
  const digits = set.endsWith('4') ? 8 : 32;
  return key.slice(0, digits);
}

function isFastPod(hex: string, { pods }: Pick<FastPath, 'pods'>): boolean {
  const pod = addressFromBytes(Buffer.from(hex, 'hex'));
  return pods.some(({ address }) => address === pod);
}
