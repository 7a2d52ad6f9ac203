import type { Chain, Hook, Rule, Statement } from './object.ts';

/** A rule that says these, one behind the other. */
export const rule = (...statements: readonly Statement[]): Rule => ({ statements });

/** A chain of the family inet; with a hook a base chain. */
export const chain = (name: string, rules: readonly Rule[], hook?: Hook): Chain => ({
  kind: 'chain',
  name,
  rules,
  ...(hook && { hook }),
});
