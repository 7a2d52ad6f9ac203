import type { ForeignChain, ForeignRule } from '../../datapath/examiner.ts';
import { filterText } from '../../datapath/filter.ts';

/** A rule of somebody else, and the chain that it is in. */
export interface Placed {
  readonly chain: ForeignChain;
  readonly rule: ForeignRule;
}

/** All rules of chains. */
export const rulesIn = (chains: readonly ForeignChain[]): readonly Placed[] =>
  chains.flatMap((chain) => chain.rules.map((rule) => ({ chain, rule })));

/** `rule 12 (its handle) of chain x of table inet y`. */
export const placeText = ({ chain, rule }: Placed): string => `a rule of ${filterText(chain)} (handle ${rule.handle})`;

/** The command that takes the rule away. */
export const deleting = ({ chain: { family, table, chain }, rule }: Placed): string =>
  `nft delete rule ${family} ${table} ${chain} handle ${rule.handle}`;

/** The chains that a chain jumps to, and those that these jump to, and itself. */
export function reachedFrom(base: ForeignChain, chains: readonly ForeignChain[]): readonly ForeignChain[] {
  const reached = new Set([base]);
  for (const { family, table, rules } of reached) {
    const names = rules.flatMap(({ expressions }) => expressions.flatMap(targetOf));
    for (const chain of chains) {
      if (chain.family === family && chain.table === table && names.includes(chain.chain)) reached.add(chain);
    }
  }
  return [...reached];
}

/** Verdicts in maps are not followed. */
function targetOf(expression: ForeignRule['expressions'][number]): string[] {
  if (expression.name !== 'immediate' || !('verdict' in expression)) return [];
  return 'chain' in expression.verdict ? [expression.verdict.chain] : [];
}
