import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import { parseDestination } from '../../../src/cli/destination.ts';
import { printExplanations } from '../../../src/cli/explain.ts';
import type { Filter } from '../../../src/datapath/filter.ts';
import { exitIdMask } from '../../../src/datapath/layout.ts';
import type { HostObject } from '../../../src/datapath/objects.ts';
import { type Configured, readIfThere } from '../../../src/report/configured.ts';
import { type Explanation, explain } from '../../../src/report/explain.ts';
import {
  added,
  configuration,
  type FakeMachine,
  gatewayConfiguration,
  held,
  newMachine,
  newNode,
  policyTo,
} from '../support/fake-machine.ts';

/** A machine with the pod `default/pod-a` at 10.0.0.5, which leaves by the exit `partners`. */
async function machineWithPod(t: TestContext): Promise<FakeMachine> {
  const machine = newMachine(t);
  machine.host.linkAddresses.set('eth1', [held('192.168.0.245')]);
  machine.host.links.set('eth0', { index: 20, name: 'eth0', up: true, mtu: 1500 });
  machine.host.defaultRoutes.set(4, { device: machine.host.links.get('eth0') ?? assert.fail(), via: '172.18.0.1' });
  machine.host.neighbours.set('192.168.0.1', 'reachable');
  await added(machine, 'a1b2c3d4', '10.0.0.5', { pod: { namespace: 'default', name: 'pod-a' } });
  return machine;
}

/** What is said of one packet. */
async function told(
  machine: FakeMachine,
  destination: string,
  configured: Configured = configuration(),
  pod = 'default/pod-a',
): Promise<Explanation> {
  const [explanation, ...more] = await explain(machine, configured, pod, [parseDestination(destination)]);
  assert.ok(explanation && more.length === 0);
  return explanation;
}

/** Takes an object away from the kernel, as somebody would. */
function lose({ host }: FakeMachine, isLost: (object: HostObject) => boolean): void {
  const lost = host.kernel.contents().filter(isLost);
  assert.equal(lost.length, 1);
  host.kernel.apply(lost.map((object) => ({ verb: 'remove', object })));
}

test('an explanation, printed, begins with the answer, and shows the policies and what is in the kernel', async (t) => {
  const explanations = await explain(await machineWithPod(t), configuration(), 'default/pod-a', [
    parseDestination('udp/203.0.113.9:5060'),
    parseDestination('10.0.0.7'),
  ]);
  assert.equal(
    printExplanations(explanations).replaceAll(/program-[0-9a-f]{20,}/g, 'program-…'),
    `default/pod-a 10.0.0.5 → udp 203.0.113.9:5060 leaves by exit "partners" (eth1, next hop 192.168.0.1) with 192.168.0.245.
Policies, in the order in which they decide:
  partners  partners  decides: 203.0.113.0/24 holds the destination
In the kernel:
  element      inet cni-egress pods4 { 10.0.0.5 comment "pods/a1b2c3d4/eth0" : goto program-…-entry }
  chain        inet cni-egress program-…
  rule         program-… rule 7: ip daddr @program-…-1 goto exit-7
  exit         exit-7: meta mark set meta mark & 0xffffc007 | 0x40000007 comment "partners"
  policy rule  ip rule priority 701 fwmark 0x40000007/0x40003fff lookup 500007
  route        ip route default via 192.168.0.1 dev eth1 table 500007 metric 1024
  source       inet cni-egress snat4 { 0x00000007 . "eth1" : 192.168.0.245 }
  guard        inet cni-egress lanes4 { 0x00000007 . "eth1" . 192.168.0.245 }
  neighbour    192.168.0.1 is reachable

default/pod-a 10.0.0.5 → 10.0.0.7 is left alone (eth0, next hop 172.18.0.1): 10.0.0.0/24 is a network of the pod.
In the kernel:
  element  inet cni-egress pods4 { 10.0.0.5 comment "pods/a1b2c3d4/eth0" : goto program-…-entry }
  chain    inet cni-egress program-…
  rule     program-… rule 6: ip daddr @program-…-subnets4 return
`,
  );
});

describe('of a packet of a pod it is said', () => {
  const rows: readonly (readonly [what: string, destination: string, outcome: string, words: RegExp])[] = [
    ['by which exit it leaves', '203.0.113.9', 'leaves', /^leaves by exit "partners"/],
    ['that no policy is about it', '192.0.2.1', 'left alone', /: no policy of the pod is about it$/],
    ['that it is for the node', '192.168.0.245', 'left alone', /: it is for this node or its segment \(local\)$/],
    ['that it is for the cluster', '169.254.169.254', 'left alone', /: 169.254.0.0\/16 is a range of the cluster$/],
    ['that the pod has no such address', '2001:db8::1', 'not sent', /^cannot be sent: the pod has no IPv6 address$/],
  ];
  for (const [what, destination, outcome, words] of rows) {
    test(what, async (t) => {
      const explanation = await told(await machineWithPod(t), destination);
      assert.equal(explanation.outcome, outcome);
      assert.match(explanation.words, words);
    });
  }

  test('that a policy drops it, or that its exit lacks the family', async (t) => {
    const machine = newMachine(t);
    const both = { podNetwork: { addresses: ['10.0.0.5', 'fd00::5'], subnets: [], hostInterfaces: ['veth1'] } };
    const pod = { pod: { namespace: 'default', name: 'pod-a' } };
    const policies = policyTo('drop', ['203.0.113.0/24']);
    await added(machine, 'a', '', { ...pod, ...both, configuration: policies });
    assert.match((await told(machine, '203.0.113.9', policies)).words, /^is dropped: policy "other" says so$/);
    const six = policyTo('partners', ['2001:db8::/32']);
    await added(machine, 'a', '', { ...pod, ...both, configuration: six });
    const { outcome, words, kernel } = await told(machine, '2001:db8::1', six);
    assert.deepEqual([outcome, words], ['dropped', 'is dropped: exit "partners" has no IPv6']);
    assert.deepEqual(kernel.at(-1), { what: 'exit', text: 'exit-drop: counter drop' });
  });

  test('how a packet could be asked about that policies with ports are for', async (t) => {
    const machine = newMachine(t);
    const ported = configuration({
      policies: [{ name: 'sip', namespaces: ['*'], ports: ['udp:5060'], exit: 'partners' }],
    });
    await added(machine, 'a', '10.0.0.5', { pod: { namespace: 'default', name: 'pod-a' }, configuration: ported });
    const hint = /^The packet has no protocol, so policies with ports are not for it; ask like udp\/203.0.113.9:5060 /;
    assert.match((await told(machine, '203.0.113.9', ported)).notes.join(), hint);
    assert.match((await told(machine, 'udp/203.0.113.9', ported)).notes.join(), /^The packet has no port, /);
    assert.deepEqual((await told(machine, 'icmp/203.0.113.9', ported)).notes, []);
    const { kernel } = await told(machine, 'udp/203.0.113.9:5060', ported);
    assert.match(kernel.find(({ what }) => what === 'rule')?.text ?? '', /udp dport @program-.*-1-udp goto exit-7$/);
  });

  describe('with which ports of its own it leaves, and what gives it one,', () => {
    const exits = [
      { name: 'partners', id: 7, interface: 'eth1', nextHop: '192.168.0.1', addresses: ['192.168.0.245'] },
    ];
    const ported = configuration({ exits: exits.map((exit) => ({ ...exit, portsPerPod: 1024 })) });
    const withPorts = async (t: TestContext) => {
      const machine = await machineWithPod(t);
      await added(machine, 'a1b2c3d4', '10.0.0.5', {
        pod: { namespace: 'default', name: 'pod-a' },
        configuration: ported,
      });
      return machine;
    };
    const sources = ({ kernel }: Explanation) => kernel.flatMap(({ what, text }) => (what === 'source' ? [text] : []));

    test('by an element and a rule, and by no element for all pods', async (t) => {
      const machine = await withPorts(t);
      const explanation = await told(machine, 'udp/203.0.113.9:5060', ported);
      assert.equal(
        explanation.words,
        'leaves by exit "partners" (eth1, next hop 192.168.0.1) with 192.168.0.245 and one of the ports 1024 to 2047',
      );
      assert.deepEqual(explanation.way?.ports, { first: 1024, last: 2047 });
      assert.deepEqual(sources(explanation), [
        'inet cni-egress blocks4 { 0x00000007 . 10.0.0.5 comment "pods/a1b2c3d4/eth0" : jump ports-7-10.0.0.5 }',
        'ports-7-10.0.0.5 rule 3: oifname "eth1" meta l4proto udp snat ip to 192.168.0.245:1024-2047 comment "pods/a1b2c3d4/eth0"',
      ]);
      assert.equal(sources(await told(machine, '203.0.113.9', ported)).length, 5);
    });

    test('unless somebody took that away: then nobody knows', async (t) => {
      const machine = await withPorts(t);
      lose(machine, (object) => object.kind === 'element' && object.set === 'blocks4');
      const { words, kernel } = await told(machine, 'udp/203.0.113.9:5060', ported);
      assert.equal(words, 'is not known: element 7 . 10.0.0.5 of blocks4 is missing');
      assert.equal(kernel.find(({ problem }) => problem !== undefined)?.what, 'source');
    });
  });

  test('with any address of an exit that chooses by connection, each of which passes the guard', async (t) => {
    const machine = newMachine(t);
    const addresses = ['172.19.0.5', '172.19.0.6'];
    const exits = [{ name: 'many', id: 9, interface: 'eth2', addresses, addressPerFlow: true }];
    const policies = [{ name: 'many', namespaces: ['*'], destinations: ['203.0.113.0/24'], exit: 'many' }];
    const many = configuration({ exits, policies });
    await added(machine, 'a', '10.0.0.5', { pod: { namespace: 'default', name: 'pod-a' }, configuration: many });
    machine.host.linkAddresses.set(
      'eth2',
      addresses.map((address) => held(address)),
    );
    const { words, kernel } = await told(machine, '203.0.113.9', many);
    assert.match(words, /with one of 172\.19\.0\.5, 172\.19\.0\.6, by its source port$/);
    assert.deepEqual(
      kernel.filter(({ what }) => what === 'source' || what === 'guard').map(({ text }) => text),
      [
        'inet cni-egress spread { 0x00000009 . "eth2" : jump exit-9-snat }',
        ...addresses.map((address) => `inet cni-egress lanes4 { 0x00000009 . "eth2" . ${address} }`),
      ],
    );
  });

  test('through which gateway it leaves, and by what in the tunnel', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    const configured = gatewayConfiguration();
    await added(machine, 'a', '10.0.0.5', { pod: { namespace: 'default', name: 'pod-a' }, configuration: configured });
    const { words, way, kernel, notes } = await told(machine, '203.0.113.9', configured);
    assert.equal(words, 'leaves by exit "shared" (egress0, to gateway 172.18.0.6), which is to give it 192.0.2.50');
    assert.match(notes.join(), /only 172\.18\.0\.6 can tell/);
    assert.deepEqual([way?.gateway, way?.sources], ['172.18.0.6', ['192.0.2.50']]);
    assert.deepEqual(
      kernel.slice(-3).map(({ text }) => text),
      [
        'inet cni-egress tunnels { 0x00000032 }',
        'ip neigh 172.18.0.6 lladdr 02:e6:ac:12:00:06 dev egress0',
        'bridge fdb 02:e6:ac:12:00:06 dev egress0 dst 172.18.0.6',
      ],
    );
    assert.match((await told(machine, 'udp/172.18.0.6:4788', configured)).words, /^is dropped: nobody but nodes/);
  });

  test('that each connection gets one of several addresses, and whether the node still has all of them', async (t) => {
    const machine = newMachine(t);
    const addresses = ['192.168.0.245', '192.168.0.246'];
    const exits = [{ name: 'partners', id: 7, interface: 'eth1', addresses, addressPerFlow: true }];
    const configured = configuration({ exits });
    machine.host.linkAddresses.set(
      'eth1',
      addresses.map((address) => held(address)),
    );
    await added(machine, 'a', '10.0.0.5', { pod: { namespace: 'default', name: 'pod-a' }, configuration: configured });
    const { words, way } = await told(machine, '203.0.113.9', configured);
    assert.match(words, /\(eth1, on link\) with one of 192.168.0.245, 192.168.0.246, by its source port$/);
    assert.deepEqual(way?.sources, addresses);
    machine.host.linkAddresses.set('eth1', [held('192.168.0.245')]);
    assert.equal((await told(machine, '203.0.113.9', configured)).outcome, 'dropped');
  });

  test('that its next hop did not answer of late', async (t) => {
    const machine = await machineWithPod(t);
    machine.host.neighbours.set('192.168.0.1', 'failed');
    const { way, notes } = await told(machine, '203.0.113.9');
    assert.equal(way?.neighbour, 'failed');
    assert.match(notes.join(), /192.168.0.1 did not answer \(failed\)/);
  });
});

/** What the node does with all packets that it forwards, and what explain then says of one that is for an exit. */
const forwarding: readonly (readonly [what: string, set: (machine: FakeMachine) => unknown, words: RegExp])[] = [
  [
    'nothing is forwarded',
    ({ host }) => host.kernel.sysctls.set('net/ipv4/conf/cni0/forwarding', '0').set('net/ipv4/ip_forward', '0'),
    /^is dropped: net\.ipv4\.ip_forward is 0, so the node forwards nothing: set it to 1$/,
  ],
  [
    'nothing is forwarded that comes in by the interface of the pods',
    ({ host }) => host.kernel.sysctls.set('net/ipv4/conf/cni0/forwarding', '0').set('net/ipv4/ip_forward', '1'),
    /^is dropped: net\/ipv4\/conf\/cni0\/forwarding is 0, so the node forwards nothing that comes in by cni0: set it to 1$/,
  ],
  [
    'the reverse path filter looks at the mark, too',
    ({ host }) =>
      host.kernel.sysctls.set('net/ipv4/conf/cni0/rp_filter', '1').set('net/ipv4/conf/all/src_valid_mark', '1'),
    /^is dropped: with src_valid_mark the strict reverse path filter of cni0 drops/,
  ],
  [
    'a chain of somebody else drops everything',
    ({ host }) => host.filters.push({ ...forward, rules: 0 }),
    /^is dropped: chain FORWARD of table ip filter drops everything \(policy drop, and no rule\)$/,
  ],
  [
    'chains of others drop what their rules do not accept',
    ({ host }) =>
      host.filters.push({ ...forward, rules: 2 }, { ...forward, family: 'inet', table: 'fw', chain: 'f', rules: 1 }),
    /with 192\.168\.0\.245, unless chain FORWARD of table ip filter or chain f of table inet fw drops it \(policy drop\)$/,
  ],
  [
    'answers are not forwarded',
    ({ host }) => host.kernel.sysctls.set('net/ipv4/conf/eth1/forwarding', '0'),
    /^leaves by .* with 192\.168\.0\.245; its answers are dropped: net\/ipv4\/conf\/eth1\/forwarding is 0/,
  ],
  [
    'answers do not pass the reverse path filter',
    ({ host }) => host.kernel.sysctls.set('net/ipv4/conf/eth1/rp_filter', '1'),
    /^leaves by .*; its answers are dropped: net\/ipv4\/conf\/eth1\/rp_filter is 1, expected 2$/,
  ],
];
const forward: Filter = {
  ...{ family: 'ip', table: 'filter', chain: 'FORWARD', hook: 'forward', devices: [] },
  ...{ policy: 'drop', rules: 2 },
};

describe('that all of egress is there does not mean that the packet leaves: it is said when', () => {
  const withBridge = async (t: TestContext) => {
    const machine = await machineWithPod(t);
    machine.host.linkAddresses.set('cni0', [held('10.0.0.1')]);
    return machine;
  };

  for (const [what, set, words] of forwarding) {
    test(what, async (t) => {
      const machine = await withBridge(t);
      set(machine);
      assert.match((await told(machine, '203.0.113.9')).words, words);
    });
  }

  test('what is left alone is not forwarded either', async (t) => {
    const machine = await withBridge(t);
    machine.host.filters.push({ ...forward, rules: 0 });
    const { outcome, words } = await told(machine, '198.51.100.1');
    assert.equal(outcome, 'dropped');
    assert.match(words, /^is left alone \(no policy of the pod is about it\), and dropped: chain FORWARD/);
  });

  test('filters whose rules nobody judges are named, in nftables or before it', async (t) => {
    const machine = await withBridge(t);
    machine.host.filters.push({ ...forward, policy: 'accept' }, { ...forward, chain: 'INPUT', hook: 'input' });
    machine.host.legacyTables.set(4, ['filter']);
    const { outcome, notes, unless } = await told(machine, '203.0.113.9');
    assert.deepEqual([outcome, unless], ['leaves', undefined]);
    assert.deepEqual(notes, [
      'Unless a filter of somebody else drops it, whose rules are not judged here: chain FORWARD of table ip filter.',
      'Rules and policies of the older iptables are in use, and cannot be seen here: iptables-legacy -S FORWARD shows them.',
    ]);
  });
});

describe('when something is missing, it is said what, and what the packet does then:', () => {
  const rows: readonly (readonly [
    what: string,
    isLost: (object: HostObject) => boolean,
    outcome: string,
    words: RegExp,
  ])[] = [
    [
      'element',
      (object) => object.kind === 'element' && object.set === 'pods4',
      'dropped',
      /^is dropped: element 10.0.0.5 of pods4 is missing, and a packet that nothing has judged goes nowhere$/,
    ],
    [
      'route',
      (object) => object.kind === 'route' && object.type === 'unicast' && object.destination === undefined,
      'dropped',
      /^is dropped: exit "partners" has no route for it$/,
    ],
    [
      'policy rule',
      (object) => object.kind === 'rule' && ((object.fwmark?.value ?? 0) & exitIdMask) === 7,
      'dropped',
      /has no route for it, and the guard lets it not leave by eth0$/,
    ],
    [
      'source',
      (object) => object.kind === 'element' && object.set === 'snat4',
      'dropped',
      /element 7 . eth1 of snat4 is missing$/,
    ],
    [
      'guard',
      (object) => object.kind === 'element' && object.set === 'lanes4',
      'dropped',
      /element 7 . eth1 . 192.168.0.245 of lanes4 is missing$/,
    ],
  ];
  for (const [what, isLost, outcome, words] of rows) {
    test(what, async (t) => {
      const machine = await machineWithPod(t);
      lose(machine, isLost);
      const explanation = await told(machine, '203.0.113.9');
      assert.equal(explanation.outcome, outcome);
      assert.match(explanation.words, words);
      assert.equal(explanation.kernel.find((step) => step.what === what)?.problem, 'missing');
      assert.match(printExplanations([explanation]), new RegExp(`^  ${what} +missing: `, 'm'));
    });
  }

  for (const name of ['classify', 'begin', 'prove', 'nat', 'decide', 'guard', 'judge'])
    test(`the rules of ${name}, and nobody knows`, async (t) => {
      const machine = await machineWithPod(t);
      machine.host.kernel.transact([{ verb: 'flush', object: { kind: 'chain', name, rules: [] } }]);
      const { outcome, words } = await told(machine, '203.0.113.9');
      assert.equal(outcome, 'unknown');
      assert.match(words, new RegExp(`^is not known: (base )?chain ${name} is not as expected$`));
    });

  for (const guards of ['programs4', 'steered4'])
    test(`the elements of pods4 and ${guards}, and the mark of its interface: it goes as if we were not there`, async (t) => {
      const machine = await machineWithPod(t);
      for (const set of ['pods4', guards]) {
        lose(machine, (object) => object.kind === 'element' && object.set === set);
      }
      assert.equal((await told(machine, '203.0.113.9')).outcome, 'dropped');
      lose(machine, (object) => object.kind === 'ingressMark');
      const { outcome, words } = await told(machine, '203.0.113.9');
      assert.equal(outcome, 'left alone');
      assert.match(words, /\(eth0, next hop 172.18.0.1\): element 10.0.0.5 of pods4 is missing$/);
    });

  test('the source or the guard of an exit that may leave with the node’s address: with which one, nobody knows', async (t) => {
    const exits = [
      { name: 'partners', id: 7, interface: 'eth1', addresses: ['192.168.0.245'], onUnavailable: 'node' as const },
    ];
    const configured = configuration({ exits });
    for (const set of ['snat4', 'lanes4']) {
      const machine = await machineWithPod(t);
      await added(machine, 'a1b2c3d4', '10.0.0.5', {
        pod: { namespace: 'default', name: 'pod-a' },
        configuration: configured,
      });
      lose(machine, (object) => object.kind === 'element' && object.set === set);
      const { outcome, words } = await told(machine, '203.0.113.9', configured);
      assert.equal(outcome, 'unknown');
      assert.match(words, new RegExp(`^is not known: element .* of ${set} is missing$`));
    }
  });

  test('the exit’s address on the node', async (t) => {
    const machine = await machineWithPod(t);
    machine.host.linkAddresses.set('eth1', []);
    assert.match(
      (await told(machine, '203.0.113.9')).words,
      /^is dropped: 192.168.0.245 is not an address of this node/,
    );
  });

  test('the element alone, and the mark of its interface: it is decided behind routing', async (t) => {
    const machine = await machineWithPod(t);
    lose(machine, (object) => object.kind === 'element' && object.set === 'pods4');
    lose(machine, (object) => object.kind === 'ingressMark');
    const words = /^is dropped, unless the node's own way is that of the exit: element 10.0.0.5 of pods4 is missing$/;
    assert.match((await told(machine, '203.0.113.9')).words, words);
  });

  test('the whole table', async (t) => {
    const machine = await machineWithPod(t);
    machine.host.kernel.deleteTables();
    const closed = /^is dropped: table inet cni-egress is missing, and a packet that nothing has judged goes nowhere$/;
    assert.match((await told(machine, '203.0.113.9')).words, closed);
    lose(machine, (object) => object.kind === 'ingressMark');
    assert.match((await told(machine, '203.0.113.9')).words, /^is left alone .*: table inet cni-egress is missing$/);
  });

  test('the node’s record, without which nothing is known', async (t) => {
    const machine = await machineWithPod(t);
    {
      using _lock = await machine.store.lock();
      machine.store.forgetNode();
    }
    assert.equal((await told(machine, '203.0.113.9')).outcome, 'unknown');
  });
});

describe('when the policies', () => {
  test('have changed since the pod was set up, what is in force is told, and that it is not what they say', async (t) => {
    const machine = await machineWithPod(t);
    const { outcome, considered, notes } = await told(machine, '203.0.113.9', policyTo('drop'));
    assert.equal(outcome, 'leaves');
    assert.deepEqual(
      considered.map(({ policy, reason }) => [policy, reason]),
      [['partners', 'decides']],
    );
    assert.match(
      notes.join(),
      /^Policies are not what they were when the pod was set up; .* until the pod is created anew/,
    );
  });

  test('are not known, what is in force is told all the same', async (t) => {
    const { outcome, notes } = await told(await machineWithPod(t), '203.0.113.9', { unknown: 'there is no file' });
    assert.equal(outcome, 'leaves');
    assert.match(notes.join(), /^The policies are not known, only what is in force: there is no file.$/);
  });

  test('would refuse the pod’s annotations now, that is told', async (t) => {
    const machine = await machineWithPod(t);
    const [record] = machine.store.list();
    assert.ok(record);
    {
      using _lock = await machine.store.lock();
      machine.store.save({ ...record, pod: { ...record.pod, annotations: { policy: 'gone' } } });
    }
    const { outcome, notes } = await told(machine, '203.0.113.9');
    assert.equal(outcome, 'leaves');
    assert.match(notes.join(), /A new pod like it would be refused: .*gone/);
  });
});

describe('the policy file', () => {
  const path = '/etc/cni/egress/policy.json';

  test('may be missing where nobody named it, and may be broken', () => {
    const why = (file: string | undefined, files: Readonly<Record<string, string>>) => {
      const configured = readIfThere(file, (name) => files[name]);
      return 'unknown' in configured ? configured.unknown : 'known';
    };
    assert.equal(why(undefined, {}), `there is no policy file ${path}`);
    assert.match(why(undefined, { [path]: '{' }), /no complete JSON document/);
    assert.match(why('/p', { '/p': '{"exits":[{}]}' }), /\/p#\/exits\/0/);
    assert.equal(why('/p', { '/p': '{}' }), 'known');
    assert.equal(why(undefined, { [path]: '{}' }), 'known');
  });

  test('that somebody named has to be there', () => {
    assert.throws(
      () => readIfThere('/p', () => undefined),
      (error) => error instanceof EgressError && error.code === 'try-again',
    );
  });
});

describe('a pod', () => {
  for (const asked of ['default/pod-a', '10.0.0.5', 'a1b2c3d4', 'a1b2c3']) {
    test(`is known by ${asked}`, async (t) => {
      const { pod } = await told(await machineWithPod(t), '203.0.113.9', configuration(), asked);
      assert.equal(pod.containerId, 'a1b2c3d4');
    });
  }

  const refused = async (t: TestContext, asked: string, configured: Configured = configuration()) => {
    const machine = await machineWithPod(t);
    await added(machine, 'a1b2c3ff', '10.0.0.6');
    return await told(machine, '203.0.113.9', configured, asked).then(
      () => assert.fail('it was found'),
      (error: unknown) => (error instanceof EgressError ? `${error.code}: ${error.message}` : error),
    );
  };

  test('is not known by what nobody has, by too little of its container ID, or by what two have', async (t) => {
    assert.equal(
      await refused(t, '10.0.0.9'),
      'unknown-pod: Nothing is set up on this node for a pod with the address "10.0.0.9"',
    );
    assert.match(
      `${await refused(t, 'pod-a1b2c3ff')}`,
      /the container ID "pod-a1b2c3ff"; did you mean default\/pod-a1b2c3ff\?$/,
    );
    assert.match(`${await refused(t, 'a1b2c')}`, /^unknown-pod: .* the container ID "a1b2c"$/);
    assert.match(`${await refused(t, 'a1b2c3')}`, /^unknown-pod: "a1b2c3" begins .*: a1b2c3d4, a1b2c3ff$/);
    assert.match(`${await refused(t, 'default/')}`, /^unknown-pod: /);
    assert.match(`${await refused(t, 'default/gone', { unknown: 'there is no file' })}`, /^unknown-pod: .*no file$/);
  });

  test('without a name is not known by words that stand for one', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a1b2c3d4', '10.0.0.5', { pod: {}, configuration: policyTo('partners') });
    await assert.rejects(
      told(machine, '203.0.113.9', { unknown: 'there is no file' }, 'undefined/undefined'),
      EgressError,
    );
  });

  test('for which nothing is set up is judged by the policies', async (t) => {
    const machine = newMachine(t);
    const steered = await told(machine, '203.0.113.9', configuration(), 'default/early');
    assert.deepEqual([steered.outcome, steered.policy, steered.exit], ['unknown', 'partners', 'partners']);
    assert.match(
      steered.sentence,
      /^default\/early → 203.0.113.9 would be for exit "partners" .* started before egress/,
    );
    const inside = await told(machine, '169.254.0.1', configuration(), 'default/early');
    assert.deepEqual([inside.outcome, inside.considered], ['left alone', []]);
    const free = await told(machine, '203.0.113.9', configuration(), 'other/early');
    assert.equal(free.outcome, 'left alone');
    assert.deepEqual(
      free.considered.map(({ reason }) => reason),
      ['namespace'],
    );
  });

  test('with several attachments has an explanation for each', async (t) => {
    const machine = await machineWithPod(t);
    await added(machine, 'a1b2c3d4', '10.0.0.6', {
      attachment: { network: 'second', containerId: 'a1b2c3d4', ifname: 'net1' },
      pod: { namespace: 'default', name: 'pod-a' },
    });
    const both = await explain(machine, configuration(), 'default/pod-a', [parseDestination('203.0.113.9')]);
    assert.deepEqual(
      both.map(({ from, pod }) => [from, pod.ifname]),
      [
        ['10.0.0.5', 'eth0'],
        ['10.0.0.6', 'net1'],
      ],
    );
  });
});
