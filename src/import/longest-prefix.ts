import { contains, type Prefix } from '../base/address.ts';
import type { Problem } from '../config/problem.ts';
import { without, withoutNested } from '../policy/prefixes.ts';
import { type Draft, fitName } from './draft.ts';

/** The drafts of policies that share one table, and notes about differences. */
export interface Table {
  readonly drafts: readonly Draft[];
  readonly warnings: readonly Problem[];
}

/**
 * Cilium (1.20) keeps destinations and exclusions of all policies of a pod in one table, and the longest prefix
 * decides. So an exclusion reaches into other policies, and a longer destination out of it. Where that makes a
 * difference exclusions become policies with the exit `node`, whose destinations have their place among the others.
 */
export function inOneTable(drafts: readonly Draft[]): Table {
  const tables = drafts.map((draft) => (draft.inTable ? inTable(draft, drafts) : { drafts: [draft], warnings: [] }));
  return {
    // A policy without destinations is switched off, but for its exclusions.
    drafts: tables.flatMap((table) => table.drafts).filter(({ destinations }) => destinations.length > 0),
    warnings: tables.flatMap(({ warnings }) => warnings),
  };
}

function inTable(given: Draft, all: readonly Draft[]): Table {
  const draft = withoutTies(given);
  const reached = all.filter((other) => isReached(other, draft));
  const hasHoles = draft.except.some((range) => draft.destinations.some((inner) => isInside(inner, range)));
  if (reached.length === 0 && (draft.optIn || !hasHoles)) {
    const except = hasHoles ? exactly(draft) : draft.except;
    return { drafts: [{ ...draft, except }], warnings: nothingLeft(given, draft) };
  }
  const { exit: _, ...parts } = draft;
  const name = fitName(`${draft.name}-except`);
  const exclusion = { ...parts, name, destinations: [...new Set(draft.except)], except: [], optIn: false };
  const others = [...new Set(reached.map((other) => `"${other.name}"`))].join(', ');
  return {
    drafts: [{ ...draft, except: [] }, exclusion],
    warnings: draft.optIn
      ? [
          ...nothingLeft(given, draft),
          { source: draft.source, pointer: '/spec/excludedCIDRs', message: wider(name, others) },
        ]
      : nothingLeft(given, draft),
  };
}

const wider = (name: string, others: string): string =>
  `they hold for other policies of the same pods, too (${others}), and which pods these are is not known: policy "${name}" leaves them alone for all pods of the namespaces`;

/** Of a destination and an exclusion that are the same range the exclusion counts. */
function withoutTies(draft: Draft): Draft {
  return { ...draft, destinations: draft.destinations.filter((range) => !draft.except.includes(range)) };
}

const nothingLeft = (given: Draft, draft: Draft): Problem[] =>
  given.destinations.length > 0 && draft.destinations.length === 0
    ? [
        {
          source: given.source,
          pointer: '/spec/excludedCIDRs',
          message: `they hold all destinations: "${given.name}" is left out`,
        },
      ]
    : [];

/** Whether a pod may have both, and an exclusion lies in a destination of the other one. */
const isReached = (other: Draft, { identity, namespaces, except }: Draft): boolean =>
  other.inTable === true &&
  other.identity !== identity &&
  (other.namespaces.includes('*') || namespaces.some((each) => each === '*' || other.namespaces.includes(each))) &&
  except.some((range) => other.destinations.some((destination) => contains(destination, range)));

const isInside = (inner: Prefix, outer: Prefix): boolean => inner !== outer && contains(outer, inner);

/** The addresses with an exclusion as their longest prefix. */
const exactly = ({ destinations, except }: Draft): Prefix[] =>
  withoutNested(
    except.flatMap((range) =>
      without(
        [range],
        destinations.filter((inner) => isInside(inner, range)),
      ),
    ),
  );
