import type { NftSet, Rule } from '../../src/nftables/object.ts';
import type { ObservedRule } from '../../src/nftables/observed.ts';

/**
 * Whether the kernel's rule does what the wanted one does, with the same comment. What was counted does not matter.
 * The kernel lists the registers 8, 12, 16 and 20 as 1, 2, 3 and 4, so a wanted rule must say that too.
 */
export const sameRule = (wanted: Rule, observed: ObservedRule): boolean =>
  wanted.comment === observed.comment &&
  same(
    wanted.statements.flatMap((statement) => statement.expressions),
    observed.expressions,
  );

/** Whether the kernel's set can hold what the wanted one holds; the content is not compared. */
export const sameSet = (wanted: NftSet, observed: NftSet): boolean => same(definition(wanted), definition(observed));

const definition = ({ name, key, value, counter, intervals }: NftSet) => ({
  name,
  key,
  value,
  counter,
  isInterval: intervals !== undefined,
});

/** Deep equality of plain data, whatever the order of the properties. */
function same(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const [left, right] = [Object.entries(a), new Map<string, unknown>(Object.entries(b))];
  return left.length === right.size && left.every(([name, value]) => right.has(name) && same(value, right.get(name)));
}
