import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { contradictions } from '../../../src/config/checks.ts';
import type { KeptObjects } from '../../../src/config/kept.ts';
import type { Source } from '../../../src/config/placed.ts';
import { lineOf } from '../../../src/config/problem.ts';
import { type ClusterObjects, type EgressObject, egressObjectOf, nodeOf } from '../../../src/kubernetes/objects.ts';
import { translate } from '../../../src/kubernetes/translate.ts';

const node = (name: string, address: string, labels: Record<string, string> = {}, more: object = {}) =>
  nodeOf({
    metadata: { name, labels },
    spec: { podCIDRs: [`10.244.${address.split('.').at(-1)}.0/24`] },
    status: { addresses: [{ type: 'InternalIP', address }], conditions: [{ type: 'Ready', status: 'True' }] },
    ...more,
  });

const object = (name: string, spec: object, creationTimestamp = '2026-11-29T00:00:00Z'): EgressObject =>
  egressObjectOf({ metadata: { name, generation: 1, creationTimestamp }, spec });

const nodes = [
  node('b', '172.18.0.4', { egress: 'gateway' }),
  node('a', '172.18.0.3', { egress: 'gateway' }),
  node('c', '172.18.0.5'),
];
const partners = { gatewaySelector: { matchLabels: { egress: 'gateway' } }, addresses: ['172.18.0.245'] };
const shop = { namespaces: ['shop'], destinations: ['203.0.113.0/24'], exit: 'partners' };

const cluster = (
  exits: readonly EgressObject[],
  policies: readonly EgressObject[] = [],
  of = nodes,
): ClusterObjects => ({
  nodes: of,
  exits,
  policies,
});

/** What comes of objects: the document, and of each object what is in force and what is wrong. */
function made(objects: ClusterObjects, others: readonly Source[] = [], before?: KeptObjects) {
  const { kept, verdicts } = translate(objects, others, before);
  assert.deepEqual(contradictions([...others, { name: 'kept', document: kept.document }]), []);
  const said = verdicts.map(({ kind, name, problems, inForce }) => [
    `${kind}/${name}`,
    inForce,
    ...problems.map((problem) => lineOf({ ...problem, source: '' })),
  ]);
  return { kept, said };
}

test('the example of objects has no mistake', () => {
  const text = readFileSync(new URL('../../../install/objects.yaml', import.meta.url), 'utf8');
  const [exit, policy] = parseAllDocuments(text).map((document) => egressObjectOf(document.toJS()));
  assert.ok(exit && policy);
  assert.deepEqual(
    made(cluster([exit], [policy])).said.map(([name, inForce]) => [name, inForce]),
    [
      ['EgressExit/partners', 'own'],
      ['EgressPolicy/shop', 'own'],
    ],
  );
});

const file = (document: Source['document']): Source => ({ name: '/policy.json', document });

describe('objects of a cluster', () => {
  test('make one document, with the gateways that a selector finds by the names of nodes', () => {
    const { kept, said } = made(cluster([object('partners', partners)], [object('shop', shop)]));
    assert.deepEqual(kept, {
      document: {
        nodes: [
          { address: '172.18.0.3', podCIDRs: ['10.244.3.0/24'] },
          { address: '172.18.0.4', podCIDRs: ['10.244.4.0/24'] },
          { address: '172.18.0.5', podCIDRs: ['10.244.5.0/24'] },
        ],
        exits: [{ name: 'partners', addresses: ['172.18.0.245'], gateways: ['172.18.0.3', '172.18.0.4'] }],
        policies: [{ name: 'shop', ...shop }],
      },
      refused: [],
    });
    assert.deepEqual(said, [
      ['EgressExit/partners', 'own'],
      ['EgressPolicy/shop', 'own'],
    ]);
  });

  test('are told of mistakes with the words of egress validate, at their own places', () => {
    const { said } = made(
      cluster(
        [object('partners', { interface: 'eth1', nextHop: '192.168.0.300' })],
        [object('shop', { ...shop, exit: 'partner', ports: ['tcp:x'] })],
      ),
    );
    assert.deepEqual(said, [
      ['EgressExit/partners', 'nothing', '#/spec/nextHop: expected an IP address, got "192.168.0.300"'],
      [
        'EgressPolicy/shop',
        'nothing',
        '#/spec/ports/0: expected "tcp", "udp", "sctp" or "icmp", with a port or range of ports like "tcp:443" or "udp:5060-5061" (icmp has none), got "tcp:x"',
      ],
    ]);
  });

  test('of which one is wrong change nothing else', () => {
    const { kept, said } = made(
      cluster(
        [object('partners', partners), object('broken', { ...partners, addresses: ['x'] })],
        [object('shop', shop), object('typo', { ...shop, exit: 'partnres' })],
      ),
    );
    assert.deepEqual(
      kept.document.exits?.map(({ name }) => name),
      ['partners'],
    );
    assert.deepEqual(
      kept.document.policies?.map(({ name, exit }) => [name, exit]),
      [
        ['shop', 'partners'],
        ['typo', 'drop'],
      ],
    );
    assert.deepEqual(kept.refused, ['typo']);
    assert.deepEqual(said.at(-1), [
      'EgressPolicy/typo',
      'dropped',
      '#/spec/exit: unknown exit "partnres", did you mean "partners"?',
    ]);
  });

  test('that were right once stay as they were then', () => {
    const { kept: before } = made(cluster([object('partners', partners)], [object('shop', shop)]));
    const wrong = cluster(
      [object('partners', { ...partners, addresses: ['x'] })],
      [object('shop', { ...shop, destinations: ['y'] })],
    );
    const { kept, said } = made(wrong, [], before);
    assert.deepEqual(kept, before);
    assert.deepEqual(
      said.map(([, inForce]) => inForce),
      ['earlier', 'earlier'],
    );
    // On a node that never knew them, nothing can be said of where the policy is for.
    assert.deepEqual(made(wrong).kept.document.policies, []);
  });

  test('that are gone are gone, but for an exit that a policy still names', () => {
    const { kept: before } = made(cluster([object('partners', partners)], [object('shop', shop)]));
    assert.deepEqual(made(cluster([]), [], before).kept.document.exits, []);
    const { kept, said } = made(cluster([], [object('shop', shop)]), [], before);
    assert.deepEqual([kept.document.exits, kept.refused], [before.document.exits, []]);
    assert.deepEqual(said, [
      ['EgressPolicy/shop', 'own', '#/spec/exit: unknown exit "partners", expected one of "node", "drop"'],
    ]);
    const elsewhere = made(cluster([], [object('shop', shop)]));
    assert.deepEqual(
      elsewhere.kept.document.policies?.map(({ exit }) => exit),
      ['drop'],
    );
    assert.deepEqual(elsewhere.kept.refused, ['shop']);
  });

  test('that came later give way to older ones', () => {
    const [old, young] = ['2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z'];
    const { said } = made(
      cluster([object('a', { ...partners, vrid: 7 }, young), object('b', { ...partners, vrid: 7 }, old)]),
    );
    assert.deepEqual(
      said.map(([name, inForce]) => [name, inForce]),
      [
        ['EgressExit/b', 'own'],
        ['EgressExit/a', 'nothing'],
      ],
    );
    assert.match(
      said[1]?.[2] ?? '',
      /^#\/spec\/addresses\/0: 172\.18\.0\.245 is already at EgressExit\/b#\/spec\/addresses\/0: /,
    );
  });

  test('give way to the policy file, and may use its exits', () => {
    const others = [file({ exits: [{ name: 'partners', interface: 'eth1' }], policies: [] })];
    const { kept, said } = made(cluster([object('partners', partners)], [object('shop', shop)]), others);
    assert.deepEqual(kept.document.exits, []);
    assert.deepEqual(said, [
      ['EgressExit/partners', 'nothing', '#/spec: exit "partners" is already at /policy.json#/exits/0'],
      ['EgressPolicy/shop', 'own'],
    ]);
  });

  test('without a node that a selector fits are refused', () => {
    const { said } = made(cluster([object('partners', { ...partners, gatewaySelector: { matchLabels: { a: 'b' } } })]));
    assert.deepEqual(said, [
      ['EgressExit/partners', 'nothing', '#/spec/gatewaySelector: no node with an InternalIP has these labels'],
    ]);
    const nowhere = { ...partners, gatewaySelector: { matchLabels: { a: 'b' } } };
    assert.deepEqual(made(cluster([object('partners', nowhere)], [object('shop', shop)])).said.at(-1), [
      ...['EgressPolicy/shop', 'dropped'],
      '#/spec/exit: exit "partners" is refused itself: kubectl describe egressexit partners',
    ]);
  });

  test('nodes of the policy file are not there twice, and further addresses of nodes are never steered', () => {
    const dual = {
      status: {
        addresses: [
          { type: 'Hostname', address: 'd' },
          { type: 'InternalIP', address: '172.18.0.6' },
          { type: 'InternalIP', address: 'fd00:172::6' },
        ],
      },
    };
    const { kept } = made(cluster([], [], [...nodes, node('d', '172.18.0.6', {}, dual)]), [
      file({ nodes: [{ address: '172.18.0.3' }] }),
    ]);
    assert.deepEqual(
      kept.document.nodes?.map(({ address }) => address),
      ['172.18.0.4', '172.18.0.5', '172.18.0.6'],
    );
    assert.deepEqual(kept.document.clusterCIDRs, ['fd00:172::6/128']);
  });
});
