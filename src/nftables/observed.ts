import type { Expression, Hex } from './expression.ts';
import type { Element, Hook, NftSet, Rule } from './object.ts';

/** An expression that we never write, as the kernel lists it: it makes its rule differ from every rule of ours. */
export interface Unknown {
  readonly name: 'unknown';
  /** The kernel's name of it: `limit`, `range`, … or that of a known one with options that are not ours. */
  readonly expression: string;
  readonly data: Hex;
}

/** What a counter has counted since it was made. */
export interface Counter {
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** A chain as the kernel lists it, without its rules. */
export interface ObservedChain {
  readonly name: string;
  /** `other`: hooked in, but at a place, of a type or with a policy that we never write. */
  readonly hook?: Hook | 'other';
  /** How many rules and elements the kernel counts that are in the chain or lead to it. */
  readonly use: number;
}

/** A rule as the kernel lists it. */
export interface ObservedRule {
  readonly chain: string;
  readonly expressions: readonly (Expression | Unknown)[];
  readonly comment?: string;
  /** Of the first counter in the rule. */
  readonly counter?: Counter;
}

/** An element as the kernel lists it. */
export interface ObservedElement extends Element {
  readonly counter?: Counter;
}

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
