import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { contradictions } from '../../../src/config/checks.ts';
import { lineOf } from '../../../src/config/problem.ts';
import type { KubernetesObject } from '../../../src/kubernetes/mirror.ts';
import { ciliumObjectOf, kubeVipServiceOf, nodeOf, type OthersObject } from '../../../src/kubernetes/objects.ts';
import { translate } from '../../../src/kubernetes/translate.ts';

const node = (name: string, address: string, labels: Record<string, string> = {}) =>
  nodeOf({ metadata: { name, labels }, status: { addresses: [{ type: 'InternalIP', address }] } });

const nodes = [
  node('b', '172.18.0.4', { egress: 'gateway' }),
  node('a', '172.18.0.3', { egress: 'gateway' }),
  node('control', '172.18.0.2', { 'node.kubernetes.io/exclude-from-external-load-balancers': '' }),
  node('c', '172.18.0.5'),
];

const cilium = (name: string, spec: object) =>
  ciliumObjectOf('cilium.io/v2', 'CiliumEgressGatewayPolicy')({ metadata: { name }, spec });

const service = (annotations: Record<string, string>, spec: object, status: object = {}): OthersObject | undefined => {
  const object: KubernetesObject = { metadata: { name: 'sip', namespace: 'voice', annotations }, spec, status };
  return kubeVipServiceOf(object);
};

/** What comes of objects of others, and what is said of each. */
function made(others: readonly (OthersObject | undefined)[]) {
  const { kept, verdicts } = translate(
    { nodes, exits: [], policies: [], others: others.flatMap((one) => one ?? []) },
    [],
    undefined,
  );
  assert.deepEqual(contradictions([{ name: 'kept', document: kept.document }]), []);
  const lines = (problems: readonly Parameters<typeof lineOf>[0][] = []) =>
    problems.map((one) => lineOf({ ...one, source: '' }));
  const said = verdicts.map(({ kind, name, inForce, problems, notes }) => [
    `${kind}/${name}`,
    inForce,
    lines(problems),
    lines(notes),
  ]);
  return { ...kept.document, refused: kept.refused, said };
}

const spec = {
  selectors: [
    {
      podSelector: { matchLabels: { org: 'empire', 'io.kubernetes.pod.namespace': 'default' } },
      namespaceSelector: { matchLabels: { tier: 'outer' } },
    },
  ],
  destinationCIDRs: ['0.0.0.0/0'],
  excludedCIDRs: ['198.51.100.0/24'],
  egressGateway: { nodeSelector: { matchLabels: { egress: 'gateway' } }, egressIP: '172.18.0.33' },
};

describe('a CiliumEgressGatewayPolicy in a cluster', () => {
  test('is what it says: labels, the nodes that are gateways, and an address that one of them has', () => {
    const { exits, policies, refused, said } = made([cilium('sample', spec)]);
    assert.deepEqual(exits, [
      {
        name: 'cilium.sample',
        gateways: ['172.18.0.3', '172.18.0.4'],
        announce: 'elsewhere',
        addresses: ['172.18.0.33'],
      },
    ]);
    assert.deepEqual(policies, [
      {
        name: 'cilium.sample',
        namespaces: ['default'],
        podSelector: { matchExpressions: [{ key: 'org', operator: 'In', values: ['empire'] }] },
        namespaceSelector: { matchExpressions: [{ key: 'tier', operator: 'In', values: ['outer'] }] },
        destinations: ['0.0.0.0/0'],
        except: ['198.51.100.0/24'],
        exit: 'cilium.sample',
      },
    ]);
    assert.deepEqual([refused, said], [[], [['CiliumEgressGatewayPolicy/sample', 'own', [], []]]]);
  });

  test('without a gateway or an address drops what it is for, and says what it lacks; another one is what it says', () => {
    const { excludedCIDRs: _, ...plain } = spec;
    const lost = {
      ...plain,
      egressGateway: { nodeSelector: { matchLabels: { egress: 'lost' } }, egressIP: '172.18.0.33' },
    };
    const bare = {
      ...plain,
      egressGateway: { nodeSelector: { matchLabels: { egress: 'gateway' } }, interface: 'eth1' },
    };
    const { policies, exits, refused, said } = made([
      cilium('lost', lost),
      cilium('bare', bare),
      cilium('sample', plain),
    ]);
    assert.deepEqual(
      policies?.map(({ name, exit }) => [name, exit]),
      [
        ['cilium.bare', 'drop'],
        ['cilium.lost', 'drop'],
        ['cilium.sample', 'cilium.sample'],
      ],
    );
    assert.deepEqual(
      exits?.map(({ name }) => name),
      ['cilium.sample'],
    );
    assert.deepEqual(refused, ['cilium.bare', 'cilium.lost']);
    assert.deepEqual(
      said.map(([name, inForce, problems]) => [name, inForce, problems]),
      [
        [
          'CiliumEgressGatewayPolicy/bare',
          'dropped',
          ['#/spec/egressGateway: the addresses that pods leave with are not known: the object does not say them'],
        ],
        [
          'CiliumEgressGatewayPolicy/lost',
          'dropped',
          ['#/spec/egressGateway: no node with an InternalIP is a gateway (egress=lost)'],
        ],
        ['CiliumEgressGatewayPolicy/sample', 'own', []],
      ],
    );
  });

  test('that nobody can read is nothing, and keeps no other from anything', () => {
    const { policies, said } = made([
      cilium('wrong', { ...spec, destinationCIDRs: ['300.0.0.0/8'] }),
      cilium('sample', spec),
    ]);
    assert.deepEqual(
      policies?.map(({ name }) => name),
      ['cilium.sample'],
    );
    assert.deepEqual(
      said.map(([name, inForce]) => [name, inForce]),
      [
        ['CiliumEgressGatewayPolicy/sample', 'own'],
        ['CiliumEgressGatewayPolicy/wrong', 'nothing'],
      ],
    );
  });

  test('with labels of nodes is for pods that ask, and a note says so', () => {
    const ofNodes = { ...spec, selectors: [{ podSelector: {}, nodeSelector: { matchLabels: { zone: 'a' } } }] };
    const { policies, said } = made([cilium('zone', ofNodes)]);
    assert.deepEqual(
      policies?.map(({ name, optIn }) => [name, optIn]),
      [['cilium.zone', true]],
    );
    assert.match(String(said[0]?.[3]), /labels of the pods’ nodes \(zone=a\) have no counterpart/);
  });
});

test('a CiliumEgressNATPolicy leaves by the node that has its address', () => {
  const nat = ciliumObjectOf(
    'cilium.io/v2alpha1',
    'CiliumEgressNATPolicy',
  )({
    metadata: { name: 'egress-sample' },
    spec: {
      egress: [{ podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'default' } } }],
      destinationCIDRs: ['172.18.0.5/32'],
      egressSourceIP: '172.18.0.2',
    },
  });
  const { exits, policies } = made([nat]);
  assert.deepEqual(exits, [
    { name: 'cilium.egress-sample', gateways: ['172.18.0.2'], announce: 'elsewhere', addresses: ['172.18.0.2'] },
  ]);
  assert.deepEqual(
    policies?.map(({ namespaces, optIn }) => [namespaces, optIn]),
    [[['default'], undefined]],
  );
});

describe('a Service with kube-vip’s annotations in a cluster', () => {
  const asked = { 'kube-vip.io/egress': 'true', 'kube-vip.io/egress-destination-ports': 'udp:5060' };

  test('gives the pods that it selects its address, by a node that load balancers may use', () => {
    const ingress = { loadBalancer: { ingress: [{ ip: '172.18.0.245' }] } };
    const { exits, policies, said } = made([service(asked, { selector: { app: 'sip' } }, ingress)]);
    assert.deepEqual(exits, [
      { name: 'kube-vip.voice.sip', gateways: ['172.18.0.3', '172.18.0.4', '172.18.0.5'], addresses: ['172.18.0.245'] },
    ]);
    assert.deepEqual(policies, [
      {
        name: 'kube-vip.voice.sip',
        namespaces: ['voice'],
        podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['sip'] }] },
        destinations: ['0.0.0.0/0'],
        ports: ['udp:5060'],
        exit: 'kube-vip.voice.sip',
      },
    ]);
    assert.deepEqual(said, [['Service/voice/sip', 'own', [], []]]);
  });

  test('that has no address yet drops what its pods send until it has one', () => {
    const { policies, said } = made([service(asked, { selector: { app: 'sip' } })]);
    assert.deepEqual(
      policies?.map(({ exit }) => exit),
      ['drop'],
    );
    assert.deepEqual(said[0]?.slice(1, 3), [
      'dropped',
      ['#: the addresses that pods leave with are not known: the object does not say them'],
    ]);
  });

  test('is none without the annotation', () => {
    assert.equal(service({ 'kube-vip.io/loadbalancerIPs': '172.18.0.245' }, { selector: { app: 'sip' } }), undefined);
    assert.equal(service({ 'kube-vip.io/egress': 'false' }, {}), undefined);
  });
});
