import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Address, contains, familyOf, type Prefix, prefixLength } from '../../../src/base/address.ts';
import type { Program } from '../../../src/policy/match.ts';
import type { Policy } from '../../../src/policy/policy.ts';
import { withoutNested } from '../../../src/policy/prefixes.ts';
import { programName as nameOf, programDigest, programFor } from '../../../src/policy/program.ts';
import { anyAddress, anyPolicies, policy } from './arbitraries.ts';

const pod = { namespace: 'blue', name: 'web' };

/** A program as lines to read. */
const shown = (program: Program): string[] =>
  program.map(
    ({ policy, destinations, except, exit }) =>
      `${policy}: ${destinations.join(' ')}${except.length > 0 ? ` except ${except.join(' ')}` : ''} → ${exit}`,
  );

const programOf = (...policies: Policy[]): string[] => shown(programFor(policies, pod));

describe('which policies a pod gets', () => {
  test('those with a glob that fits its namespace', () => {
    const policies = [
      policy('blue', { namespaces: ['red', 'bl*'], destinations: ['192.0.2.1/32'] }),
      policy('red', { namespaces: ['red'], destinations: ['192.0.2.2/32'] }),
    ];
    assert.deepEqual(programOf(...policies), ['blue: 192.0.2.1/32 → internet']);
  });

  test('of those only the ones with a glob that fits its name', () => {
    const policies = [
      policy('web', { pods: ['db-?', 'w*b'], destinations: ['192.0.2.1/32'] }),
      policy('db', { pods: ['db-?', 'we'], destinations: ['192.0.2.2/32'] }),
      policy('red', { namespaces: ['red'], pods: ['web'], destinations: ['192.0.2.3/32'] }),
    ];
    assert.deepEqual(programOf(...policies), ['web: 192.0.2.1/32 → internet']);
  });

  test('only those for all namespaces and pods, when the runtime names neither', () => {
    const policies = [
      policy('all', { destinations: ['192.0.2.1/32'] }),
      policy('some', { namespaces: ['b*', '?*'], destinations: ['192.0.2.2/32'] }),
      policy('pods', { pods: ['w*', '?*'], destinations: ['192.0.2.3/32'] }),
    ];
    assert.deepEqual(shown(programFor(policies, {})), ['all: 192.0.2.1/32 → internet']);
  });

  test('none: the program is empty', () =>
    assert.deepEqual(programFor([policy('red', { namespaces: ['red'] })], pod), []));
});

describe('the order of matches', () => {
  test('is by priority, then by length of the destination, then by name, IPv4 before IPv6', () => {
    assert.deepEqual(
      programOf(
        policy('b', { destinations: ['10.0.0.0/8', 'fd00::/8'] }),
        policy('a', { destinations: ['11.0.0.0/8', 'fd00:1::/32'], exit: 'partners' }),
        policy('long', { destinations: ['10.1.0.0/16'], exit: 'drop' }),
        policy('high', { destinations: ['12.0.0.0/7'], exit: 'drop', priority: 1 }),
      ),
      [
        'high: 12.0.0.0/7 → drop',
        'long: 10.1.0.0/16 → drop',
        'a: 11.0.0.0/8 → partners',
        'b: 10.0.0.0/8 → internet',
        'a: fd00:1::/32 → partners',
        'b: fd00::/8 → internet',
      ],
    );
  });

  test('puts upper-case names before lower-case ones: by character codes, not by language', () => {
    const destinations = ['10.0.0.0/8'];
    assert.deepEqual(programOf(policy('a', { destinations }), policy('B', { destinations })), [
      'B: 10.0.0.0/8 → internet',
      'a: 10.0.0.0/8 → internet',
    ]);
  });

  test('splits a policy where another one comes between', () => {
    assert.deepEqual(
      programOf(
        policy('a', { destinations: ['10.0.0.0/8', '10.1.1.0/24', '11.0.0.0/8'] }),
        policy('b', { destinations: ['10.1.0.0/16'], exit: 'drop' }),
      ),
      ['a: 10.1.1.0/24 → internet', 'b: 10.1.0.0/16 → drop', 'a: 10.0.0.0/8 11.0.0.0/8 → internet'],
    );
  });

  test('keeps a nested destination that another policy would take over', () => {
    assert.deepEqual(
      programOf(
        policy('a', { destinations: ['10.0.0.0/8', '10.1.0.0/16'] }),
        policy('b', { destinations: ['10.1.0.0/16'], exit: 'drop' }),
      ),
      ['a: 10.1.0.0/16 → internet', 'b: 10.1.0.0/16 → drop', 'a: 10.0.0.0/8 → internet'],
    );
  });

  test('makes one match of a policy with 10,000 destinations of several lengths', () => {
    const destinations = Array.from(
      { length: 10_000 },
      (_, i) => `10.${i >> 8}.${i & 255}.${i % 2 ? '0/24' : '128/25'}`,
    );
    const program = programFor([policy('a', { destinations })], pod);
    assert.deepEqual(
      program.map((match) => match.destinations.length),
      [10_000],
    );
  });
});

describe('a family', () => {
  test('that no destination has gets no match', () => {
    assert.deepEqual(programOf(policy('a', { destinations: ['10.0.0.0/8'], except: ['fd00::/8', '10.1.0.0/16'] })), [
      'a: 10.0.0.0/8 except 10.1.0.0/16 → internet',
    ]);
  });
});

describe('matches that change nothing', () => {
  test('are left out behind one that takes everything', () => {
    assert.deepEqual(programOf(policy('a', { exit: 'drop', priority: 1 }), policy('b')), [
      'a: 0.0.0.0/0 → drop',
      'a: ::/0 → drop',
    ]);
  });

  test('stay behind one that takes everything but some', () => {
    assert.deepEqual(
      programOf(policy('a', { exit: 'drop', priority: 1, except: ['10.0.0.0/8', 'fd00::/8'] }), policy('b')),
      [
        'a: 0.0.0.0/0 except 10.0.0.0/8 → drop',
        'b: 0.0.0.0/0 → internet',
        'a: ::/0 except fd00::/8 → drop',
        'b: ::/0 → internet',
      ],
    );
  });

  test('are left out at the end of each family when they say what happens anyway', () => {
    assert.deepEqual(
      programOf(
        policy('a', { destinations: ['10.1.0.0/16'], exit: 'node' }),
        policy('b', { destinations: ['10.0.0.0/8'] }),
        policy('c', { exit: 'node' }),
        policy('d', { destinations: ['11.0.0.0/8', 'fd00::/8'], exit: 'node', priority: -1 }),
      ),
      ['a: 10.1.0.0/16 → node', 'b: 10.0.0.0/8 → internet'],
    );
  });
});

/** The rule as the documentation says it, tried on one destination. */
function exitByRule(
  policies: readonly Policy[],
  pod: { namespace: string; name: string },
  destination: Address,
): string {
  const fits = (globs: readonly string[], text: string) =>
    globs.some((glob) => new RegExp(`^${glob.replace('*', '.*')}$`).test(text));
  const candidates = policies
    .filter(({ namespaces, pods }) => fits(namespaces, pod.namespace) && fits(pods, pod.name))
    .filter(({ except }) => !except.some((range) => contains(range, destination)))
    .flatMap((policy) => policy.destinations.map((prefix) => ({ policy, prefix })))
    .filter(({ prefix }) => contains(prefix, destination));
  const winner = candidates.reduce<(typeof candidates)[number] | undefined>((best, next) => {
    if (best === undefined || next.policy.priority > best.policy.priority) return next;
    if (next.policy.priority < best.policy.priority) return best;
    if (prefixLength(next.prefix) !== prefixLength(best.prefix))
      return prefixLength(next.prefix) > prefixLength(best.prefix) ? next : best;
    return next.policy.name < best.policy.name ? next : best;
  }, undefined);
  return winner?.policy.exit ?? 'node';
}

/** What the kernel does with a program. */
const exitByProgram = (program: Program, destination: Address): string =>
  program.find(
    ({ family, destinations, except }) =>
      family === familyOf(destination) &&
      destinations.some((range) => contains(range, destination)) &&
      !except.some((range) => contains(range, destination)),
  )?.exit ?? 'node';

const anyPod = fc.record({
  namespace: fc.constantFrom('blue', 'red', 'green'),
  name: fc.constantFrom('web-0', 'web-12'),
});

describe('for all policies', () => {
  test('the first match that fits has the exit that the documented order gives', () => {
    fc.assert(
      fc.property(anyPolicies, anyPod, anyAddress, (policies, pod, destination) => {
        const program = programFor(policies, pod);
        assert.equal(exitByProgram(program, destination), exitByRule(policies, pod, destination));
      }),
      { numRuns: 3000 },
    );
  });

  test('the order in the configuration does not matter', () => {
    fc.assert(
      fc.property(anyPolicies, anyPod, (policies, pod) => {
        assert.deepEqual(programFor(policies.toReversed(), pod), programFor(policies, pod));
      }),
    );
  });

  test('a match has destinations and exceptions of its family alone, none inside another', () => {
    fc.assert(
      fc.property(anyPolicies, anyPod, (policies, pod) => {
        for (const { family, destinations, except } of programFor(policies, pod)) {
          assert.notEqual(destinations.length, 0);
          assert.ok([...destinations, ...except].every((range) => familyOf(range) === family));
          assert.deepEqual([withoutNested(destinations), withoutNested(except)], [destinations, except]);
        }
      }),
    );
  });
});

describe('the name of a program', () => {
  const programName = (program: Program, subnets: readonly Prefix[]) => nameOf(programDigest(program), subnets);
  const program = programFor([policy('a', { destinations: ['10.0.0.0/8'] })], pod);

  test('stays the same in every release: running pods use chains of that name', () => {
    assert.equal(programName(program, ['10.0.0.0/24']), 'program-e41fb2384485fce525acecfb88e9758d60e7b2f7');
  });

  test('does not depend on the names of policies, nor on the order of the subnets', () => {
    const renamed = programFor([policy('b', { destinations: ['10.0.0.0/8'] })], pod);
    assert.equal(
      programName(renamed, ['fd00::/64', '10.0.0.0/24']),
      programName(program, ['10.0.0.0/24', 'fd00::/64']),
    );
  });

  test('differs when anything else differs', () => {
    const others = [
      policy('a', { destinations: ['11.0.0.0/8'] }),
      policy('a', { destinations: ['10.0.0.0/8'], except: ['10.1.0.0/16'] }),
      policy('a', { destinations: ['10.0.0.0/8'], exit: 'drop' }),
      policy('a', { destinations: ['10.0.0.0/8', 'fd00::/8'] }),
    ].map((other) => programName(programFor([other], pod), []));
    // A member that matches do not have yet.
    const later = [46, 8].map((dscp) => programName(program.map((match) => ({ ...match, dscp })) as Program, []));
    const names = [programName(program, []), programName(program, ['10.0.0.0/24']), ...others, ...later];
    assert.equal(new Set(names).size, names.length);
  });
});
