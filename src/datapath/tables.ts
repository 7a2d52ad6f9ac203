import { type Family, families } from '../base/address.ts';
import type { NodeState } from './attachment.ts';
import type { NodeRule } from './kinds/rule.ts';
import { exitIdMask, type NodeNumbers, replyId, unjudgedId } from './layout.ts';
import type { Needs } from './needs.ts';

/** A table of routes, and the families in which it is somebody's. */
export interface FamilyTable {
  readonly table: number;
  readonly families: readonly Family[];
}

/**
 * The tables of exits, of a gateway's answers, and of what nothing has judged. The last is shared by all pods: whoever looks
 * for those of one family must not see it in the other, or would take it from the others.
 */
export const tablesOf = (
  { routeTable }: NodeNumbers,
  { exits, gateway, closed }: Pick<Needs, 'exits' | 'gateway' | 'closed'>,
): FamilyTable[] => [
  ...[...exits.map(({ id }) => id), ...(gateway ? [replyId] : [])].map((id) => ({ table: routeTable + id, families })),
  ...(closed ? [{ table: routeTable + unjudgedId, families: closed }] : []),
];

/** All of them that a node has. */
export const tablesOfNode = (node: NodeState): FamilyTable[] =>
  tablesOf(node, { ...node, ...(node.spared && { closed: families }) });

/** Whether one of the tables is that one, in the family. */
export const hasTable = (tables: readonly FamilyTable[], family: Family, table: number): boolean =>
  tables.some((each) => each.table === table && each.families.includes(family));

/** The table that a rule leads to; the others jump or land. */
export const lookupOf = ({ action }: Pick<NodeRule, 'action'>): number | undefined =>
  typeof action === 'object' && 'lookup' in action ? action.lookup : undefined;

/** The number that tables of exits begin at, as any rule of an exit tells; without one no table is in use. */
export function tableBase(rules: readonly Pick<NodeRule, 'action' | 'fwmark'>[]): number {
  const leading = rules.filter((rule) => lookupOf(rule) !== undefined);
  const rule = leading.find((one) => idOf(one) !== 0) ?? leading[0]; // two rules ask for 0
  return ((rule && lookupOf(rule)) ?? 0) - (rule ? idOf(rule) : 0);
}

const idOf = ({ fwmark }: Pick<NodeRule, 'fwmark'>): number => (fwmark?.value ?? 0) & exitIdMask;
