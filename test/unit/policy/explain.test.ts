import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { mergePortRanges } from '../../../src/base/port-range.ts';
import { decide, matchFor } from '../../../src/policy/decision.ts';
import { consider, considerMatches } from '../../../src/policy/explain.ts';
import { wishName } from '../../../src/policy/match.ts';
import type { Policy } from '../../../src/policy/policy.ts';
import { programFor, type Wishes } from '../../../src/policy/program.ts';
import type { Packet } from '../../../src/policy/terms.ts';
import { anyAddress, anyPolicies, anyPrefix } from './arbitraries.ts';

const policy = (name: string, changes: Partial<Policy> = {}): Policy => ({
  ...{ name, namespaces: ['*'], pods: ['*'], destinations: ['203.0.113.0/24'], except: [], exit: name, priority: 0 },
  ...changes,
});

const pod = { namespace: 'blue', name: 'web-0' };
const none: Wishes = { named: new Set() };
const packet: Packet = { destination: '203.0.113.9', protocol: 'udp', port: 5060 };

/** Policy and words, of each that was considered. */
const told = (policies: readonly Policy[], wishes = none, about = packet) =>
  consider(policies, pod, wishes, about).map(({ policy: name, words }) => [name, words]);

describe('of the policies', () => {
  test('one decides, and each other one says why it does not', () => {
    const policies = [
      policy('names', { namespaces: ['red', 'r*'], priority: 9 }),
      policy('pods', { pods: ['db-*'], priority: 8 }),
      policy('asked', { optIn: true, priority: 7 }),
      policy('six', { destinations: ['2001:db8::/32'], priority: 6 }),
      policy('elsewhere', { destinations: ['192.0.2.0/24'], priority: 5 }),
      policy('excepting', { except: ['203.0.113.8/29'], priority: 4 }),
      policy('ports', { ports: ['tcp', 'udp:53'], priority: 3 }),
      policy('this', { priority: 2 }),
      policy('that', { priority: 1 }),
    ];
    assert.deepEqual(told(policies), [
      ['elsewhere', 'none of its destinations holds this one'],
      ['excepting', 'it leaves 203.0.113.8/29 alone'],
      ['ports', 'it is for tcp, udp:53 only'],
      ['this', 'decides: 203.0.113.0/24 holds the destination'],
      ['that', '"this" decides before it: priority 2 is higher than 1'],
      ['six', 'it has no destinations of IPv4'],
      ['names', 'it is for the namespaces red, r*'],
      ['pods', 'it is for pods named db-*'],
      ['asked', 'the pod does not ask for it'],
    ]);
    assert.deepEqual(told(policies.toReversed()), told(policies));
  });

  test('that are for the packet the longer destination decides, and then the name', () => {
    const policies = [
      policy('wide', { destinations: ['203.0.0.0/16', '198.51.100.0/24'] }),
      policy('b', { destinations: ['0.0.0.0/0', '203.0.113.8/29'] }),
      policy('a', { destinations: ['203.0.113.8/29'] }),
    ];
    assert.deepEqual(told(policies), [
      ['a', 'decides: 203.0.113.8/29 holds the destination'],
      ['b', '"a" decides before it: its name sorts first'],
      ['wide', '"a" decides before it: 203.0.113.8/29 is longer than 203.0.0.0/16'],
    ]);
  });

  test('one that the pod asks for is in its place, and what it wishes for itself in its own', () => {
    const named = new Set(['asked']);
    const own = policy(wishName, { destinations: ['0.0.0.0/0', '::/0'], exit: 'own' });
    const policies = [policy('asked', { optIn: true, priority: 1 }), policy('plain')];
    assert.deepEqual(told(policies, { named, own }), [
      ['asked', 'decides: 203.0.113.0/24 holds the destination'],
      [wishName, '"asked" decides before it: what a pod asks for comes behind higher priorities and what is dropped'],
      ['plain', '"asked" decides before it: priority 1 is higher than 0'],
    ]);
    assert.deepEqual(told(policies, { named: new Set(), own })[1], [
      'plain',
      `"${wishName}" decides before it: the pod asks for it`,
    ]);
  });

  test('none decides about a packet that none is for', () => {
    const reasons = consider([policy('a'), policy('b')], pod, none, { destination: '192.0.2.1' });
    assert.deepEqual(
      reasons.map(({ reason }) => reason),
      ['destination', 'destination'],
    );
  });
});

const anyPacket: fc.Arbitrary<Packet> = fc.oneof(
  fc.record({ destination: anyAddress }),
  fc.record({ destination: anyAddress, protocol: fc.constant('icmp' as const) }),
  fc.record({ destination: anyAddress, protocol: fc.constantFrom('tcp', 'udp'), port: fc.constantFrom(25, 53, 5060) }),
);

const anyPorts = fc.constantFrom(undefined, undefined, ['tcp'], ['udp:53', 'icmp'], ['tcp:1-30', 'udp']);

/** As {@link anyPolicies}, some for ports, and some only for pods that ask for them. */
const anyKind: fc.Arbitrary<Policy[]> = anyPolicies.chain((policies) =>
  fc.tuple(...policies.map(() => fc.tuple(anyPorts, fc.boolean()))).map((traits) =>
    policies.map((plain, i) => {
      const [ports, optIn] = traits[i] ?? [];
      return { ...plain, ...(ports && { ports: mergePortRanges(ports) }), ...(optIn && { optIn: true as const }) };
    }),
  ),
);

const anyWishes: fc.Arbitrary<Wishes> = fc.record(
  {
    named: fc.subarray(['a', 'B', 'c', 'D', 'e']).map((names) => new Set(names)),
    own: fc
      .record({
        destinations: fc.constantFrom(['0.0.0.0/0', '::/0'], ['10.0.0.0/8']),
        priority: fc.constantFrom(0, 50),
        exit: fc.constantFrom('internet', 'node'),
      })
      .map((changes) => policy(wishName, changes)),
  },
  { requiredKeys: ['named'] },
);

test('what decides is what the pod’s program does, and the exit of a packet that nothing decides about is the node', () => {
  fc.assert(
    fc.property(anyKind, anyWishes, anyPacket, (policies, wishes, about) => {
      const program = programFor(policies, pod, wishes);
      const match = matchFor(program, about);
      const decisive = consider(policies, pod, wishes, about).filter(({ reason }) => reason === 'decides');
      assert.ok(decisive.length <= 1);
      assert.equal(decisive[0]?.exit ?? 'node', match?.exit ?? 'node');
      // Of what the node does anyway the program may say nothing.
      if (match !== undefined) assert.equal(decisive[0]?.policy, match.policy);
      const decision = decide({ matches: program, subnets: [] }, [], about);
      assert.equal(decision.by === 'match' ? decision.match : undefined, match);
      const fromProgram = considerMatches(program, about).filter(({ reason }) => reason === 'decides');
      assert.deepEqual(
        fromProgram.map(({ policy: name }) => name),
        match === undefined ? [] : [match.policy],
      );
    }),
  );
});

test('each policy is told of once, and the order of the list makes no difference', () => {
  fc.assert(
    fc.property(anyKind, anyWishes, anyPacket, (policies, wishes, about) => {
      const list = consider(policies, pod, wishes, about);
      const names = [...policies, ...(wishes.own ? [wishes.own] : [])].map(({ name }) => name);
      assert.deepEqual(list.map(({ policy: name }) => name).toSorted(), names.toSorted());
      assert.deepEqual(consider(policies.toReversed(), pod, wishes, about), list);
    }),
  );
});

test('ranges of the cluster and the pod’s own networks come before every match', () => {
  fc.assert(
    fc.property(anyPrefix, anyPrefix, anyPacket, (cluster, subnet, about) => {
      const matches = programFor([policy('all', { destinations: ['0.0.0.0/0', '::/0'] })], pod);
      const { by } = decide({ matches, subnets: [subnet] }, [cluster], about);
      const isIn = (range: string) => matchFor([{ ...matchesOf(range) }], about) !== undefined;
      assert.equal(by, isIn(cluster) ? 'cluster' : isIn(subnet) ? 'subnet' : 'match');
    }),
  );
});

const matchesOf = (range: string) => ({
  policy: 'range',
  family: range.includes(':') ? (6 as const) : (4 as const),
  destinations: [range],
  except: [],
  exit: 'x',
});
