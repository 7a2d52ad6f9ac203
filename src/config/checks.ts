import { exitIdOf } from '../policy/exit-id.ts';
import { builtInExits } from '../policy/match.ts';
import { suggestion } from './nearest.ts';
import type { Problem } from './problem.ts';
import type { PolicyDocument } from './schema.ts';

/** A part of the configuration, and what people call the place that it comes from. */
export interface Source {
  readonly name: string;
  readonly document: PolicyDocument;
}

/** What is wrong with the parts of a configuration taken together, though each is valid in itself. */
export function contradictions(sources: readonly Source[]): Problem[] {
  const exits = placed(sources, 'exits', ({ exits }) => exits);
  const policies = placed(sources, 'policies', ({ policies }) => policies);
  const nodes = placed(sources, 'nodes', ({ nodes }) => nodes);
  return [
    ...repeats(exits, ({ name }) => `exit "${name}"`),
    ...repeats(policies, ({ name }) => `policy "${name}"`),
    ...repeats(nodes, ({ address }) => `node ${address}`),
    ...sharedIds(exits),
    ...unknownExits(policies, exits),
  ];
}

type Exit = NonNullable<PolicyDocument['exits']>[number];
type Policy = NonNullable<PolicyDocument['policies']>[number];

interface Placed<T> {
  readonly value: T;
  readonly source: string;
  readonly pointer: string;
}

function placed<T>(
  sources: readonly Source[],
  key: string,
  list: (document: PolicyDocument) => readonly T[] | undefined,
): Placed<T>[] {
  return sources.flatMap(({ name, document }) =>
    (list(document) ?? []).map((value, i) => ({ value, source: name, pointer: `/${key}/${i}` })),
  );
}

const problem = ({ source, pointer }: Placed<unknown>, below: string, message: string): Problem => ({
  source,
  pointer: pointer + below,
  message,
});

/** Things that are there twice; `named` says what they are and distinguishes them. */
function repeats<T>(things: readonly Placed<T>[], named: (value: T) => string): Problem[] {
  const first = new Map<string, Placed<T>>();
  return things.flatMap((thing) => {
    const what = named(thing.value);
    const earlier = first.get(what);
    first.set(what, earlier ?? thing);
    return earlier ? [problem(thing, '', `${what} is already at ${earlier.source}#${earlier.pointer}`)] : [];
  });
}

/** Exits that packet marks could not tell apart. */
function sharedIds(exits: readonly Placed<Exit>[]): Problem[] {
  const first = new Map<number, Exit>();
  return exits.flatMap((exit) => {
    const id = exit.value.id ?? exitIdOf(exit.value.name);
    const other = first.get(id) ?? exit.value;
    first.set(id, other);
    if (other.name === exit.value.name) return [];
    const below = exit.value.id === undefined ? '' : '/id';
    return [
      problem(
        exit,
        below,
        `exits "${other.name}" and "${exit.value.name}" both have the id ${id}: set "id" of one to another number`,
      ),
    ];
  });
}

function unknownExits(policies: readonly Placed<Policy>[], exits: readonly Placed<Exit>[]): Problem[] {
  const known = [...new Set([...exits.map(({ value }) => value.name), ...builtInExits])];
  return policies
    .filter(({ value }) => !known.includes(value.exit))
    .map((policy) =>
      problem(policy, '/exit', `unknown exit "${policy.value.exit}", ${suggestion(policy.value.exit, known)}`),
    );
}
