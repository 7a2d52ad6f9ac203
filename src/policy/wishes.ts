import { type Prefix, parsePrefix } from '../base/address.ts';
import { EgressError, type ErrorCode } from '../base/errors.ts';
import { choices, suggestion } from '../base/nearest.ts';
import { mergePortRanges, parsePortRange } from '../base/port-range.ts';
import { shown } from '../base/shown.ts';
import type { Exit } from './exit.ts';
import { fitsGlob } from './glob.ts';
import { annotationPrefix, type Pod, type Program, wishName } from './match.ts';
import { everywhere, type Policy } from './policy.ts';
import { coverAll, withoutNested } from './prefixes.ts';
import { isFor, programFor, selects, type Wishes } from './program.ts';
import { deciderFor } from './wish-effect.ts';

/** The part of the configuration that annotations are judged by. */
export interface Rules {
  /** Never steered, whatever a pod asks for. */
  readonly clusterCIDRs: readonly Prefix[];
  readonly exits: readonly Exit[];
  readonly policies: readonly Policy[];
}

/** All annotations, without {@link annotationPrefix}, in the order in which they are judged. */
export const annotationKeys = ['policy', 'exit', 'destinations', 'except', 'ports'] as const;

type Key = (typeof annotationKeys)[number];

/** The expected form of each. */
const expected: Readonly<Record<Key, string>> = {
  policy: 'names of policies with commas between them',
  exit: 'the name of one exit',
  destinations: 'address ranges like "203.0.113.0/24" with commas between them',
  except: 'address ranges like "203.0.113.0/24" with commas between them',
  ports:
    '"tcp", "udp", "sctp" or "icmp", with or without ports, like "tcp:443, udp:5060-5061", with commas between them',
};

/**
 * The program of a pod, with its annotations: see {@link wishesOf}. A pod that asks for an exit never starts without
 * it, so a wish without effect beside the policies is `annotation-refused`, too.
 */
export function programOf(rules: Rules, pod: Pod): Program {
  const wishes = wishesOf(rules, pod);
  if (wishes.own !== undefined) requireOutside(wishes.own, rules, pod);
  if (wishes.own !== undefined && wishes.own.exit !== 'drop') requireEffect(wishes.own, rules, pod, wishes);
  return programFor(rules.policies, pod, wishes);
}

/**
 * The wishes in the annotations of a pod. They are written by tenants: a policy has to be for the pod, and an exit open
 * to its namespace. Throws `annotation-invalid`, `annotation-unknown` or `annotation-refused` with the first mistake:
 * keys that nobody knows in alphabetical order, then the others in the order of {@link annotationKeys}.
 */
export function wishesOf(rules: Rules, pod: Pod): Wishes {
  if (pod.annotations === undefined) return { named: new Set() };
  refuseUnknownKeys(pod);
  const named = namedPolicies(rules, pod);
  const own = ownPolicy(rules, pod);
  return { named, ...(own && { own }) };
}

function refuseUnknownKeys(pod: Pod): void {
  const isKnown = (key: string) => annotationKeys.some((known) => known === key);
  const unknown = Object.keys(pod.annotations ?? {})
    .filter((key) => !isKnown(key))
    .sort()[0];
  if (unknown === undefined) return;
  const name = shown(annotationPrefix + unknown);
  const hint = suggestion(unknown, annotationKeys, annotationPrefix);
  throw new EgressError('annotation-invalid', `${calledOf(pod)}: egress knows no annotation ${name}, ${hint}`);
}

/** The policies that the pod names. One that it has without asking may be named, too, and one may be named twice. */
function namedPolicies({ policies }: Rules, pod: Pod): ReadonlySet<string> {
  const names = itemsOf(pod, 'policy') ?? [];
  const known = new Map(policies.map((policy) => [policy.name, policy]));
  for (const name of names) {
    const policy = known.get(name);
    if (policy !== undefined && isFor(policy, pod)) continue;
    const open = policies.filter((each) => each.optIn && isFor(each, pod)).map(({ name }) => name);
    throw notOpen(pod, 'policy', name, open, policy && `policy "${name}" is for other pods`);
  }
  return new Set(names);
}

/** The policy that the pod brings along. */
function ownPolicy(rules: Rules, pod: Pod): Policy | undefined {
  const exit = ownExit(rules, pod);
  if (exit === undefined) return undefined;
  const [destinations, except] = [rangesOf(pod, 'destinations') ?? everywhere, rangesOf(pod, 'except') ?? []];
  if (coverAll(except, destinations)) {
    throw fault(
      'annotation-invalid',
      pod,
      'except',
      'expected to leave some of the destinations, but it holds all of them',
    );
  }
  const ports = parsedItems(pod, 'ports', parsePortRange);
  const parts = { destinations, except, ...(ports && { ports: mergePortRanges(ports) }) };
  return { name: wishName, namespaces: ['*'], pods: ['*'], ...parts, exit, priority: 0 };
}

/** The exit that the pod asks for, which must be open to it. To drop is open to all: it takes nothing from anybody. */
function ownExit({ exits }: Rules, pod: Pod): string | undefined {
  const [name, more] = itemsOf(pod, 'exit') ?? [];
  if (name === undefined) return refuseParts(pod);
  if (more !== undefined) throw malformed(pod, 'exit');
  const open = openExits(exits, pod.namespace ?? '');
  if (open.includes(name)) return name;
  const exists = name === 'node' || exits.some((exit) => exit.name === name);
  const refusal = exists ? notOpenWords(name, namespaceOf(pod)) : undefined;
  throw notOpen(pod, 'exit', name, open, refusal);
}

/** The exits that the owners of a namespace may use by themselves. */
export const openExits = (
  exits: readonly Pick<Exit, 'name' | 'annotationNamespaces'>[],
  namespace: string,
): readonly string[] => [
  'drop',
  ...exits
    .filter(({ annotationNamespaces }) => annotationNamespaces.some((glob) => fitsGlob(glob, namespace)))
    .map(({ name }) => name),
];

/** That an exit is there, but not for a namespace. */
export const notOpenWords = (exit: string, namespace: string): string =>
  `exit "${exit}" is not open to pods of ${namespace}${exit === 'node' ? '' : ' by its "annotationNamespaces"'}`;

/** A name that the pod may not use: `refusal` says why, unless nothing has that name. Only names open to the pod are told. */
function notOpen(pod: Pod, key: Key, name: string, open: readonly string[], refusal: string | undefined): EgressError {
  const none = 'and none is open to this pod';
  const [code, message, hint] =
    refusal === undefined
      ? (['annotation-unknown', `no ${key} is called ${shown(name)}`, suggestion(name, open)] as const)
      : (['annotation-refused', refusal, choices(open)] as const);
  return fault(code, pod, key, `${message}, ${open.length > 0 ? hint : none}`);
}

/** Annotations about destinations and ports mean nothing without an exit. */
function refuseParts(pod: Pod): undefined {
  const part = annotationKeys.slice(2).find((key) => pod.annotations?.[key] !== undefined);
  if (part === undefined) return;
  throw fault('annotation-invalid', pod, part, `expected "${wishName}" beside it, which says the exit, and found none`);
}

const rangesOf = (pod: Pod, key: Key): Prefix[] | undefined => {
  const ranges = parsedItems(pod, key, parsePrefix);
  return ranges && withoutNested(ranges);
};

/** The items of a list in canonical form. */
function parsedItems(pod: Pod, key: Key, parse: (text: string) => string | undefined): string[] | undefined {
  return itemsOf(pod, key)?.map((item) => {
    const value = parse(item);
    if (value === undefined)
      throw fault('annotation-invalid', pod, key, `expected ${expected[key]}, got ${shown(item)}`);
    return value;
  });
}

/** More than people write, and little for the kernel: wishes of tenants fill sets on the node. */
const mostItems = 256;

/** The items of a list with commas between them. None may be empty. */
function itemsOf(pod: Pod, key: Key): string[] | undefined {
  const items = pod.annotations?.[key]?.split(',').map((item) => item.trim());
  if (items?.includes('')) throw malformed(pod, key);
  if (items === undefined || items.length <= mostItems) return items;
  throw fault('annotation-invalid', pod, key, `expected at most ${mostItems} items, got ${items.length}`);
}

/** Refuses a wish inside the cluster's ranges, which are never steered: not even `drop` would do anything. */
function requireOutside({ destinations, except }: Policy, { clusterCIDRs }: Rules, pod: Pod): void {
  if (!coverAll([...except, ...clusterCIDRs], destinations)) return;
  throw fault(
    'annotation-refused',
    pod,
    'destinations',
    'nothing is left of them outside of the cluster’s ranges, which are never steered',
  );
}

/** Refuses a wish when other policies decide about all its packets outside of the cluster's ranges. */
function requireEffect(own: Policy, { policies, clusterCIDRs }: Rules, pod: Pod, wishes: Wishes): void {
  const selected = policies.filter((policy) => selects(policy, pod, wishes));
  const decider = deciderFor({ ...own, except: [...own.except, ...clusterCIDRs] }, selected);
  if (decider === undefined) return;
  const which = decider.alone ? `policy "${decider.name}" decides` : `policy "${decider.name}" and others decide`;
  throw fault('annotation-refused', pod, 'exit', `${which} about all that the pod wants to send by "${own.exit}"`);
}

const malformed = (pod: Pod, key: Key): EgressError =>
  fault('annotation-invalid', pod, key, `expected ${expected[key]}, got ${shown(pod.annotations?.[key])}`);

const fault = (code: ErrorCode, pod: Pod, key: Key, message: string): EgressError =>
  new EgressError(code, `${calledOf(pod)}, annotation "${annotationPrefix}${key}": ${message}`);

const calledOf = ({ namespace = '', name = '' }: Pod): string =>
  namespace || name ? `Pod ${namespace}/${name}` : 'A pod without a namespace';

const namespaceOf = ({ namespace }: Pod): string => (namespace ? `namespace "${namespace}"` : 'no namespace');
