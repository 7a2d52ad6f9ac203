import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EgressError } from '../../../src/base/errors.ts';
import { type Protocol, protocols } from '../../../src/base/port-range.ts';
import { matchFor } from '../../../src/policy/decision.ts';
import type { Exit } from '../../../src/policy/exit.ts';
import { type Pod, wishName } from '../../../src/policy/match.ts';
import type { Policy } from '../../../src/policy/policy.ts';
import { isFor, programFor } from '../../../src/policy/program.ts';
import { holdsAny } from '../../../src/policy/range-index.ts';
import type { Packet } from '../../../src/policy/terms.ts';
import { programOf, type Rules, wishesOf } from '../../../src/policy/wishes.ts';
import { anyAddress, anyPolicies, anyPrefix, policy } from './arbitraries.ts';

const exit = (name: string, ...annotationNamespaces: string[]): Exit => ({
  name,
  id: 1,
  gateways: [],
  interface: 'eth1',
  nextHops: {},
  addresses: [],
  annotationNamespaces,
  onUnavailable: 'drop',
});

const rules: Rules = {
  clusterCIDRs: ['10.0.0.0/16', '10.96.0.0/12', 'fd00:10::/32'],
  exits: [exit('internet', 'blue', 'test-*'), exit('partners', 'red'), exit('anybody', '*')],
  policies: [
    policy('lab', { optIn: true, namespaces: ['bl*'], exit: 'partners', destinations: ['192.0.2.0/24'] }),
    policy('web-only', { optIn: true, pods: ['web-*'] }),
    policy('red-only', { optIn: true, namespaces: ['red'] }),
    policy('given', { namespaces: ['blue'], exit: 'drop', destinations: ['198.51.100.0/24'] }),
  ],
};

type Annotations = NonNullable<Pod['annotations']>;

const blue = (annotations: Annotations): Pod => ({ namespace: 'blue', name: 'web-0', annotations });

/** What is answered to a pod: the code of the error and its message, or `accepted`. */
function answer(pod: Pod, given = rules): readonly string[] {
  try {
    programOf(given, pod);
    return ['accepted'];
  } catch (error) {
    assert.ok(error instanceof EgressError, String(error));
    return [error.code, error.message];
  }
}

describe('the annotation egress.cni/policy', () => {
  const named = (value: string, pod: Pod = {}) => [...wishesOf(rules, { ...blue({ policy: value }), ...pod }).named];

  test('gives a pod the opt-in policies that it names, and no others', () => {
    const names = (annotations: Annotations) => [
      ...new Set(programOf(rules, blue(annotations)).map(({ policy }) => policy)),
    ];
    assert.deepEqual(names({}), ['given']);
    assert.deepEqual(names({ policy: 'lab' }), ['given', 'lab']);
    assert.deepEqual(names({ policy: 'web-only, lab' }), ['given', 'lab', 'web-only']);
  });

  test('may have spaces around names, one name twice, and policies that the pod has anyway', () => {
    assert.deepEqual(named(' lab,web-only ,  lab,given'), ['lab', 'web-only', 'given']);
  });

  for (const value of ['', ' ', ',', 'lab,', ',lab', 'lab,,web-only', 'lab, ,web-only']) {
    test(`is not ${JSON.stringify(value)}`, () => {
      assert.deepEqual(answer(blue({ policy: value })), [
        'annotation-invalid',
        `Pod blue/web-0, annotation "egress.cni/policy": expected names of policies with commas between them, got ${JSON.stringify(value)}`,
      ]);
    });
  }

  test('names no policy that does not exist; of those open to the pod the nearest is shown', () => {
    assert.deepEqual(answer(blue({ policy: 'lab,web-olny' })), [
      'annotation-unknown',
      'Pod blue/web-0, annotation "egress.cni/policy": no policy is called "web-olny", did you mean "web-only"?',
    ]);
  });

  test('names no policy that is for pods of other namespaces, or of other names', () => {
    const refusal = 'Pod blue/web-0, annotation "egress.cni/policy": policy "red-only" is for other pods';
    assert.deepEqual(answer(blue({ policy: 'red-only' })), [
      'annotation-refused',
      `${refusal}, expected one of "lab", "web-only"`,
    ]);
    assert.deepEqual(answer({ ...blue({ policy: 'web-only' }), name: 'db-0' })[0], 'annotation-refused');
  });

  test('tells nobody the names of policies that are not for the pod', () => {
    const green = { ...blue({ policy: 'x' }), namespace: 'green', name: 'db' };
    assert.equal(
      answer(green)[1],
      'Pod green/db, annotation "egress.cni/policy": no policy is called "x", and none is open to this pod',
    );
  });

  test('of a pod whose namespace nobody tells names policies for all namespaces and pods alone', () => {
    const open = {
      clusterCIDRs: [],
      exits: [],
      policies: [policy('all', { optIn: true }), policy('some', { optIn: true, pods: ['?*'] })],
    };
    assert.deepEqual(answer({ annotations: { policy: 'all' } }, open), ['accepted']);
    assert.deepEqual(answer({ annotations: { policy: 'some' } }, open), [
      'annotation-refused',
      'A pod without a namespace, annotation "egress.cni/policy": policy "some" is for other pods, expected one of "all"',
    ]);
  });
});

describe('the annotation egress.cni/exit', () => {
  test('gives a pod that exit for everything that no administrator drops', () => {
    const program = programOf(rules, blue({ exit: 'internet' })).map(({ policy, destinations, exit }) => [
      policy,
      ...destinations,
      exit,
    ]);
    assert.deepEqual(program, [
      ['given', '198.51.100.0/24', 'drop'],
      [wishName, '0.0.0.0/0', 'internet'],
      [wishName, '::/0', 'internet'],
    ]);
  });

  test('is narrowed by destinations, except and ports, in canonical form', () => {
    const wish = {
      exit: 'internet',
      destinations: '203.0.113.7/24, 203.0.113.9,2001:DB8::/32',
      except: '203.0.113.9',
      ports: 'udp:53,tcp:80-90, tcp:85-443,icmp',
    };
    const { own } = wishesOf(rules, blue(wish));
    assert.deepEqual(own, {
      name: wishName,
      namespaces: ['*'],
      pods: ['*'],
      destinations: ['203.0.113.0/24', '2001:db8::/32'],
      except: ['203.0.113.9/32'],
      ports: ['icmp', 'tcp:80-443', 'udp:53'],
      exit: 'internet',
      priority: 0,
    });
  });

  test('comes behind policies of a priority above 0, and before all others', () => {
    const rank = (name: string, priority: number, destination: string) =>
      policy(name, { exit: 'partners', priority, destinations: [destination] });
    const policies = [rank('high', 1, '10.0.0.0/8'), rank('same', 0, '10.1.2.3/32'), rank('low', -1, '192.0.2.0/24')];
    const program = programOf({ ...rules, policies }, blue({ exit: 'internet', destinations: '10.0.0.0/7' }));
    assert.deepEqual(
      program.map(({ policy }) => policy),
      ['high', wishName, 'same', 'low'],
    );
  });

  const openings: readonly (readonly [string | undefined, string, string])[] = [
    ['blue', 'internet', 'accepted'],
    ['test-7', 'internet', 'accepted'],
    ['red', 'internet', 'annotation-refused'],
    ['blue', 'partners', 'annotation-refused'],
    ['anything', 'anybody', 'accepted'],
    [undefined, 'anybody', 'accepted'],
    [undefined, 'internet', 'annotation-refused'],
    ['blue', 'node', 'annotation-refused'],
    ['blue', 'drop', 'accepted'],
    [undefined, 'drop', 'accepted'],
    ['blue', 'intranet', 'annotation-unknown'],
  ];
  for (const [namespace, name, code] of openings) {
    test(`"${name}" is ${code} from a pod of ${namespace ?? 'no namespace'}`, () => {
      assert.equal(answer({ ...(namespace && { namespace }), annotations: { exit: name } })[0], code);
    });
  }

  /** Annotations → what is told about them. */
  const refusals: readonly (readonly [Annotations, string, string])[] = [
    [{ exit: '' }, 'annotation-invalid', '"egress.cni/exit": expected the name of one exit, got ""'],
    [
      { exit: 'internet,drop' },
      'annotation-invalid',
      '"egress.cni/exit": expected the name of one exit, got "internet,drop"',
    ],
    [
      { exit: 'internt' },
      'annotation-unknown',
      '"egress.cni/exit": no exit is called "internt", did you mean "internet"?',
    ],
    [
      { exit: 'partners' },
      'annotation-refused',
      '"egress.cni/exit": exit "partners" is not open to pods of namespace "blue" by its "annotationNamespaces", expected one of "drop", "internet", "anybody"',
    ],
    [
      { exit: 'drop', destinations: '203.0.113.0/33' },
      'annotation-invalid',
      '"egress.cni/destinations": expected address ranges like "203.0.113.0/24" with commas between them, got "203.0.113.0/33"',
    ],
    [
      { exit: 'drop', except: '203.0.113.0/24;10.0.0.0/8' },
      'annotation-invalid',
      '"egress.cni/except": expected address ranges like "203.0.113.0/24" with commas between them, got "203.0.113.0/24;10.0.0.0/8"',
    ],
    [
      { exit: 'drop', ports: 'tcp:443,https' },
      'annotation-invalid',
      '"egress.cni/ports": expected "tcp", "udp", "sctp" or "icmp", with or without ports, like "tcp:443, udp:5060-5061", with commas between them, got "https"',
    ],
    [
      { exit: 'drop', destinations: '10.0.0.0/8', except: '10.0.0.0/9,10.128.0.0/9' },
      'annotation-invalid',
      '"egress.cni/except": expected to leave some of the destinations, but it holds all of them',
    ],
    [
      { ports: 'tcp' },
      'annotation-invalid',
      '"egress.cni/ports": expected "egress.cni/exit" beside it, which says the exit, and found none',
    ],
  ];
  for (const [annotations, code, message] of refusals) {
    test(`is refused as ${code}: ${JSON.stringify(annotations)}`, () => {
      assert.deepEqual(answer(blue(annotations)), [code, `Pod blue/web-0, annotation ${message}`]);
    });
  }

  for (const part of ['destinations', 'except', 'ports']) {
    test(`must be there with egress.cni/${part}, which must not be empty`, () => {
      assert.equal(answer(blue({ [part]: 'x' }))[0], 'annotation-invalid');
      assert.equal(answer(blue({ exit: 'internet', [part]: '' }))[0], 'annotation-invalid');
      assert.equal(answer(blue({ exit: 'internet', [part]: ' , ' }))[0], 'annotation-invalid');
    });
  }
});

describe('annotations', () => {
  test('of other names under egress.cni/ are refused, with the nearest known one', () => {
    assert.deepEqual(answer(blue({ exit: '', exits: 'internet', zone: 'a' })), [
      'annotation-invalid',
      'Pod blue/web-0: egress knows no annotation "egress.cni/exits", did you mean "egress.cni/exit"?',
    ]);
    assert.match(
      answer(blue({ '': '' }))[1] ?? '',
      /no annotation "egress\.cni\/", expected one of "egress\.cni\/policy"/,
    );
  });

  test('are judged in one order: unknown ones, policy, exit, destinations, except, ports', () => {
    const all = ['a-key', 'policy', 'exit', 'destinations', 'except', 'ports'];
    const good: Annotations = {
      exit: 'internet',
      policy: 'lab',
      destinations: '203.0.113.9',
      except: '10.0.0.0/8',
      ports: 'tcp',
    };
    for (const [i, key] of all.entries()) {
      const bad = Object.fromEntries(all.slice(i).map((key) => [key, '']));
      assert.match(answer(blue({ ...good, ...bad }))[1] ?? '', new RegExp(`annotation "egress.cni/${key}"`), key);
    }
  });

  test('that are not there leave a pod as its policies have it', () => {
    const pod = { namespace: 'blue', name: 'web-0' };
    assert.deepEqual(programOf(rules, pod), programFor(rules.policies, pod));
    assert.deepEqual(wishesOf(rules, { ...pod, annotations: {} }), { named: new Set() });
  });

  test('of a length that nobody writes are answered with their beginning', () => {
    const long = 'x'.repeat(250_000);
    for (const annotations of [
      { policy: long },
      { exit: long },
      { exit: 'drop', destinations: long },
      { [long]: '' },
    ]) {
      const [, message = ''] = answer(blue(annotations));
      assert.ok(message.includes('xxx') && message.length < 500, message.slice(0, 600));
    }
  });

  test('with up to 256 ranges or ports are taken, and with more refused', () => {
    const ranges = Array.from({ length: 257 }, (_, i) => `2001:db8:${i.toString(16)}::/48`);
    const asked = (count: number) => blue({ exit: 'internet', destinations: ranges.slice(0, count).join() });
    assert.equal(programOf(rules, asked(256)).find(({ policy }) => policy === wishName)?.destinations.length, 256);
    assert.throws(
      () => wishesOf(rules, asked(257)),
      /annotation "egress.cni\/destinations": expected at most 256 items, got 257$/,
    );
  });
});

describe('a wish for nothing but ranges of the cluster', () => {
  const refusal = [
    'annotation-refused',
    'Pod blue/web-0, annotation "egress.cni/destinations": nothing is left of them outside of the cluster’s ranges, which are never steered',
  ];
  const asked = (destinations: string, wish: Annotations = {}, given = rules) =>
    answer(blue({ exit: 'internet', destinations, ...wish }), given);

  test('is refused, whether it is to leave by an exit or to be dropped', () => {
    assert.deepEqual(asked('10.0.7.0/24'), refusal);
    assert.deepEqual(asked('10.100.0.1, fd00:10:0:1::/64', { exit: 'drop' }), refusal);
    assert.deepEqual(asked('::ffff:10.0.7.0/120'), refusal);
    assert.deepEqual(asked('10.0.0.0/15', { except: '10.1.0.0/16' }), refusal);
  });

  test('and something else is accepted', () => {
    assert.deepEqual(asked('10.0.7.0/24,203.0.113.0/24'), ['accepted']);
    assert.deepEqual(asked('10.0.0.0/15'), ['accepted']);
  });

  test('is refused too when policies decide about the rest', () => {
    const sealed = policy('sealed', { exit: 'drop', destinations: ['10.1.0.0/16'] });
    assert.match(
      asked('10.0.0.0/15', {}, { ...rules, policies: [sealed] })[1] ?? '',
      /policy "sealed" decides about all/,
    );
  });
});

test('IPv4-mapped ranges of a wish are those of IPv4', () => {
  const { own } = wishesOf(rules, blue({ exit: 'internet', destinations: '::ffff:203.0.113.0/120' }));
  assert.deepEqual(own?.destinations, ['203.0.113.0/24']);
});

describe('a wish of which the policies leave nothing is refused', () => {
  const wanted = (wish: Annotations, ...policies: Policy[]) =>
    answer(blue({ exit: 'internet', ...wish }), { ...rules, policies });
  const refused = (names: string): readonly string[] => [
    'annotation-refused',
    `Pod blue/web-0, annotation "egress.cni/exit": ${names} about all that the pod wants to send by "internet"`,
  ];
  const range = { destinations: '203.0.113.0/24' };
  const halves = ['203.0.113.0/25', '203.0.113.128/25'];

  test('with the name of the policy that drops it', () => {
    assert.deepEqual(wanted({}, policy('sealed', { exit: 'drop', priority: -5 })), refused('policy "sealed" decides'));
    assert.deepEqual(
      wanted(range, policy('sealed', { exit: 'drop', destinations: ['203.0.0.0/16'] })),
      refused('policy "sealed" decides'),
    );
  });

  test('with the name of the policy of a higher priority that has another exit', () => {
    assert.deepEqual(
      wanted({}, policy('all', { exit: 'node', priority: 1 }), policy('b', { exit: 'drop' })),
      refused('policy "all" decides'),
    );
  });

  test('with the name of the first of several that together take it', () => {
    const parts = halves.map((half, i) => policy(`half-${i}`, { exit: 'drop', destinations: [half, '8.8.8.0/24'] }));
    assert.deepEqual(wanted(range, ...parts), refused('policy "half-0" and others decide'));
  });

  test('when each of its ports is taken', () => {
    const [mail, web] = [
      policy('mail', { exit: 'drop', ports: ['tcp:25'] }),
      policy('web', { exit: 'drop', ports: ['tcp:80-443'] }),
    ];
    assert.deepEqual(wanted({ ports: 'tcp:25,tcp:443' }, mail, web), refused('policy "mail" and others decide'));
    assert.deepEqual(wanted({ ports: 'tcp:25,tcp:444' }, mail, web), ['accepted']);
    assert.deepEqual(wanted({}, mail, web), ['accepted']);
  });

  test('and not when something is left: a family, an exception, a part of a range', () => {
    assert.deepEqual(wanted({}, policy('v4', { exit: 'drop', destinations: ['0.0.0.0/0'] })), ['accepted']);
    assert.deepEqual(wanted(range, policy('a', { exit: 'drop', except: ['203.0.113.7/32'] })), ['accepted']);
    assert.deepEqual(wanted(range, policy('a', { exit: 'drop', destinations: halves.slice(1) })), ['accepted']);
  });

  test('nor when what is left is what the pod excepts', () => {
    const sealed = policy('sealed', { exit: 'drop', except: ['203.0.113.7/32'] });
    assert.deepEqual(wanted({ ...range, except: '203.0.113.7' }, sealed), refused('policy "sealed" decides'));
  });

  test('nor when the pod asks to drop what is dropped anyway', () => {
    assert.deepEqual(wanted({ exit: 'drop' }, policy('sealed', { exit: 'drop' })), ['accepted']);
  });

  test('without going through the exceptions of a policy once more for each of its destinations', () => {
    let looks = 0;
    const thousand = (make: (i: number) => string) => Array.from({ length: 1000 }, (_, i) => make(i));
    const destinations = thousand((i) => `10.${i >> 8}.${i & 255}.0/24`);
    const except = thousand((i) => `10.${i >> 8}.${i & 255}.7/32`);
    const counted = {
      ...policy('wide', { exit: 'drop', destinations }),
      get except() {
        looks++;
        return except;
      },
    };
    assert.deepEqual(wanted({}, counted), ['accepted']);
    assert.ok(looks < 100, String(looks));
  });
});

const anyPorts = fc.constantFrom(undefined, undefined, ['tcp'], ['tcp:25', 'udp'], ['tcp:80-443'], ['icmp', 'tcp:443']);

const anyRules: fc.Arbitrary<Rules> = fc.record({
  clusterCIDRs: fc.array(anyPrefix, { maxLength: 2 }),
  exits: fc
    .tuple(
      ...['internet', 'partners'].map((name) =>
        fc.subarray(['blue', 'r?d', '*', 'none']).map((globs) => exit(name, ...globs)),
      ),
    )
    .map((exits) => [...exits]),
  policies: anyPolicies.chain((policies) =>
    fc.tuple(
      ...policies.map((each) =>
        fc.tuple(anyPorts, fc.boolean()).map(
          ([ports, optIn]): Policy => ({
            ...each,
            ...(ports && { ports }),
            ...(optIn && { optIn: true }),
          }),
        ),
      ),
    ),
  ),
});

const anyAnnotations = fc.record(
  {
    policy: fc.subarray(['a', 'B', 'c', 'D', 'e', 'f-1', 'f.1'], { minLength: 1, maxLength: 2 }).map(String),
    exit: fc.constantFrom('internet', 'internet', 'partners', 'drop', 'node'),
    destinations: fc.array(anyPrefix, { minLength: 1, maxLength: 3 }).map(String),
    except: fc.array(anyPrefix, { minLength: 1, maxLength: 2 }).map(String),
    ports: fc.constantFrom('tcp', 'tcp:25', 'tcp:80-443,udp:53', 'icmp'),
  },
  { requiredKeys: ['exit'] },
);

const anyWishingPod = fc.record({
  namespace: fc.constantFrom('blue', 'red', 'green'),
  name: fc.constantFrom('web-0', 'web-12'),
  annotations: anyAnnotations,
});

const anyPacket: fc.Arbitrary<Packet> = fc.record({
  destination: anyAddress,
  protocol: fc.constantFrom<Protocol>(...protocols),
  port: fc.constantFrom(25, 53, 80, 443, 8080),
});

const exitOf = (program: ReturnType<typeof programOf>, packet: Packet): string =>
  matchFor(program, packet)?.exit ?? 'node';

/** Calls back for what is not refused, with several packets each; says how often something was not refused. */
function forAllAccepted(
  check: (rules: Rules, pod: Required<Omit<Pod, 'uid' | 'labels'>>, packet: Packet) => void,
): number {
  let accepted = 0;
  const packets = fc.array(anyPacket, { minLength: 8, maxLength: 8 });
  const property = fc.property(anyRules, anyWishingPod, packets, (rules, pod, packets) => {
    if (answer(pod, rules)[0] !== 'accepted') return;
    accepted++;
    for (const packet of packets) check(rules, pod as Required<Omit<Pod, 'uid' | 'labels'>>, packet);
  });
  fc.assert(property, { numRuns: 2000 });
  return accepted;
}

/** What a pod gets that names the same policies, and has no wish. */
function withoutWish(rules: Rules, { annotations: { policy: names }, ...pod }: Required<Omit<Pod, 'uid' | 'labels'>>) {
  return programOf(rules, { ...pod, annotations: names === undefined ? {} : { policy: names } });
}

describe('for all policies, exits, pods and wishes', () => {
  test('what is dropped without a wish is dropped with it', () => {
    let dropped = 0;
    const accepted = forAllAccepted((rules, pod, packet) => {
      if (exitOf(withoutWish(rules, pod), packet) !== 'drop') return;
      dropped++;
      assert.equal(exitOf(programOf(rules, pod), packet), 'drop');
    });
    assert.ok(accepted > 200 && dropped > 5, `${accepted} accepted, ${dropped} dropped`);
  });

  test('a policy of a higher priority than 0 decides as without a wish', () => {
    let decided = 0;
    forAllAccepted((rules, pod, packet) => {
      const match = matchFor(withoutWish(rules, pod), packet);
      const decider = rules.policies.find(({ name }) => name === match?.policy);
      if (decider === undefined || decider.priority <= 0) return;
      decided++;
      assert.equal(matchFor(programOf(rules, pod), packet)?.policy, decider.name);
    });
    assert.ok(decided > 5, String(decided));
  });

  test('a wish never has an exit that is not open to the namespace', () => {
    forAllAccepted((rules, pod) => {
      const { own } = wishesOf(rules, pod);
      if (own?.exit === 'drop') return;
      const wished = rules.exits.find(({ name }) => name === own?.exit);
      assert.ok(
        wished?.annotationNamespaces.some(
          (glob) => glob === '*' || glob === pod.namespace || (glob === 'r?d' && pod.namespace === 'red'),
        ),
      );
    });
  });

  test('a pod has no policy that is not for it, and no opt-in policy that it does not name', () => {
    forAllAccepted((rules, pod) => {
      const names = pod.annotations.policy?.split(',') ?? [];
      for (const { policy: name } of programOf(rules, pod)) {
        if (name === wishName) continue;
        const policy = rules.policies.find((each) => each.name === name);
        assert.ok(policy && isFor(policy, pod) && (!policy.optIn || names.includes(name)), name);
      }
    });
  });

  test('packets outside of the wish are decided as without it', () => {
    let outside = 0;
    forAllAccepted((rules, pod, packet) => {
      const { own } = wishesOf(rules, pod);
      assert.ok(own);
      const alone = programFor([], pod, { named: new Set(), own });
      if (matchFor(alone, packet) !== undefined) return;
      outside++;
      assert.equal(exitOf(programOf(rules, pod), packet), exitOf(withoutWish(rules, pod), packet));
    });
    assert.ok(outside > 50, String(outside));
  });

  test('a wish that is accepted decides about some packet, and one that is refused for its effect about none', () => {
    const property = fc.property(anyRules, anyWishingPod, anyPacket, (rules, pod, packet) => {
      if (holdsAny(rules.clusterCIDRs, packet.destination)) return; // no program is asked about it
      const [code, message] = answer(pod, rules);
      if (code !== 'annotation-refused' || !message?.includes('about all that')) return;
      const wishes = wishesOf(rules, pod);
      assert.notEqual(matchFor(programFor(rules.policies, pod, wishes), packet)?.policy, wishName);
    });
    fc.assert(property, { numRuns: 2000 });
  });
});
