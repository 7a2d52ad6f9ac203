import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fitsGlob } from '../../../src/policy/glob.ts';
import { gatewayPolicy, importedValues } from './samples.ts';

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

/** What Cilium says of a pod. */
function chooses({ podSelector, namespaceSelector, nodeSelector = {} }: Rule, pod: Pod): boolean {
  const { namespace } = pod;
  const own = Object.fromEntries(podKeys.slice(1).map((key) => [key, namespace]));
  const ofNamespaces = { ...pod.namespaceLabels, 'kubernetes.io/metadata.name': namespace };
  return (
    (podSelector !== undefined || namespaceSelector !== undefined) &&
    fits(podSelector ?? {}, { ...pod.labels, ...own }) &&
    fits(namespaceSelector ?? {}, ofNamespaces) &&
    fits(nodeSelector, pod.nodeLabels)
  );
}

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
          const chosen = rules.some((rule) => chooses(rule, pod));
          if (own.some(({ optIn }) => !optIn)) assert.ok(chosen, 'a pod that Cilium did not choose');
          if (chosen) assert.ok(own.length > 0, 'a pod that Cilium chose, and that cannot even ask');
        }
      },
    ),
    { numRuns: 3000 },
  );
});
