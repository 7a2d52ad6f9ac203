import { isEqual } from '../base/canonical.ts';
import { type PortRangeParts, portRangeParts } from '../base/port-range.ts';
import { nothingElse } from '../base/whole.ts';
import { includesGlob } from '../policy/glob.ts';
import type { Policy } from '../policy/policy.ts';
import { type Bits, bitsCover, bitsOf } from '../policy/prefixes.ts';
import type { Selector } from '../policy/selector.ts';

/** Ports of a policy; absent: packets of any protocol. */
export type Ports = readonly PortRangeParts[] | undefined;

/** A policy as it is compared, made once for each. */
export interface Prepared {
  readonly policy: Policy;
  /** Its number among the policies. */
  readonly place: number;
  readonly destinations: readonly Bits[];
  readonly except: readonly Bits[];
  readonly ports: Ports;
}

export const prepared = (policy: Policy, place: number): Prepared => ({
  policy,
  place,
  destinations: bitsOf(policy.destinations),
  except: bitsOf(policy.except),
  ports: policy.ports?.map(portRangeParts),
});

/** Whether the other policy selects all pods of this one, asked for or not, and excepts nothing that this one takes. */
export function isWider({ policy, except }: Prepared, own: Prepared): boolean {
  const { optIn, namespaces, pods, podSelector = [], namespaceSelector = [], ...other } = policy;
  // The other members do not matter, or cells are made of them.
  const {
    name: _name,
    destinations: _destinations,
    except: _except,
    ports: _ports,
    exit: _exit,
    priority: _priority,
    onChange: _onChange,
    ofTenant: _ofTenant, // no file has any
    ...others
  } = other;
  nothingElse(others);
  return (
    !optIn &&
    isSelectorWider(podSelector, own.policy.podSelector) &&
    isSelectorWider(namespaceSelector, own.policy.namespaceSelector) &&
    overlapEach(own.except, except) &&
    areIncluded(own.policy.namespaces, namespaces) &&
    areIncluded(own.policy.pods, pods) &&
    (except.length === 0 || bitsCover(own.except, except))
  );
}

/** Whether all that fits the own selector fits the other one: each of its requirements is an own one, too. True is always right. */
const isSelectorWider = (other: Selector, own: Selector = []): boolean =>
  other.every((requirement) => own.some((each) => isEqual(each, requirement)));

const areIncluded = (globs: readonly string[], wider: readonly string[]): boolean =>
  globs.every((inner) => wider.some((outer) => includesGlob(outer, inner)));

/** What {@link bitsCover} needs at least, and most lack. */
const overlapEach = (ranges: readonly Bits[], prefixes: readonly Bits[]): boolean =>
  prefixes.every((prefix) => ranges.some((range) => range.startsWith(prefix) || prefix.startsWith(range)));
