import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { NodeState, SteeredAttachment } from '../../../src/datapath/attachment.ts';
import { desired } from '../../../src/datapath/desired.ts';
import { difference, keyOf } from '../../../src/datapath/difference.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import { needsOf } from '../../../src/datapath/needs.ts';
import { printChanges } from '../../../src/datapath/print.ts';
import { slotsOf } from '../../../src/datapath/slots.ts';
import type { Match } from '../../../src/policy/match.ts';
import { FakeKernel } from '../support/fake-kernel.ts';
import { anySituation } from './arbitraries.ts';
import { attachment, node, remote, tunnel } from './samples.ts';

const golden = (name: string) => readFileSync(new URL(`golden/${name}.txt`, import.meta.url), 'utf8');

const lines = (text: string, part: RegExp) => text.split('\n').filter((line) => part.test(line));

/** The commands that an attachment takes on a node where others are set up already. */
const commands = (steered: SteeredAttachment, ...others: readonly SteeredAttachment[]) =>
  commandsOn(node, steered, ...others);

function commandsOn(node: NodeState, steered: SteeredAttachment, ...others: readonly SteeredAttachment[]): string {
  const kernel = new FakeKernel();
  const missing = (one: SteeredAttachment) =>
    difference(desired(node, needsOf(node, one)), kernel.observe(node, needsOf(node, one), true));
  for (const other of others) kernel.apply(missing(other));
  return printChanges(missing(steered));
}

const everywhere = (exit: string): Match[] => [
  { policy: 'p', family: 4, destinations: ['0.0.0.0/0'], except: [], exit },
  { policy: 'p', family: 6, destinations: ['::/0'], except: [], exit },
];

/** One that no exit is set up for. */
const first = attachment({
  mark: 'pods/first/eth0',
  addresses: ['10.0.0.9'],
  program: 'program-0',
  matches: everywhere('drop'),
});

describe('a pod with ports of its own takes a chain for each of its addresses, and elements that lead there,', () => {
  const block = { first: 1024, last: 2047 };

  test('on an exit that leaves from here', () => {
    const pod = attachment({ ports: [{ exit: 'partners', ...block }] });
    assert.equal(
      lines(commands(pod, attachment({ mark: 'pods/other/eth0', addresses: ['10.0.0.7'] })), /ports/).join('\n'),
      golden('own-ports').trimEnd(),
    );
  });

  test('and through the tunnel, where they keep their address', () => {
    const through = { ...node, tunnel, exits: [remote] };
    const [ports, matches] = [[{ exit: 'remote', ...block }], everywhere('remote')];
    const text = commandsOn(
      through,
      attachment({ matches, ports }),
      attachment({ matches, mark: 'o', addresses: ['10.0.0.7'] }),
    );
    assert.equal(lines(text, /ports/).join('\n'), golden('own-ports-tunnel').trimEnd());
  });
});

test('the first attachment on a node takes all that steers it by its exit', () => {
  assert.equal(commands(attachment()), golden('dual-stack'));
});

describe('a further attachment takes', () => {
  test('nothing but its elements when it shares a program', () => {
    assert.equal(
      commands(attachment({ mark: 'pods/other/eth0', addresses: ['10.0.0.7', 'fd00::7'] }), attachment()),
      golden('shared'),
    );
  });

  test('nothing when it is set up', () => {
    assert.equal(commands(attachment(), attachment()), '');
  });

  test('its exit, and a verdict to drop the family that the exit lacks', () => {
    assert.equal(commands(attachment({ matches: everywhere('backup') }), first), golden('ipv4-only'));
  });

  test('no routing at all when its policies only drop, or leave it to the node', () => {
    const matches: Match[] = [
      { policy: 'own', family: 4, destinations: ['198.51.100.0/24'], except: [], exit: 'node' },
      ...everywhere('drop'),
    ];
    assert.equal(commands(attachment({ matches }), first), golden('built-in'));
  });

  test('a chain at its interface when its packets are checked there', () => {
    const sources = { devices: ['veth1234'], others: ['192.0.2.64/26', '2001:db8:77::/48'] };
    assert.equal(commands(attachment({ matches: everywhere('drop'), sources }), first), golden('sources'));
  });

  test('a mark at its interface, and a table for what nothing judges, on a node that knows which ranges no program steers', () => {
    const sources = { devices: ['veth1234'], others: ['192.0.2.64/26'] };
    const marking = { ...node, spared: ['10.0.0.0/16', 'fe80::/10'] };
    const pod = attachment({ matches: everywhere('drop'), addresses: ['10.0.0.174'], sources });
    const text = commandsOn(marking, pod, first);
    assert.equal(`${lines(text, /^(ip|tc) |from-veth1234/).join('\n')}\n`, golden('marked'));
  });

  test('sets for exceptions, and for the networks of the pod', () => {
    const matches: Match[] = [
      {
        policy: 'p',
        family: 4,
        destinations: ['203.0.113.0/25', '203.0.113.128/25'],
        except: ['203.0.113.9/32', '203.0.113.64/26'],
        exit: 'backup',
      },
      { policy: 'p', family: 4, destinations: ['0.0.0.0/0'], except: ['192.0.2.0/24'], exit: 'drop' },
    ];
    const subnets = ['192.168.7.0/24', 'fd07::/64'];
    assert.equal(commands(attachment({ addresses: ['192.168.7.9'], subnets, matches }), first), golden('ranges'));
  });
});

describe('an exit', () => {
  const matches = everywhere('special');
  const commandsFor = (exit: Omit<ResolvedExit, 'name' | 'id'>) =>
    commandsOn({ ...node, tunnel, exits: [{ name: 'special', id: 11, ...exit }] }, attachment({ matches }));

  test('with a next hop reaches the networks of its interface without it', () => {
    const ways = [
      { family: 4, addresses: ['192.168.0.245'], via: '192.168.0.1', networks: ['10.9.0.0/16', '192.168.0.0/24'] },
    ] as const;
    assert.deepEqual(lines(commandsFor({ device: 'eth1', ways }), / route replace /), [
      'ip route replace default via 192.168.0.1 dev eth1 table 500011 metric 1024',
      'ip route replace 10.9.0.0/16 dev eth1 table 500011 metric 1024',
      'ip route replace 192.168.0.0/24 dev eth1 table 500011 metric 1024',
      'ip route replace unreachable default table 500011 metric 4294967295',
    ]);
  });

  test('that falls back to the node has no last route, and its id in the set of those', () => {
    const ways = [{ family: 4, addresses: ['192.168.0.245'] }] as const;
    const text = commandsFor({ device: 'eth1', ways, onUnavailable: 'node' });
    assert.deepEqual(lines(text, / route replace /), ['ip route replace default dev eth1 table 500011 metric 1024']);
    assert.deepEqual(lines(text, /element .* fallback/), ['add element inet cni-egress fallback { 0x0000000b }']);
    assert.deepEqual(lines(commandsFor({ device: 'eth1', ways }), /element .* fallback/), []);
  });

  test('through the tunnel leads to its gateway, and keeps the pods’ addresses', () => {
    const text = commandsFor({
      ...{ device: 'egress0', gateway: '172.18.0.6' },
      ways: [
        { family: 4, addresses: ['192.0.2.50'] },
        { family: 6, addresses: ['2001:db8:50::1'] },
      ],
    });
    assert.deepEqual(lines(text, / route replace /), [
      'ip route replace unreachable default table 500011 metric 4294967295',
      'ip -6 route replace unreachable default table 500011 metric 4294967295',
      'ip route replace default via 172.18.0.6 dev egress0 onlink table 500011 metric 1024',
      'ip -6 route replace default via fe80::e6:acff:fe12:6 dev egress0 onlink table 500011 metric 1024',
    ]);
    assert.deepEqual(lines(text, /element .* (tunnels|snat|lanes)/), [
      'add element inet cni-egress tunnels { 0x0000000b }',
    ]);
    assert.deepEqual(lines(text, /rule netdev .* sent-egress0/), [
      'add rule netdev cni-egress sent-egress0 ip frag-off & 8191 == 0 meta mark & 0x00003fff . oifname @sent return',
      'add rule netdev cni-egress sent-egress0 frag frag-off != 0 return',
      'add rule netdev cni-egress sent-egress0 meta protocol ip6 meta mark & 0x00003fff . oifname @sent',
    ]);
  });

  test('over IPv6 has a next hop of IPv6 for packets of IPv4', () => {
    const text = commandsFor({
      ...{ device: 'egress0', gateway: 'fd00:18::6' },
      ways: [{ family: 4, addresses: ['192.0.2.50'] }],
    });
    assert.match(
      lines(text, / route replace .* dev/)[0] ?? '',
      /^ip route replace default via inet6 fe80::\S+ dev egress0 onlink /,
    );
  });
});

describe('an exit with several addresses', () => {
  const four = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
  const six = ['2001:db8::1', '2001:db8::2'];
  const exit = (changes: Partial<ResolvedExit> = {}): ResolvedExit => ({
    ...{ name: 'special', id: 11, device: 'eth1' },
    ways: [
      { family: 4, addresses: four },
      { family: 6, addresses: six },
    ],
    ...changes,
  });
  const on = (one: ResolvedExit): NodeState => ({ ...node, tunnel, exits: [one] });
  const steered = attachment({ matches: everywhere('special') });
  const slotElement = / element .* exit-11-(slots|flows)/;
  const linesOf = (one: ResolvedExit) => commandsOn(on(one), steered).split('\n');
  const own = (one: ResolvedExit) =>
    linesOf(one).filter(
      (line) =>
        /exit-11-|element .* (snat|lanes|spread)/.test(line) &&
        !/exit-11-(returns|local)/.test(line) &&
        !slotElement.test(line),
    );

  test('has a chain of its own that gives each pod the address of its slot', () => {
    assert.deepEqual(own(exit()), [
      'add map inet cni-egress exit-11-slots4 { type ipv4_addr : ipv4_addr; }',
      'add map inet cni-egress exit-11-slots6 { type ipv6_addr : ipv6_addr; }',
      'add chain inet cni-egress exit-11-snat',
      'add rule inet cni-egress exit-11-snat snat ip to ip saddr & 0.0.0.63 map @exit-11-slots4',
      'add rule inet cni-egress exit-11-snat snat ip6 to ip6 saddr & ::3f map @exit-11-slots6',
      ...four.map((address) => `add element inet cni-egress lanes4 { 0x0000000b . "eth1" . ${address} }`),
      ...six.map((address) => `add element inet cni-egress lanes6 { 0x0000000b . "eth1" . ${address} }`),
      'add element inet cni-egress spread { 0x0000000b . "eth1" : jump exit-11-snat }',
    ]);
    const slots = slotsOf(four).map(
      (address, slot) => `add element inet cni-egress exit-11-slots4 { 0.0.0.${slot} : ${address} }`,
    );
    assert.deepEqual(
      linesOf(exit()).filter((line) => line.includes('element inet cni-egress exit-11-slots4')),
      slots,
    );
  });

  test('can give each connection the address of its source port', () => {
    const perFlow = exit({ addressPerFlow: true });
    assert.deepEqual(
      own(perFlow).filter((line) => line.includes('exit-11-')),
      [
        'add map inet cni-egress exit-11-flows4 { type inet_service : ipv4_addr; }',
        'add map inet cni-egress exit-11-flows6 { type inet_service : ipv6_addr; }',
        'add chain inet cni-egress exit-11-snat',
        'add rule inet cni-egress exit-11-snat snat ip to th sport & 63 map @exit-11-flows4',
        'add rule inet cni-egress exit-11-snat snat ip6 to th sport & 63 map @exit-11-flows6',
        'add element inet cni-egress spread { 0x0000000b . "eth1" : jump exit-11-snat }',
      ],
    );
    const slots = slotsOf(six).map(
      (address, slot) => `add element inet cni-egress exit-11-flows6 { ${slot} : ${address} }`,
    );
    assert.deepEqual(
      linesOf(perFlow).filter((line) => line.includes('element inet cni-egress exit-11-flows6')),
      slots,
    );
  });

  test('of one family has the address of the other in the map of all exits', () => {
    const ways = [
      { family: 4, addresses: four.slice(0, 1) },
      { family: 6, addresses: six },
    ] as const;
    assert.deepEqual(
      own(exit({ ways })).filter((line) => /snat/.test(line)),
      [
        'add chain inet cni-egress exit-11-snat',
        'add rule inet cni-egress exit-11-snat snat ip6 to ip6 saddr & ::3f map @exit-11-slots6',
        'add element inet cni-egress snat4 { 0x0000000b . "eth1" : 192.0.2.1 }',
        'add element inet cni-egress spread { 0x0000000b . "eth1" : jump exit-11-snat }',
      ],
    );
  });

  test('has nothing of all this on a node whose packets leave by a gateway', () => {
    assert.deepEqual(own(exit({ device: 'egress0', gateway: '172.18.0.6' })), []);
  });

  test('becomes any other with the same id in one step, and nothing of the first is left', () => {
    const anyWays = fc.record({
      ways: fc
        .tuple(fc.subarray(four, { minLength: 1 }), fc.subarray(six))
        .map(([addresses, others]) => [
          { family: 4 as const, addresses },
          ...(others.length > 0 ? [{ family: 6 as const, addresses: others }] : []),
        ]),
      addressPerFlow: fc.constantFrom(undefined, true as const),
      gateway: fc.constantFrom(undefined, '172.18.0.6'),
    });
    fc.assert(
      fc.property(anyWays, anyWays, (first, second) => {
        const [before, after] = [first, second].map(({ ways, addressPerFlow, gateway }) =>
          exit({
            ...{ ways, device: gateway ? 'egress0' : 'eth1' },
            ...(addressPerFlow && { addressPerFlow }),
            ...(gateway && { gateway }),
          }),
        );
        assert.ok(before && after);
        const [changed, fresh] = [new FakeKernel(), new FakeKernel()];
        for (const [kernel, one] of [[changed, before] as const, [changed, after] as const, [fresh, after] as const]) {
          const needs = { ...needsOf(on(one), steered), tunnel };
          kernel.apply(difference(desired(on(one), needs), kernel.observe(on(one), needs, true)));
        }
        const ofExit = (kernel: FakeKernel) =>
          kernel
            .contents()
            .map((object) => JSON.stringify(object))
            .filter((text) => /exit-11|spread|snat|lanes/.test(text))
            .toSorted();
        assert.deepEqual(ofExit(changed), ofExit(fresh));
      }),
    );
  });
});

describe('what is desired', () => {
  test('can be written at once: nothing is named before it is there', () => {
    fc.assert(
      fc.property(anySituation, ({ node, attachments }) => {
        for (const attachment of attachments)
          new FakeKernel().apply(difference(desired(node, needsOf(node, attachment)), []));
      }),
    );
  });

  test('has no two objects of one key', () => {
    fc.assert(
      fc.property(anySituation, ({ node, attachments }) => {
        const keys = desired(node, needsOf(node, attachments[0] ?? attachment())).map(keyOf);
        assert.deepEqual(keys, [...new Set(keys)]);
      }),
    );
  });
});

test('the highest bit of the mark may be ours', () => {
  assert.doesNotThrow(() => desired({ ...node, fwmark: 0x80000000 }, needsOf(node, attachment())));
});
