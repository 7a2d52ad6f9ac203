import { suggestion } from '../base/nearest.ts';
import { shown } from '../base/shown.ts';
import { exitIdOf } from '../policy/exit-id.ts';
import { builtInExits } from '../policy/match.ts';
import { type Placed, placed, placeOf, problem, type Source } from './placed.ts';
import { portContradictions } from './port-checks.ts';
import type { Problem } from './problem.ts';
import type { PolicyDocument } from './schema.ts';
import { tunnelContradictions } from './tunnel-checks.ts';

/** What is wrong with the parts of a configuration taken together, though each is valid in itself. */
export function contradictions(sources: readonly Source[]): Problem[] {
  const documents = sources.map(({ name, document }) => ({ value: document, source: name, pointer: '' }));
  const exits = placed(documents, 'exits', ({ exits }) => exits);
  const policies = placed(documents, 'policies', ({ policies }) => policies);
  const nodes = placed(documents, 'nodes', ({ nodes }) => nodes);
  return [
    ...repeats(exits, ({ name }) => `exit "${name}"`),
    ...repeats(policies, ({ name }) => `policy "${name}"`),
    ...repeats(nodes, ({ address }) => `node ${address}`),
    ...sharedIds(exits),
    ...unknownExits(policies, exits),
    ...tunnelContradictions(documents),
    ...portContradictions(documents),
  ];
}

type Exit = NonNullable<PolicyDocument['exits']>[number];
type Policy = NonNullable<PolicyDocument['policies']>[number];

/** Things that are there twice; `named` says what they are and distinguishes them. */
function repeats<T>(things: readonly Placed<T>[], named: (value: T) => string): Problem[] {
  const first = new Map<string, Placed<T>>();
  return things.flatMap((thing) => {
    const what = named(thing.value);
    const earlier = first.get(what);
    first.set(what, earlier ?? thing);
    return earlier ? [problem(thing, '', `${what} is already at ${placeOf(earlier)}`)] : [];
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
      problem(policy, '/exit', `unknown exit ${shown(policy.value.exit)}, ${suggestion(policy.value.exit, known)}`),
    );
}
