import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { defaults } from '../../../src/config/defaults.ts';
import { normalForm } from '../../../src/config/normal.ts';
import { judgePolicy } from '../../../src/config/read.ts';
import type { PolicyDocument } from '../../../src/config/schema.ts';
import { anyPolicies, anyPrefix } from '../policy/arbitraries.ts';
import { exit, gateway, policy, readFileOf } from './samples.ts';

/** The normal form of a document without mistakes. */
function normal(document: unknown): PolicyDocument {
  const judged = judgePolicy('p.json', document, []);
  assert.ok('value' in judged, JSON.stringify(judged));
  return normalForm(judged.value);
}

test('an empty document has every default written out', () => {
  const { fwmark, routeTable, rulePriority, vni, port, replyPath } = defaults;
  assert.deepEqual(normal({}), {
    kubernetes: false,
    clusterCIDRs: [],
    nodes: [],
    tunnel: { vni, port, replyPath, allowedSources: [] },
    vrrp: { interval: 100, preempt: false },
    fwmark,
    routeTable,
    rulePriority,
    checkSources: true,
    extraSources: [],
    exits: [],
    policies: [],
  });
});

test('what is there stays, in canonical form; what the name or the interface decides is not written', () => {
  const { exits, policies, nodes, fwmark } = normal({
    fwmark: 0x4000,
    nodes: [{ address: 'FD00::0245' }],
    exits: [{ ...exit, nextHop: 'FE80:0::1' }],
    policies: [{ ...policy, destinations: ['10.1.2.3/8', '192.0.2.1'], priority: 5 }],
  });
  assert.deepEqual(exits, [
    {
      ...{ ...exit, nextHop: 'fe80::1', onlink: false, addressesOn: [], addressPerFlow: false, fastPath: false },
      ...{ annotationNamespaces: [], onUnavailable: 'drop', announce: 'vrrp' },
    },
  ]);
  const destinations = ['10.0.0.0/8', '192.0.2.1/32'];
  assert.deepEqual(policies, [
    { ...policy, pods: ['*'], destinations, except: [], priority: 5, onChange: 'keep', optIn: false },
  ]);
  assert.deepEqual([nodes, fwmark], [[{ address: 'fd00::245', podCIDRs: [] }], '0x00004000']);
});

/** A document in any order of keys, with or without the options. */
const anyDocument = fc
  .record(
    {
      $schema: fc.constant('policy.schema.json'),
      policies: anyPolicies,
      clusterCIDRs: fc.array(anyPrefix, { maxLength: 3 }),
      nodes: fc.constantFrom([], [{ podCIDRs: ['10.0.0.7/24'], address: '172.18.0.5' }], [{ address: '172.18.0.6' }]),
      tunnel: fc.record(
        { port: fc.integer({ min: 1, max: 65535 }), vni: fc.integer({ min: 1, max: 0xffffff }) },
        { requiredKeys: [] },
      ),
      fwmark: fc.constantFrom('0x4000', 0x4000, 0x80000000, '0x00200000'),
      routeTable: fc.integer({ min: 256, max: 1_000_000 }),
      rulePriority: fc.integer({ min: 1, max: 32760 }),
      onUnavailable: fc.constantFrom('drop', 'node'),
    },
    { requiredKeys: ['policies'] },
  )
  .map(({ onUnavailable, ...document }) => ({
    tunnel: { allowedSources: ['172.18.0.0/16'] },
    exits: [
      { ...exit, nextHop: ['FE80::1', '192.168.0.1'], ...(onUnavailable && { onUnavailable }) },
      { ...gateway, id: 9 },
    ],
    ...document,
    nodes: [...(document.nodes ?? []), { address: '172.18.0.9' }],
  }));

test('the normal form, read again, is the same configuration, and its own normal form to the letter', () => {
  fc.assert(
    fc.property(anyDocument, (document) => {
      const written = normal(document);
      assert.deepEqual(readFileOf(written), readFileOf(document));
      assert.equal(JSON.stringify(normal(written)), JSON.stringify(written));
    }),
  );
});

test('the order of keys is always the same', () => {
  const document = { policies: [policy], exits: [exit], fwmark: '0x4000' };
  const turned = Object.fromEntries(Object.entries({ ...document, exits: [turn(exit)] }).reverse());
  assert.equal(JSON.stringify(normal(turned)), JSON.stringify(normal(document)));
});

const turn = (value: object) => Object.fromEntries(Object.entries(value).reverse());
