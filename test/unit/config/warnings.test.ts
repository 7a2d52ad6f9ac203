import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { contains, type Prefix } from '../../../src/base/address.ts';
import { holdPorts, type PortRange, splitPortRange } from '../../../src/base/port-range.ts';
import { hiders } from '../../../src/config/hidden.ts';
import type { PolicyDocument } from '../../../src/config/schema.ts';
import { warningsOf } from '../../../src/config/warnings.ts';
import { matchFor } from '../../../src/policy/decision.ts';
import { includesGlob } from '../../../src/policy/glob.ts';
import type { Policy } from '../../../src/policy/policy.ts';
import { coverAll } from '../../../src/policy/prefixes.ts';
import { byRank, programFor } from '../../../src/policy/program.ts';
import type { Packet } from '../../../src/policy/terms.ts';
import { anyAddress, anyPolicies, anyPort, anyPorts, anyPrefix } from '../policy/arbitraries.ts';
import { exit, policy } from './samples.ts';

const world = '203.0.113.0/24';

/** The warnings of a document with an exit `partners`, each as `pointer message`. */
const told = (document: PolicyDocument): string[] =>
  warningsOf('p.json', { exits: [exit], ...document })
    .filter(({ pointer }) => pointer !== '/clusterCIDRs')
    .map(({ pointer, message }) => `${pointer} ${message}`);

/** The warnings of policies that differ from the sample as given, in a cluster of 10.0.0.0/16. */
const toldOf = (...policies: Partial<typeof policy & Record<string, unknown>>[]): string[] =>
  told({ clusterCIDRs: ['10.0.0.0/16'], policies: policies.map((part, i) => ({ ...policy, name: `p${i}`, ...part })) });

test('an exit that no policy uses is told, with its place', () => {
  const other = { name: 'other', interface: 'eth2' };
  const clusterCIDRs = ['10.0.0.0/16'];
  assert.deepEqual(warningsOf('p.json', { clusterCIDRs, exits: [exit, other], policies: [policy] }), [
    { source: 'p.json', pointer: '/exits/1', message: 'no policy uses exit "other"' },
  ]);
});

test('an exit that pods may ask for needs no policy', () => {
  const open = { name: 'open', interface: 'eth2', annotationNamespaces: ['red'] };
  assert.deepEqual(told({ exits: [exit, open], policies: [policy] }), []);
});

describe('of families that an exit has nothing of', () => {
  const four = { ...exit, addresses: ['192.168.0.245'] };
  const dropped = (family: 4 | 6, end: string) =>
    `/policies/0 exit "partners" has no IPv${family} address or next hop, so all that policy "p0" gives it by IPv${family} is dropped: give the exit one${end}`;
  const orLimit = ', or limit "destinations" to IPv4, such as "0.0.0.0/0", and the rest leaves as without egress';
  const of = (exits: PolicyDocument['exits'], clusterCIDRs: string[], part: object = {}) =>
    told({ clusterCIDRs, exits, policies: [{ ...policy, name: 'p0', ...part }] });

  test('a policy for everywhere is told where pods have that family', () => {
    assert.deepEqual(of([four], ['10.0.0.0/16', 'fd00:10::/48']), [dropped(6, orLimit)]);
    assert.deepEqual(of([{ ...exit, nextHop: '192.168.0.1' }], ['10.0.0.0/16', 'fd00:10::/48']), [dropped(6, orLimit)]);
    assert.deepEqual(of([four], ['10.0.0.0/16']), []);
    assert.deepEqual(of([exit], ['10.0.0.0/16', 'fd00:10::/48']), []);
  });

  test('a policy for ranges of that family is told in any cluster', () => {
    assert.deepEqual(of([four], ['10.0.0.0/16'], { destinations: ['2001:db8::/32'] }), [dropped(6, '')]);
    assert.deepEqual(of([four], ['10.0.0.0/16'], { destinations: [world, '2001:db8::/32'] }), [dropped(6, orLimit)]);
    const both = ['10.0.0.0/16', 'fd00:10::/48'];
    assert.deepEqual(of([four], both, { destinations: [world] }), []);
    assert.deepEqual(of([four], both, { except: ['::/0'] }), []);
  });

  test('0.0.0.0 alone is told', () => {
    assert.deepEqual(toldOf({ destinations: ['0.0.0.0/32', '::/128'] }), [
      '/policies/0/destinations/0 0.0.0.0/32 is one address, which nobody has: "0.0.0.0/0" is everywhere',
      '/policies/0/destinations/1 ::/128 is one address, which nobody has: "::/0" is everywhere',
    ]);
  });
});

describe('of exits is told', () => {
  const gateway = { name: 'out', gateways: ['172.18.0.3'], addresses: ['172.18.0.33'] };
  const nodes = [{ address: '172.18.0.5', podCIDRs: ['10.0.5.0/24'] }];
  const rows: readonly (readonly [what: string, document: PolicyDocument, pointer: string, message: RegExp])[] = [
    [
      'a next hop that is an address of the exit',
      { exits: [{ ...exit, addresses: ['192.168.0.1'], nextHop: '192.168.0.1' }] },
      '/exits/0/nextHop',
      /^next hop 192\.168\.0\.1 is an address of the exit itself/,
    ],
    [
      'an address inside the cluster',
      { clusterCIDRs: ['10.0.0.0/16'], exits: [{ ...exit, addresses: ['192.168.0.9', '10.0.3.9'] }] },
      '/exits/0/addresses/1',
      /^10\.0\.3\.9 is inside ranges of the cluster \(10\.0\.0\.0\/16\)/,
    ],
    [
      'an address that leaves by two interfaces',
      {
        exits: [
          { ...exit, addresses: ['192.168.0.9'] },
          { name: 'b', interface: 'eth2', addresses: ['192.168.0.9'] },
        ],
      },
      '/exits/1/addresses/0',
      /^192\.168\.0\.9 is an address of exit "partners", too/,
    ],
    [
      'a gateway that is not among the nodes',
      { nodes, exits: [gateway] },
      '/exits/0/gateways/0',
      /^gateway 172\.18\.0\.3 is not in "nodes"/,
    ],
    [
      'a policy for everywhere where no range of the cluster is known',
      { exits: [exit], policies: [policy] },
      '/clusterCIDRs',
      /^missing: policy "p" is for everywhere/,
    ],
  ];
  for (const [what, document, pointer, message] of rows) {
    test(what, () => {
      const warnings = warningsOf('p.json', document);
      assert.deepEqual(
        warnings.map((each) => each.pointer),
        [pointer],
      );
      assert.match(warnings[0]?.message ?? '', message);
    });
  }

  test('nothing where all is in order', () => {
    const fine: PolicyDocument[] = [
      {
        exits: [
          { ...exit, addresses: ['192.168.0.9'] },
          { ...exit, name: 'b', addresses: ['192.168.0.9'] },
        ],
      },
      { nodes: [...nodes, { address: '172.18.0.3' }], exits: [gateway] },
      { nodes, tunnel: { allowedSources: ['172.18.0.0/24'] }, exits: [gateway] },
      { tunnel: { allowedSources: ['172.18.0.0/24'] }, exits: [gateway] },
      {
        exits: [exit],
        policies: [
          { ...policy, exit: 'node' },
          { ...policy, name: 'q', destinations: [world] },
        ],
      },
    ];
    for (const document of fine) assert.deepEqual(warningsOf('p.json', document), []);
  });
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
    [
      'of everything is told when it is for some ports',
      { ports: ['udp:5060'] },
      [{ priority: 1 }],
      by('"p1" decides before it'),
    ],
    [
      'of everything, whose name sorts first, is told',
      { name: 'sip', ports: ['udp:5060'] },
      [{ name: 'all' }],
      ['/policies/0 policy "sip" decides nothing: "all" decides before it'],
    ],
    ['is told when only it is opt-in', { optIn: true }, [{ priority: 1 }], by('"p1" decides before it')],
    ['that pods must ask for is not', {}, [{ priority: 1, optIn: true }], []],
    [
      'that pods must ask for is not, even when it is opt-in itself',
      { optIn: true },
      [{ priority: 1, optIn: true }],
      [],
    ],
    ['for some ports is not when it is for all', {}, [{ priority: 1, ports: ['icmp', 'tcp', 'udp', 'sctp'] }], []],
    ['for other ports is not', { ports: ['udp:5060'] }, [{ priority: 1, ports: ['tcp:5060', 'udp:5061'] }], []],
    ['for a part of its ports is not', { ports: ['tcp:80-90', 'icmp'] }, [{ priority: 1, ports: ['tcp:1-100'] }], []],
    [
      'for more ports is told',
      { ports: ['tcp:80-90', 'icmp'] },
      [{ priority: 1, ports: ['tcp', 'icmp'] }],
      by('"p1" decides before it'),
    ],
    [
      'for single ports is not when it is for a protocol',
      { ports: ['tcp'] },
      [{ priority: 1, ports: ['tcp:1-65535'] }],
      [],
    ],
    [
      'that share its ports is told',
      { ports: ['tcp:80-90', 'udp'] },
      [
        { priority: 1, ports: ['tcp:85-100'] },
        { priority: 2, ports: ['tcp:1-86'] },
        { priority: 3, ports: ['udp', 'sctp'] },
        { priority: 4, ports: ['icmp'] },
      ],
      by('"p1", "p2", "p3" together decide before it'),
    ],
    [
      'that share its ports and its destinations is told only when nothing is left',
      { ports: ['tcp:80-90'], destinations: [world] },
      [
        { priority: 1, ports: ['tcp:80-84'], destinations: ['203.0.113.0/25'] },
        { priority: 1, ports: ['tcp:85-90'], destinations: ['203.0.113.128/25'] },
      ],
      [],
    ],
  ];
  for (const [what, first, others, expected] of rows) {
    test(what, () => assert.deepEqual(toldOf(first, ...others), expected));
  }
});

test('a policy that is said to decide nothing, or to fit nothing, decides about no packet of any pod', () => {
  let [warned, warnedWithPorts] = [0, 0];
  const property = fc.property(
    fc.tuple(anyPolicies, fc.infiniteStream(anyPorts)).map(([policies, ports]) => withPorts(policies, ports)),
    fc.array(anyPrefix, { maxLength: 2 }),
    fc.constantFrom('blue', 'red', 'black', undefined),
    fc.tuple(anyAddress, anyPort).map(([destination, port]): Packet => ({ destination, ...port })),
    (policies, clusterCIDRs, namespace, packet) => {
      const warnings = warningsOf('p', { clusterCIDRs, policies } as unknown as PolicyDocument);
      const idle = warnings.flatMap(({ pointer }) => policies[Number(/^\/policies\/(\d+)$/.exec(pointer)?.[1])] ?? []);
      warned += idle.length;
      warnedWithPorts += idle.filter(({ ports }) => ports).length;
      if (clusterCIDRs.some((range) => contains(range, packet.destination))) return;
      const deciding = matchFor(programFor(policies, { ...(namespace && { namespace }) }), packet);
      assert.ok(!idle.some(({ name }) => name === deciding?.policy), `${deciding?.policy} decides`);
    },
  );
  fc.assert(property, { numRuns: 500 });
  assert.ok(warned > 50 && warnedWithPorts > 20, 'the sample hardly has such policies');
});

test('who decides before a policy is said as it is found by comparing it with each other one', () => {
  let [alone, together] = [0, 0];
  const property = fc.property(
    fc.tuple(anyCrowd, fc.infiniteStream(anyPorts)).map(([policies, ports]) => withPorts(policies, ports)),
    fc.array(anyPrefix, { maxLength: 1 }),
    (policies, cluster) => {
      const hidersOf = hiders(policies);
      for (const policy of policies) {
        const expected = hidersByComparison(policy, policies, cluster);
        // Of a policy that fits no packet there is nothing to ask.
        if (expected?.length === 0) continue;
        assert.deepEqual(hidersOf(policy, cluster)?.map(nameOf), expected?.map(nameOf));
        if (expected?.length === 1) alone++;
        if ((expected?.length ?? 0) > 1) together++;
      }
    },
  );
  fc.assert(property, { numRuns: 2000 });
  assert.ok(alone > 500 && together > 50, `the sample hardly has such policies: ${alone}, ${together}`);
});

/** Many policies of few kinds: those of one kind differ in rank alone. */
const anyCrowd = fc
  .tuple(anyPolicies, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 2 })), { maxLength: 6 }))
  .map(([policies, copies]) => [
    ...policies,
    ...copies.flatMap(([index, priority], i) => {
      const policy = policies[index % policies.length];
      return policy === undefined ? [] : [{ ...policy, priority, name: `${i % 2 === 0 ? 'a' : 'z'}${i}` }];
    }),
  ]);

const nameOf = ({ name }: Policy) => name;

/** What {@link hiders} says, in the number of policies squared and more. Empty when nobody has to decide before it. */
function hidersByComparison(policy: Policy, policies: readonly Policy[], cluster: readonly Prefix[]) {
  const isIncluded = (globs: readonly string[], wider: readonly string[]) =>
    globs.every((inner) => wider.some((outer) => includesGlob(outer, inner)));
  const wider = policies.filter(
    (other) =>
      other !== policy &&
      !other.optIn &&
      isIncluded(policy.namespaces, other.namespaces) &&
      isIncluded(policy.pods, other.pods) &&
      other.except.every((range) => coverAll(policy.except, [range])),
  );
  const hide = (others: readonly Policy[]) => {
    const ranges = others.flatMap(({ ports }) => ports ?? []);
    const parts = policy.ports?.flatMap((range) => splitPortRange(range, ranges)) ?? [undefined];
    return parts.every((part) => {
      const holding = others.filter(({ ports }) => ports === undefined || (part && holdPorts(ports, part)));
      return policy.destinations.every((destination) => {
        const earlier = holding.flatMap((other) =>
          other.destinations.filter(
            (range) => byRank({ policy: other, destination: range }, { policy, destination }) < 0,
          ),
        );
        return coverAll([...earlier, ...policy.except, ...cluster], [destination]);
      });
    });
  };
  if (!hide(wider)) return undefined;
  if (hide([])) return [];
  const one = wider.find((other) => hide([other]));
  if (one !== undefined) return [one];
  return wider.reduce((kept, each) => {
    const others = kept.filter((other) => other !== each);
    return hide(others) ? others : kept;
  }, wider);
}

test('ten times the policies are compared with ten times as many others, not with a hundred times', () => {
  const compared = (count: number) => {
    let looks = 0;
    const policies = Array.from({ length: count }, (_, i): Policy => {
      const own = { name: `p${i}`, namespaces: ['default'], pods: ['*'], except: [], exit: 'drop', priority: 0 };
      const destinations = [`20.${i >> 8}.${i & 255}.0/24`];
      const name = () => {
        looks++;
        return `p${i}`;
      };
      return Object.defineProperty({ ...own, destinations }, 'name', { get: name });
    });
    const hidersOf = hiders(policies);
    for (const policy of policies) assert.equal(hidersOf(policy, []), undefined);
    return looks;
  };
  const few = compared(100);
  assert.ok(few > 0 && compared(1000) <= 11 * few);
});

const withPorts = (policies: readonly Policy[], ports: Iterator<readonly PortRange[] | undefined>): Policy[] =>
  policies.map((policy) => {
    const own = ports.next().value;
    return own === undefined ? policy : { ...policy, ports: own };
  });
