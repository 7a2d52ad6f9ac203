import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { contains, prefixLength } from '../../../src/base/address.ts';
import { configurationOf } from '../../../src/config/configuration.ts';
import { matchFor } from '../../../src/policy/decision.ts';
import { fitsGlob } from '../../../src/policy/glob.ts';
import { isFor, programFor } from '../../../src/policy/program.ts';
import { asked, gatewayPolicy, importedValues, inCluster } from './samples.ts';

type Labels = Readonly<Record<string, string>>;

interface Expression {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

interface Selector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly Expression[];
}

interface Rule {
  readonly podSelector?: Selector;
  readonly namespaceSelector?: Selector;
  readonly nodeSelector?: Selector;
}

/** Everything that Kubernetes and Cilium know of a pod. */
interface Pod {
  readonly namespace: string;
  readonly labels: Labels;
  readonly namespaceLabels: Labels;
  readonly nodeLabels: Labels;
}

const namespaces = ['blue', 'red', 'green'];
const ofNamespace = 'io.kubernetes.pod.namespace';
const podKeys = [
  'app',
  ofNamespace,
  `k8s:${ofNamespace}`,
  'io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name',
];
const namespaceKeys = ['env', 'kubernetes.io/metadata.name', ofNamespace];
const values = [...namespaces, '*', ''];

const anySelector = (keys: readonly string[]): fc.Arbitrary<Selector> =>
  fc.record(
    {
      matchLabels: fc.dictionary(fc.constantFrom(...keys), fc.constantFrom(...values), { maxKeys: 2 }),
      matchExpressions: fc.array(
        fc.record({
          key: fc.constantFrom(...keys),
          operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
          values: fc.array(fc.constantFrom(...values), { maxLength: 3 }),
        }),
        { maxLength: 2 },
      ),
    },
    { requiredKeys: [] },
  );

const anyRule: fc.Arbitrary<Rule> = fc.record(
  {
    podSelector: anySelector(podKeys),
    namespaceSelector: anySelector(namespaceKeys),
    nodeSelector: anySelector(['zone']),
  },
  { requiredKeys: [] },
);

const someLabels = (key: string): fc.Arbitrary<Labels> =>
  fc.dictionary(fc.constant(key), fc.constantFrom('blue', 'red'), { maxKeys: 1 });

const anyPod: fc.Arbitrary<Pod> = fc.record({
  namespace: fc.constantFrom(...namespaces),
  labels: someLabels('app'),
  namespaceLabels: someLabels('env'),
  nodeLabels: someLabels('zone'),
});

/** What Kubernetes says of a selector. */
function fits({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Labels): boolean {
  const equal = Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
  return equal && matchExpressions.every((expression) => holds(expression, labels));
}

function holds({ key, operator, values = [] }: Expression, labels: Labels): boolean {
  const value = labels[key];
  if (operator === 'Exists') return value !== undefined;
  if (operator === 'DoesNotExist') return value === undefined;
  return (value !== undefined && values.includes(value)) === (operator === 'In');
}

/** Whether Cilium (1.20) gives a pod a policy: nodes are chosen by any selector of nodes, whichever rule it is in. */
function chooses(rules: readonly Rule[], pod: Pod): boolean {
  const nodes = rules.flatMap(({ nodeSelector }) => nodeSelector ?? []);
  return (
    rules.every(({ podSelector, namespaceSelector }) => podSelector !== undefined || namespaceSelector !== undefined) &&
    rules.some((rule) => choosesPod(rule, pod)) &&
    (nodes.length === 0 || nodes.some((selector) => fits(selector, pod.nodeLabels)))
  );
}

function choosesPod({ podSelector, namespaceSelector }: Rule, pod: Pod): boolean {
  const { namespace } = pod;
  const own = Object.fromEntries(podKeys.slice(1).map((key) => [key, namespace]));
  const ofNamespaces = { ...pod.namespaceLabels, 'kubernetes.io/metadata.name': namespace };
  return fits(podSelector ?? {}, { ...pod.labels, ...own }) && fits(namespaceSelector ?? {}, ofNamespaces);
}

/** The pod as a plugin that is told its labels knows it. */
const told = ({ namespace, labels, namespaceLabels }: Pod) => ({
  ...{ namespace, name: 'x' },
  labels: { pod: labels, namespace: { ...namespaceLabels, 'kubernetes.io/metadata.name': namespace } },
});

test('where labels are told, a pod gets a policy unasked only if Cilium chose it, and needs to ask for labels of nodes only', () => {
  let unasked = 0;
  fc.assert(
    fc.property(
      fc.array(anyRule, { maxLength: 3 }),
      fc.array(anyPod, { minLength: 1, maxLength: 8 }),
      (rules, pods) => {
        const { document } = importedValues([gatewayPolicy('p', { selectors: rules })], inCluster);
        const { policies } = configurationOf({ type: 'egress' }, document ? [document] : []);
        const hasNodes = rules.some(({ nodeSelector }) => nodeSelector !== undefined);
        for (const pod of pods) {
          const own = policies.filter((policy) => isFor(policy, told(pod)));
          const chosen = chooses(rules, pod);
          if (own.some(({ optIn }) => !optIn)) assert.ok(chosen, 'a pod that Cilium did not choose');
          if (chosen)
            assert.ok(
              own.some(({ optIn }) => !optIn || hasNodes),
              'a pod that Cilium chose, and that gets nothing',
            );
          if (chosen && !hasNodes) unasked++;
        }
      },
    ),
    { numRuns: 3000 },
  );
  assert.ok(unasked > 20, String(unasked));
});

test('whatever labels narrow a policy, only pods that it chose get it unasked, and each of those can get it', () => {
  fc.assert(
    fc.property(
      fc.array(anyRule, { maxLength: 3 }),
      fc.array(anyPod, { minLength: 1, maxLength: 8 }),
      (rules, pods) => {
        const { document } = importedValues([gatewayPolicy('p', { selectors: rules })]);
        const policies = document?.policies ?? [];
        for (const pod of pods) {
          const own = policies.filter(({ namespaces }) => namespaces.some((glob) => fitsGlob(glob, pod.namespace)));
          const chosen = chooses(rules, pod);
          if (own.some(({ optIn }) => !optIn)) assert.ok(chosen, 'a pod that Cilium did not choose');
          if (chosen) assert.ok(own.length > 0, 'a pod that Cilium chose, and that cannot even ask');
        }
      },
    ),
    { numRuns: 3000 },
  );
});

const ranges = ['0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '10.128.0.0/9', 'fd00::/8', 'fd00:1::/32'];
const destinations = ['10.1.2.3', '10.1.3.4', '10.2.0.1', '10.200.0.1', '8.8.8.8', 'fd00:1::1', 'fd00:2::1'];

interface TheirPolicy {
  readonly selectors: readonly Rule[];
  readonly destinationCIDRs: readonly string[];
  readonly excludedCIDRs: readonly string[];
}

const anyTheirPolicy: fc.Arbitrary<TheirPolicy> = fc.record({
  selectors: fc.oneof(
    fc.constantFrom<Rule[]>(
      [{ podSelector: {} }],
      [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'blue' } } }],
      [{ podSelector: { matchLabels: { app: 'blue' } } }],
    ),
    fc.array(anyRule, { minLength: 1, maxLength: 2 }),
  ),
  destinationCIDRs: fc.subarray(ranges),
  excludedCIDRs: fc.subarray(ranges),
});

/**
 * The policies of which one may steer a pod's packet, as Cilium has destinations and exclusions of all of them in one
 * table; `-1`: none does. Of equal ranges of different policies any may be in it.
 */
function steering(policies: readonly TheirPolicy[], pod: Pod, destination: string): readonly number[] {
  const entries = policies.flatMap(({ selectors, destinationCIDRs, excludedCIDRs }, i) => {
    if (!chooses(selectors, pod)) return [];
    const own = destinationCIDRs.filter((range) => !excludedCIDRs.includes(range)).map((range) => [range, i] as const);
    return [...own, ...excludedCIDRs.map((range) => [range, -1] as const)];
  });
  const holding = entries.filter(([range]) => contains(range, destination));
  const longest = Math.max(-1, ...holding.map(([range]) => prefixLength(range)));
  const decide = holding.filter(([range]) => prefixLength(range) === longest).map(([, i]) => i);
  return decide.length > 0 ? decide : [-1];
}

for (const [where, options] of [
  ['where pods are known', asked],
  ['where labels are told', inCluster],
] as const)
  test(`whatever several policies say of destinations, nothing is steered that Cilium does not steer, and all that it does ${where}`, () => {
    let equal = 0;
    const property = fc.property(
      fc.array(anyTheirPolicy, { minLength: 1, maxLength: 3 }),
      fc.array(anyPod, { minLength: 1, maxLength: 5 }),
      (theirs, pods) => {
        const { document, warnings } = importedValues(
          theirs.map((spec, i) => gatewayPolicy(`p${i}`, { ...spec, egressGateway: { egressIP: `192.168.60.${i}` } })),
          { ...options, clusterCIDRs: [] },
        );
        if (document === undefined) return;
        const { policies, exits } = configurationOf({ type: 'egress' }, [document]);
        const placeOf = (name: string) => exits.find((exit) => exit.name === name)?.addresses[0]?.slice(-1) ?? -1;
        for (const pod of pods) {
          const chosen = theirs.flatMap(({ selectors }, i) => (chooses(selectors, pod) ? [i] : []));
          const names = policies.filter(({ optIn, exit }) => optIn && chosen.includes(Number(placeOf(exit))));
          const all = new Set(names.map(({ name }) => name));
          for (const named of [new Set<string>(), all]) {
            const program = programFor(policies, told(pod), { named });
            for (const destination of destinations) {
              const ours = Number(placeOf(matchFor(program, { destination })?.exit ?? 'node'));
              const their = steering(theirs, pod, destination);
              assert.ok(ours === -1 || their.some((each) => each >= 0), `${destination} is steered`);
              if (named !== all || warnings.some(({ message }) => message.includes('for all pods of the namespaces')))
                continue;
              assert.ok(their.includes(ours), `${destination} leaves by ${ours}, not by ${their}`);
              equal++;
            }
          }
        }
      },
    );
    fc.assert(property, { numRuns: 3000 });
    assert.ok(equal > 10_000, String(equal));
  });
