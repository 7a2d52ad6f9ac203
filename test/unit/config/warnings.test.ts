import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { contains } from '../../../src/base/address.ts';
import type { PolicyDocument } from '../../../src/config/schema.ts';
import { warningsOf } from '../../../src/config/warnings.ts';
import { programFor } from '../../../src/policy/program.ts';
import { anyAddress, anyPolicies, anyPrefix } from '../policy/arbitraries.ts';
import { exit, policy } from './samples.ts';

const world = '203.0.113.0/24';

/** The warnings of a document with an exit `partners`, each as `pointer message`. */
const told = (document: PolicyDocument): string[] =>
  warningsOf('p.json', { exits: [exit], ...document }).map(({ pointer, message }) => `${pointer} ${message}`);

/** The warnings of policies that differ from the sample as given, in a cluster of 10.0.0.0/16. */
const toldOf = (...policies: Partial<typeof policy & Record<string, unknown>>[]): string[] =>
  told({ clusterCIDRs: ['10.0.0.0/16'], policies: policies.map((part, i) => ({ ...policy, name: `p${i}`, ...part })) });

test('an exit that no policy uses is told, with its place', () => {
  const other = { name: 'other', interface: 'eth2' };
  assert.deepEqual(warningsOf('p.json', { exits: [exit, other], policies: [policy] }), [
    { source: 'p.json', pointer: '/exits/1', message: 'no policy uses exit "other"' },
  ]);
});

test('exits may wait for the first policy', () => assert.deepEqual(told({ exits: [exit] }), []));

describe('a policy that fits no packet is told when its destinations', () => {
  const rows: readonly (readonly [string, Partial<PolicyDocument>, Record<string, unknown>, string])[] = [
    ['are excepted', {}, { destinations: [world], except: ['203.0.0.0/16'] }, '"except"'],
    [
      'are excepted in halves',
      {},
      { destinations: [world], except: ['203.0.113.0/25', '203.0.113.128/25'] },
      '"except"',
    ],
    [
      'are in the cluster',
      { clusterCIDRs: ['10.0.0.0/16'] },
      { destinations: ['10.0.5.0/24'] },
      'ranges of the cluster, which are never steered',
    ],
    [
      'are pods of a node',
      { nodes: [{ address: '172.18.0.5', podCIDRs: ['10.0.0.0/24'] }] },
      { destinations: ['10.0.0.0/25'] },
      'ranges of the cluster, which are never steered',
    ],
    [
      'are link-local',
      {},
      { destinations: ['fe80::/64', '169.254.169.254/32'] },
      'ranges of the cluster, which are never steered',
    ],
    [
      'are partly this and partly that',
      { clusterCIDRs: ['10.0.0.0/16'] },
      { destinations: ['10.0.0.0/15', world], except: ['10.1.0.0/16', world] },
      '"except" or ranges of the cluster, which are never steered',
    ],
  ];
  for (const [when, document, part, where] of rows) {
    test(when, () => {
      const warnings = told({ ...document, policies: [{ ...policy, ...part }] });
      assert.deepEqual(warnings, [`/policies/0 policy "p" fits no packet: all its destinations are inside ${where}`]);
    });
  }
});

describe('a destination in the cluster', () => {
  test('is told among others', () => {
    assert.deepEqual(toldOf({ destinations: [world, '10.0.5.0/24', '10.0.0.0/16'] }), [
      '/policies/0/destinations/1 10.0.5.0/24 is inside ranges of the cluster (10.0.0.0/16), which are never steered',
      '/policies/0/destinations/2 10.0.0.0/16 is inside ranges of the cluster, which are never steered',
    ]);
  });

  test('is fine around the cluster', () => assert.deepEqual(toldOf({ destinations: ['10.0.0.0/8'] }), []));

  test('is fine for a policy that leaves it alone', () => {
    assert.deepEqual(toldOf({ destinations: ['10.0.5.0/24'], exit: 'node' }, {}), []);
  });
});

describe('a policy behind others', () => {
  const by = (other: string) => [`/policies/0 policy "p0" decides nothing: ${other}`];
  const rows: readonly (readonly [string, Record<string, unknown>, Record<string, unknown>[], string[]])[] = [
    ['of higher priority is told', {}, [{ priority: 1 }], by('"p1" decides before it')],
    ['of lower priority is not', { destinations: [world] }, [{ priority: -1 }], []],
    ['with wider namespaces is told', { namespaces: ['a-b', 'a*'] }, [{ priority: 1 }], by('"p1" decides before it')],
    ['for other namespaces is not', { namespaces: ['a', 'b'] }, [{ priority: 1, namespaces: ['a'] }], []],
    ['of other pods is not', { pods: ['web-*'] }, [{ priority: 1, pods: ['web-0', 'db-*'] }], []],
    ['of all pods is told', { pods: ['web-*'] }, [{ priority: 1, pods: ['w*'] }], by('"p1" decides before it')],
    ['with narrower destinations is not', {}, [{ priority: 1, destinations: [world] }], []],
    ['for one family only is not', {}, [{ priority: 1, destinations: ['0.0.0.0/0'] }], []],
    ['that except something is not', { destinations: [world] }, [{ priority: 1, except: ['203.0.113.7/32'] }], []],
    [
      'that except what it excepts itself is told',
      { destinations: [world], except: ['203.0.113.0/28'] },
      [{ priority: 1, except: ['203.0.113.7/32'] }],
      by('"p1" decides before it'),
    ],
    [
      'with longer prefixes that make its own is told',
      { destinations: [world] },
      [{ destinations: ['203.0.113.0/25', '203.0.113.128/25'] }],
      by('"p1" decides before it'),
    ],
    [
      'that decide together is told, without those who do not matter',
      { destinations: [world] },
      [
        { destinations: ['203.0.113.0/25'], priority: 1 },
        { destinations: ['203.0.114.0/24'], priority: 1 },
        { destinations: ['203.0.113.128/25'] },
      ],
      by('"p1", "p3" together decide before it'),
    ],
    [
      'whose name sorts first is told',
      { name: 'p0', destinations: [world] },
      [{ name: 'A', destinations: [world] }],
      by('"A" decides before it'),
    ],
    [
      'that leave it the rest around the cluster is told',
      { destinations: ['10.0.0.0/15'] },
      [{ destinations: ['10.1.0.0/16'] }],
      by('"p1" decides before it'),
    ],
  ];
  for (const [what, first, others, expected] of rows) {
    test(what, () => assert.deepEqual(toldOf(first, ...others), expected));
  }
});

test('a policy that is said to decide nothing, or to fit nothing, decides about no packet of any pod', () => {
  let warned = 0;
  const property = fc.property(
    anyPolicies,
    fc.array(anyPrefix, { maxLength: 2 }),
    fc.constantFrom('blue', 'red', 'black', undefined),
    anyAddress,
    (policies, clusterCIDRs, namespace, address) => {
      const warnings = warningsOf('p', { clusterCIDRs, policies } as PolicyDocument);
      const idle = warnings.flatMap(({ pointer }) => /^\/policies\/(\d+)$/.exec(pointer)?.[1] ?? []);
      const names = idle.map((i) => policies[Number(i)]?.name);
      warned += names.length;
      if (clusterCIDRs.some((range) => contains(range, address))) return;
      const deciding = programFor(policies, { ...(namespace && { namespace }) }).find(
        ({ destinations, except }) =>
          destinations.some((range) => contains(range, address)) && !except.some((range) => contains(range, address)),
      );
      assert.ok(!names.includes(deciding?.policy), `${deciding?.policy} decides`);
    },
  );
  fc.assert(property, { numRuns: 500 });
  assert.ok(warned > 50, 'the sample hardly has such policies');
});
