import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gateway, read, readFileOf, refusalOf } from './samples.ts';

const nodesOf = (count: number, prefix = '172.18.0.') =>
  Array.from({ length: count }, (_, i) => ({ address: `${prefix}${i + 3}` }));
const tunnel = { allowedSources: ['172.18.0.0/16'] };
const share = 'each of the "nodes" with an IPv4 address gets a share of the source ports, but there are';

/** What stands in the policy file → what is said about `portsPerPod`. */
const bad: readonly (readonly [what: string, document: object, message: string])[] = [
  ['no nodes', { tunnel }, `${share} none`],
  ['nodes of another family only', { tunnel, nodes: nodesOf(2, 'fd00::') }, `${share} none`],
  [
    'more nodes than blocks',
    { nodes: nodesOf(4), exits: [{ ...gateway, portsPerPod: 20_000 }] },
    `${share} 4, and an address has 3 blocks of 20000 ports`,
  ],
];

describe('ports that a gateway’s pods shall have of their own are refused with', () => {
  for (const [what, document, message] of bad) {
    test(what, () => {
      const refusal = refusalOf(() => readFileOf({ exits: [{ ...gateway, portsPerPod: 1024 }], ...document }));
      assert.deepEqual(refusal, ['invalid-configuration', `/p.json#/exits/0/portsPerPod: ${message}`]);
    });
  }
});

describe('ports of a pod’s own are taken', () => {
  test('when there is a block for each node', () => {
    const { exits } = read({ nodes: nodesOf(3), exits: [{ ...gateway, portsPerPod: 20_000 }] });
    assert.deepEqual(
      exits.map(({ portsPerPod }) => portsPerPod),
      [20_000],
    );
  });

  test('by an exit that leaves from the pod’s node without any list of nodes', () => {
    const { exits } = read({ exits: [{ name: 'local', interface: 'eth1', portsPerPod: 16 }] });
    assert.equal(exits[0]?.portsPerPod, 16);
  });
});
