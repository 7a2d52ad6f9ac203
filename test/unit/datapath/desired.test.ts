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
import type { Match } from '../../../src/policy/match.ts';
import { FakeKernel } from '../support/fake-kernel.ts';
import { anySituation } from './arbitraries.ts';
import { attachment, node, tunnel } from './samples.ts';

const golden = (name: string) => readFileSync(new URL(`golden/${name}.txt`, import.meta.url), 'utf8');

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
  const lines = (text: string, part: RegExp) => text.split('\n').filter((line) => part.test(line));

  test('with a next hop reaches the networks of its interface without it', () => {
    const ways = [
      { family: 4, addresses: ['192.168.0.245'], via: '192.168.0.1', networks: ['10.9.0.0/16', '192.168.0.0/24'] },
    ] as const;
    assert.deepEqual(lines(commandsFor({ device: 'eth1', ways }), /route/), [
      'ip route replace default via 192.168.0.1 dev eth1 table 500011 metric 1024',
      'ip route replace 10.9.0.0/16 dev eth1 table 500011 metric 1024',
      'ip route replace 192.168.0.0/24 dev eth1 table 500011 metric 1024',
      'ip route replace unreachable default table 500011 metric 4294967295',
    ]);
  });

  test('that falls back to the node has no last route, and its id in the set of those', () => {
    const ways = [{ family: 4, addresses: ['192.168.0.245'] }] as const;
    const text = commandsFor({ device: 'eth1', ways, onUnavailable: 'node' });
    assert.deepEqual(lines(text, /route/), ['ip route replace default dev eth1 table 500011 metric 1024']);
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
    assert.deepEqual(lines(text, /route/), [
      'ip route replace default via 172.18.0.6 dev egress0 onlink table 500011 metric 1024',
      'ip route replace unreachable default table 500011 metric 4294967295',
      'ip -6 route replace default via fe80::e6:acff:fe12:6 dev egress0 onlink table 500011 metric 1024',
      'ip -6 route replace unreachable default table 500011 metric 4294967295',
    ]);
    assert.deepEqual(lines(text, /element .* (tunnels|snat|lanes)/), [
      'add element inet cni-egress tunnels { 0x0000000b }',
    ]);
    assert.deepEqual(lines(text, /rule netdev .* sent-egress0/), [
      'add rule netdev cni-egress sent-egress0 ip frag-off & 8191 != 0 return',
      'add rule netdev cni-egress sent-egress0 frag frag-off != 0 return',
      'add rule netdev cni-egress sent-egress0 meta mark & 0x00003fff . oifname @sent',
    ]);
  });

  test('over IPv6 has a next hop of IPv6 for packets of IPv4', () => {
    const text = commandsFor({
      ...{ device: 'egress0', gateway: 'fd00:18::6' },
      ways: [{ family: 4, addresses: ['192.0.2.50'] }],
    });
    assert.match(lines(text, /route/)[0] ?? '', /^ip route replace default via inet6 fe80::\S+ dev egress0 onlink /);
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
