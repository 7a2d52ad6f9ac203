import { counted } from '../base/counted.ts';

/** Whose it is, and what is wrong with it. */
export interface Owned {
  readonly owner: string;
  readonly problems: readonly string[];
}

/** One cause, with all of whom it is. */
export interface CheckGroup {
  readonly owners: readonly string[];
  readonly problem: string;
}

const isMissingTable = (problem: string): boolean => /^table \w+ cni-egress is missing$/.test(problem);
const isMissing = (problem: string): boolean => / is missing$/.test(problem);

/**
 * The problems with one line for each cause. What is the same for several is told once, with their names. Where a table is
 * missing, so is what was in it; after a start of the machine rules and routes are, too: the table stands for all that is
 * missing.
 */
export function groupsOf(all: readonly Owned[]): readonly CheckGroup[] {
  const groups = new Map<string, string[]>();
  const add = (owner: string, problem: string) => groups.set(problem, [...(groups.get(problem) ?? []), owner]);
  const flushed = all.filter(({ problems }) => problems.some(isMissingTable));
  const summary = flushedText(flushed.flatMap(({ problems }) => problems));
  for (const one of all) {
    const { owner, problems } = one;
    const isFlushed = flushed.includes(one);
    if (isFlushed) add(owner, summary);
    for (const problem of problems) if (!(isFlushed && isMissing(problem))) add(owner, problem);
  }
  return [...groups].map(([problem, owners]) => ({ owners, problem }));
}

function flushedText(problems: readonly string[]): string {
  const missing = [...new Set(problems.filter(isMissing))];
  const first = missing.find(isMissingTable) ?? '';
  if (missing.length <= 1) return first;
  return `${first}, and ${counted(missing.length - 1, 'other object')} of egress: the ruleset was flushed, or the machine started anew; "egress repair" sets all up again`;
}

/** Names that fit a line: three of them, or the first and how many more. */
export const ownersText = ([first = '', ...more]: readonly string[]): string =>
  more.length < 3 ? [first, ...more].join(', ') : `${first} and ${more.length} more`;
