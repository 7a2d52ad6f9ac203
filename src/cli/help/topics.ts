import { EgressError } from '../../base/errors.ts';
import { suggestion } from '../../base/nearest.ts';
import { counterTopics } from './counters.ts';
import { errorTopics } from './errors.ts';
import { logTopics } from './log-lines.ts';
import type { Topic } from './topic.ts';

/** All pages. */
export const topics: readonly Topic[] = [...errorTopics, ...counterTopics, ...logTopics];

/** The page for a word, whatever its case; a message of a log may be cut short. Throws `invalid-argument`. */
export function topicFor(asked: string): Topic {
  const word = asked.trim().toLowerCase();
  const named = (fits: (name: string) => boolean) =>
    topics.find(({ names }) => names.some((name) => fits(name.toLowerCase())));
  const found =
    named((name) => name === word) ?? (word.length > 5 ? named((name) => name.startsWith(word)) : undefined);
  if (found !== undefined) return found;
  const known = topics.flatMap(({ names }) => names.slice(0, 1));
  throw new EgressError('invalid-argument', `There is no help for "${asked}", ${near(word, known)}`);
}

function near(word: string, known: readonly string[]): string {
  const hint = suggestion(word, known);
  return hint.startsWith('did you mean') ? hint : 'egress help --list names all that there is';
}

/** A page for a person. */
export const printTopic = ({ title, cause, remedy, example, solution }: Topic): string =>
  [
    `${title}\n`,
    `Cause:    ${cause}`,
    `Remedy:   ${remedy}.`,
    '',
    `Example:  ${example}`,
    `          → ${solution}`,
    '',
  ].join('\n');

/** All names, each with its title, by kind. */
export function printList(): string {
  const kinds = [
    ['error', 'Errors, by name or number:'],
    ['counter', 'Counters of egress status, and of the metrics:'],
    ['log line', 'Messages of logs:'],
  ] as const;
  return kinds
    .map(([wanted, head]) => [head, ...topics.filter(({ kind }) => kind === wanted).map(line)].join('\n'))
    .join('\n\n')
    .concat('\n');
}

function line({ names: [name = ''], title, kind }: Topic): string {
  return kind === 'log line' ? `  ${name}` : `  ${name.padEnd(longest)}  ${title}`;
}

const longest = Math.max(...[...errorTopics, ...counterTopics].map(({ names: [name = ''] }) => name.length));
