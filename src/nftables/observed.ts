import type { Expression, Hex } from './expression.ts';
import type { Element, Hook } from './object.ts';

/** An expression that we never write, as the kernel lists it: it makes its rule differ from every rule of ours. */
export interface Unknown {
  readonly name: 'unknown';
  /** The kernel's name of it: `limit`, `range`, … or that of a known one with options that are not ours. */
  readonly expression: string;
  readonly data: Hex;
}

/** A counter's values since it was made. */
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
