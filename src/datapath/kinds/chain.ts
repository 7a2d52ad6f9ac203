import { canonicalJson, isEqual } from '../../base/canonical.ts';
import type { Chain, Rule } from '../../nftables/object.ts';
import type { Kind } from './kind.ts';
import { keyIn } from './table.ts';

/** A chain with its rules. */
export const chain: Kind<Chain> = {
  key: (object) => keyIn(object, 'chain', object.name),
  text: textOf,
  describe: describeChain,
  needsUp: ({ hook }) => (hook && 'device' in hook ? hook.device : undefined),
  hasMark: true,
  isSame: (desired, observed) => isEqual(comparable(desired), comparable(observed)),
};

function textOf({ name, hook }: Chain): string {
  return `${hook === undefined ? 'chain' : 'base chain'} ${name}`;
}

const comparable = ({ hook, rules }: Chain): unknown => ({ hook, rules: rules.map(comparableRule) });

/** The instructions only: rules read from the kernel have no words of ours. */
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

function describeChain(desired: Chain, observed: Chain): string[] {
  const missing = missingRules(desired, observed);
  if (missing.length === 0)
    return [`${textOf(desired)} is not as expected: its hook, or the order or number of its rules`];
  return missing.map(
    ({ place, rule }) =>
      `rule ${place} of ${textOf(desired)} is missing: ${rule.statements.map(({ text }) => text).join(' ')}`,
  );
}
