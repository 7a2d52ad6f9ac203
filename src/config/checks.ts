import { suggestion } from '../base/nearest.ts';
import { shown } from '../base/shown.ts';
import { exitIdOf } from '../policy/exit-id.ts';
import { builtInExits } from '../policy/match.ts';
import { isLacking, type Placed, placed, placeOf, problem, type Source } from './placed.ts';
import { portContradictions } from './port-checks.ts';
import type { Problem } from './problem.ts';
import type { PartialDocument } from './sound.ts';
import { tunnelContradictions } from './tunnel-checks.ts';
import { vrrpContradictions } from './vrrp-checks.ts';

/**
 * What is wrong with the parts of a configuration taken together, though each is valid in itself. Where a source lacks
 * a part, only mistakes that no value of the part would mend.
 */
export function contradictions(sources: readonly Source[]): Problem[] {
  const documents = sources.map(({ name, document }) => ({ value: document, source: name, pointer: '' }));
  const exits = placed(documents, 'exits', ({ exits }) => exits);
  const policies = placed(documents, 'policies', ({ policies }) => policies);
  const nodes = placed(documents, 'nodes', ({ nodes }) => nodes);
  return [
    ...repeats(exits, ({ name }) => name && `exit "${name}"`),
    ...repeats(policies, ({ name }) => name && `policy "${name}"`),
    ...repeats(nodes, ({ address }) => address && `node ${address}`),
    ...sharedIds(exits),
    ...vrrpContradictions(exits),
    ...(isLacking(sources, /^\/exits(\/\d+\/name)?$/) ? [] : unknownExits(policies, exits)),
    ...tunnelContradictions(documents, sources),
    ...portContradictions(documents, sources),
  ];
}

type Exit = NonNullable<PartialDocument['exits']>[number];
type Policy = NonNullable<PartialDocument['policies']>[number];

/** Things that are there twice. `named` gives the text that must differ, or nothing for a thing without it. */
function repeats<T>(things: readonly Placed<T>[], named: (value: T) => string | undefined): Problem[] {
  const first = new Map<string, Placed<T>>();
  return things.flatMap((thing) => {
    const what = named(thing.value);
    if (what === undefined) return [];
    const earlier = first.get(what);
    first.set(what, earlier ?? thing);
    return earlier ? [problem(thing, '', `${what} is already at ${placeOf(earlier)}`)] : [];
  });
}

/** Exits that packet marks could not tell apart. */
function sharedIds(exits: readonly Placed<Exit>[]): Problem[] {
  const first = new Map<number, Exit>();
  return exits.flatMap((exit) => {
    if (exit.value.name === undefined) return [];
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
  const known = [...new Set([...exits.flatMap(({ value }) => value.name ?? []), ...builtInExits])];
  return policies.flatMap((policy) => {
    const { exit } = policy.value;
    if (exit === undefined || known.includes(exit)) return [];
    return [problem(policy, '/exit', `unknown exit ${shown(exit)}, ${suggestion(exit, known)}`)];
  });
}
