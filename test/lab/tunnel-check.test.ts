import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Cluster } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { assertMended, assertNamed } from '../support/mending.ts';
import { deleteRule, ip, nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';

/** Something that a pod on node 5 needs to leave from node 3, how it gets lost, and how CHECK names it. */
interface Part {
  readonly what: string;
  readonly lose: (node: LabNode) => Promise<unknown>;
  readonly named: readonly string[];
}

const id = 2313;
const [gatewayMac, gatewayLinkLocal] = ['02:e6:ac:12:00:03', 'fe80::e6:acff:fe12:3'];
const otherMac = '02:e6:ac:12:00:09';
const bridge = (node: LabNode, command: string) => node.machine.must(['bridge', ...command.split(' ')]);

/** Makes the device anew by hand, with changes of how we make it. */
async function remade(node: LabNode, changes: Readonly<Record<string, string>>): Promise<void> {
  const ours = { id: '14597', dstport: '4788', local: '172.18.0.5', learn: 'nolearning', gbp: 'gbp' };
  const { id, dstport, local, learn, gbp } = { ...ours, ...changes };
  const data = `vxlan id ${id} dstport ${dstport} local ${local} ${learn} ${gbp}`.trim();
  await ip(node, 'link delete egress0');
  await ip(node, `link add egress0 address 02:e6:ac:12:00:05 mtu 1450 group 230 type ${data}`);
  await ip(node, 'link set egress0 up');
}

const device: readonly Part[] = [
  {
    what: 'the tunnel’s device',
    lose: (node) => ip(node, 'link delete egress0'),
    named: ['tunnel device egress0 is missing'],
  },
  ...(
    [
      ['set up', (node) => ip(node, 'link set egress0 down'), 'up is false, expected true'],
      ['with its MTU', (node) => ip(node, 'link set egress0 mtu 1400'), 'MTU is 1400, expected 1450'],
      [
        'with its MAC address',
        (node) => ip(node, `link set egress0 address ${otherMac}`),
        `MAC address is ${otherMac}, expected 02:e6:ac:12:00:05`,
      ],
      ['with its VNI', (node) => remade(node, { id: '14598' }), 'VNI is 14598, expected 14597'],
      ['with its port', (node) => remade(node, { dstport: '4789' }), 'port is 4789, expected 4788'],
      [
        'with its address',
        (node) => remade(node, { local: '192.168.0.240' }),
        'local address is 192.168.0.240, expected 172.18.0.5',
      ],
      ['that learns nothing', (node) => remade(node, { learn: 'learning' }), 'learning is true, expected false'],
      ['that carries marks', (node) => remade(node, { gbp: '' }), 'group policy is false, expected true'],
    ] as const satisfies readonly (readonly [string, Part['lose'], string])[]
  ).map(([what, lose, words]) => ({
    what: `a tunnel device ${what}`,
    lose,
    named: [`tunnel device egress0: ${words}`],
  })),
];

const onDevice: readonly Part[] = [
  ...['172.18.0.3', gatewayLinkLocal].flatMap((address): Part[] => [
    {
      what: `the neighbour ${address}`,
      lose: (node) => ip(node, `neigh delete ${address} dev egress0`),
      named: [`neighbour ${address} of egress0 with ${gatewayMac} is missing`],
    },
    {
      what: `the right MAC address of the neighbour ${address}`,
      lose: (node) => ip(node, `neigh replace ${address} dev egress0 lladdr ${otherMac} nud permanent`),
      named: [`neighbour ${address} of egress0 with ${gatewayMac} is not as expected`],
    },
  ]),
  {
    what: 'the forwarding entry of the gateway',
    lose: (node) => bridge(node, `fdb delete ${gatewayMac} dev egress0 dst 172.18.0.3 self`),
    named: [`forwarding entry ${gatewayMac} of egress0 to 172.18.0.3 is missing`],
  },
  {
    what: 'the right node in the forwarding entry',
    lose: (node) => bridge(node, `fdb replace ${gatewayMac} dev egress0 dst 172.18.0.9 self permanent`),
    named: [`forwarding entry ${gatewayMac} of egress0 to 172.18.0.3 is not as expected`],
  },
  {
    what: 'the address of the device',
    lose: (node) => ip(node, 'address delete 172.18.0.5/32 dev egress0'),
    named: ['address 172.18.0.5/32 of egress0 is missing'],
  },
  {
    what: 'the loose reverse path filter of the device',
    lose: (node) => node.machine.sysctl({ 'net.ipv4.conf.egress0.rp_filter': 1 }),
    named: ['sysctl net/ipv4/conf/egress0/rp_filter is 1, expected 2'],
  },
];

const families = [
  { family: '', nextHop: '172.18.0.3' },
  { family: '-6 ', nextHop: gatewayLinkLocal },
] as const;
const exitTable = 500000 + id;

/** Loses the same for IPv4 and IPv6. */
const inBoth = (command: string) => async (node: LabNode) => {
  for (const { family } of families) await ip(node, `${family}${command}`);
};

const routing: readonly Part[] = [
  {
    what: 'the routes into the tunnel',
    lose: inBoth(`route delete default table ${exitTable} metric 1024`),
    named: families.map(
      ({ family, nextHop }) =>
        `ip ${family}route default via ${nextHop} dev egress0 onlink table ${exitTable} metric 1024 is missing`,
    ),
  },
  {
    what: 'the routes that close behind the exit',
    lose: inBoth(`route delete unreachable default table ${exitTable} metric 4294967295`),
    named: families.map(
      ({ family }) => `ip ${family}route unreachable default table ${exitTable} metric 4294967295 is missing`,
    ),
  },
  ...(
    [
      [700, 'not fwmark 0x40000000/0x40000000 goto 702'],
      [701, `fwmark 0x40000909/0x40003fff lookup ${exitTable}`],
      [702, 'nop'],
      [703, 'fwmark 0x0/0x3fff goto 705'],
      [704, 'fwmark 0x0/0x40000000 iif egress0 unreachable'],
      [705, 'nop'],
    ] as const
  ).map(([priority, words]) => ({
    what: `the rules ${priority}`,
    lose: inBoth(`rule delete priority ${priority}`),
    named: families.map(({ family }) => `ip ${family}rule priority ${priority} ${words} is missing`),
  })),
];

/** The chains that look into the sets of senders; the sets cannot go while they do. */
const looking = ['senders', 'untracked-in', 'untracked-out'];

const tunnelNft: readonly Part[] = [
  {
    what: 'the exit among those that use the tunnel',
    lose: (node) => nft(node, `delete element ${table} tunnels { ${id} }`),
    named: [`element ${id} of tunnels is missing`],
  },
  {
    what: 'the map of exits that are served',
    lose: (node) => nft(node, `flush chain ${table} arrive`, `delete map ${table} served`),
    named: ['map served is missing'],
  },
  ...(['senders4', 'senders6'] as const).map((set) => ({
    what: `the set ${set}`,
    lose: (node: LabNode) =>
      nft(node, ...looking.map((chain) => `flush chain ${table} ${chain}`), `delete set ${table} ${set}`),
    named: [`set ${set} is missing`],
  })),
  {
    what: 'a node among the senders',
    lose: (node) => nft(node, `delete element ${table} senders4 { 172.18.0.3 }`),
    named: ['set senders4 is not as expected'],
  },
  {
    what: 'senders that are nodes and nobody else',
    lose: (node) => nft(node, `add element ${table} senders4 { 172.18.0.100 }`),
    named: ['set senders4 is not as expected'],
  },
  {
    what: 'the chain of senders',
    lose: (node) => nft(node, `flush chain ${table} classify`, `delete chain ${table} senders`),
    named: ['chain senders is missing'],
  },
  {
    what: 'the chain of what comes out of it',
    lose: (node) => nft(node, `flush chain ${table} classify`, `delete chain ${table} arrive`),
    named: ['chain arrive is missing'],
  },
  ...(['untracked-in', 'untracked-out'] as const).map((chain) => ({
    what: `the base chain ${chain}`,
    lose: (node: LabNode) => nft(node, `delete chain ${table} ${chain}`),
    named: [`base chain ${chain} is missing`],
  })),
];

const tunnelRules: readonly Part[] = (
  [
    ['arrive', '@served', 1, 'chain'],
    ['arrive', 'l4proto icmp', 3, 'chain'],
    ['arrive', 'drop', 5, 'chain'],
    ['classify', 'goto senders', 1, 'base chain'],
    ['classify', 'jump arrive', 2, 'base chain'],
    ['senders', 'drop', 2, 'chain'],
    ['untracked-in', '@senders4', 1, 'base chain'],
    ['untracked-out', '@senders4', 1, 'base chain'],
    ['translate', 'snat ip6 to ip6 saddr', 5, 'chain'],
    ['judge', 'maxseg', 1, 'chain'],
    ['judge', '@tunnels', 2, 'chain'],
    ['guard', 'egress0', 2, 'base chain'],
  ] as const
).map(([chain, words, place, kind]) => ({
  what: `the rule of ${chain} with ${words}`,
  lose: (node) => deleteRule(node, chain, words),
  named: [`rule ${place} of ${kind} ${chain} is missing`],
}));

const counting: readonly Part[] = [
  {
    what: 'the chain that counts what went into the tunnel',
    lose: (node) => nft(node, 'delete chain netdev cni-egress sent-egress0'),
    named: ['base chain sent-egress0 is missing'],
  },
];

describe('CHECK of a pod whose exit is another node', labTest, () => {
  let lab: Lab;
  let node: LabNode;
  let pod: Pod;
  let whole: string;

  before(async () => {
    lab = await Lab.create();
    node = (await workerOf(lab)) as LabNode;
    pod = await node.started();
    whole = await snapshot(node);
  });

  after(() => lab.remove());

  for (const { what, lose, named } of [...device, ...onDevice, ...routing, ...tunnelNft, ...tunnelRules, ...counting]) {
    test(`fails without ${what}, names it, and passes again after ADD is repeated`, async () => {
      await lose(node);
      await assertNamed(node, pod, ...named);
      await assertMended(node, pod, whole);
    });
  }

  test('through the runtime’s library fails in the same words', async () => {
    await ip(node, 'neigh delete 172.18.0.3 dev egress0');
    const { code, stderr } = await node.cnitool('check', pod);
    assert.equal(code, 1);
    assert.match(stderr, /neighbour 172\.18\.0\.3 of egress0 with 02:e6:ac:12:00:03 is missing/);
    assert.match((await node.egress('check')).stdout, /: neighbour 172\.18\.0\.3 of egress0/);
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
    assert.equal((await node.cnitool('check', pod)).code, 0);
  });
});

describe('ADD', labTest, () => {
  for (const [whose, kind] of [
    ['a bridge', 'type bridge'],
    ['a VXLAN without our group', 'type vxlan id 14597 dstport 4788 local 172.18.0.5 nolearning gbp'],
    ['a bridge in our group', 'group 230 type bridge'],
  ] as const) {
    test(`is refused by a device egress0 of somebody else, which is ${whose}, and leaves it and nothing of ours`, async () => {
      await using lab = await Lab.create();
      const node = await workerOf(lab);
      await ip(node, `link add egress0 ${kind}`);
      const pod = await node.withoutEgress(() => node.started());
      const state = await snapshot(node);
      const { code, json } = await node.plugin('ADD', { pod });
      assert.deepEqual([code, (json as { code: number }).code], [1, 110]);
      assert.match((json as { details: string }).details, /egress0/);
      assertUnchanged(state, await snapshot(node));
      assert.deepEqual(await node.records(), ['lock']);
      await ip(node, 'link delete egress0');
      assert.equal((await node.plugin('ADD', { pod })).code, 0);
    });
  }
});

/** A node whose pods leave from a gateway, and which answers reach by the tunnel: that has the most parts. */
async function workerOf(lab: Lab): Promise<LabNode> {
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath: 'tunnel' });
  await cluster.up();
  const [worker] = cluster.workers;
  assert.ok(worker);
  return worker;
}
