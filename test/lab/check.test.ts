import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import { assertMended, assertNamed } from '../support/mending.ts';
import { deleteRule, ip, nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { snapshot } from '../support/snapshot.ts';

/** Something that an attachment needs, how it gets lost, and how CHECK names it. */
interface Part {
  readonly what: string;
  readonly lose: (node: LabNode, names: Names) => Promise<unknown>;
  readonly named: (names: Names) => string;
}

/** Names that depend on the pod and on the exit. */
interface Names {
  readonly addresses: readonly string[];
  readonly program: string;
  readonly exit: number;
}

const elements: readonly Part[] = [
  {
    what: 'the IPv4 address of the pod in the map for packets without their mark',
    lose: (node, { addresses }) => nft(node, `delete element ${table} programs4 { ${addresses[0]} }`),
    named: ({ addresses }) => `element ${addresses[0]} of programs4 is missing`,
  },
  {
    what: 'the IPv4 address of the pod in the set of those that the guard looks at',
    lose: (node, { addresses }) => nft(node, `delete element ${table} steered4 { ${addresses[0]} }`),
    named: ({ addresses }) => `element ${addresses[0]} of steered4 is missing`,
  },
  {
    what: 'the IPv4 address of the pod in its map',
    lose: (node, { addresses }) => nft(node, `delete element ${table} pods4 { ${addresses[0]} }`),
    named: ({ addresses }) => `element ${addresses[0]} of pods4 is missing`,
  },
  {
    what: 'the IPv6 address of the pod in its map',
    lose: (node, { addresses }) => nft(node, `delete element ${table} pods6 { ${addresses[1]} }`),
    named: ({ addresses }) => `element ${addresses[1]} of pods6 is missing`,
  },
  {
    what: 'the source address of the exit',
    lose: (node, { exit }) => nft(node, `delete element ${table} snat4 { ${exit} . "eth1" }`),
    named: ({ exit }) => `element ${exit} . eth1 of snat4 is missing`,
  },
  {
    what: 'the interface that the guard lets the exit use',
    lose: (node, { exit }) => nft(node, `delete element ${table} lanes6 { ${exit} . "eth1" . fd00:168::245 }`),
    named: ({ exit }) => `element ${exit} . eth1 . fd00:168::245 of lanes6 is missing`,
  },
  {
    what: 'a range of the cluster',
    lose: (node, { program }) => nft(node, `delete element ${table} ${program}-cluster4 { 10.96.0.0/12 }`),
    named: ({ program }) => `set ${program}-cluster4 is not as expected`,
  },
];

const chains: readonly Part[] = [
  {
    what: 'the chain of the pod’s program',
    lose: (node, { addresses: [four, six], program }) =>
      nft(
        node,
        ...['pods', 'programs'].map((map) => `delete element ${table} ${map}4 { ${four} }`),
        ...['pods', 'programs'].map((map) => `delete element ${table} ${map}6 { ${six} }`),
        `delete chain ${table} ${program}-entry`,
        `delete chain ${table} ${program}`,
      ),
    named: ({ program }) => `chain ${program} is missing`,
  },
  {
    what: 'the chain of the exit',
    lose: (node, { program, exit }) =>
      nft(
        node,
        ...[program, `${program}-entry`, `exit-${exit}-returns`, `exit-${exit}-local`].map(
          (chain) => `flush chain ${table} ${chain}`,
        ),
        `delete chain ${table} exit-${exit}`,
      ),
    named: ({ exit }) => `chain exit-${exit} is missing`,
  },
  ...(['classify', 'nat', 'guard'] as const).map((chain) => ({
    what: `the base chain ${chain}`,
    lose: (node: LabNode) => nft(node, `delete chain ${table} ${chain}`),
    named: () => `base chain ${chain} is missing`,
  })),
  {
    what: 'the whole table',
    lose: (node) => nft(node, `delete table ${table}`),
    named: () => 'table inet cni-egress is missing',
  },
];

const counting: readonly Part[] = [
  {
    what: 'the table that counts what left',
    lose: (node) => nft(node, 'delete table netdev cni-egress'),
    named: () => 'table netdev cni-egress is missing',
  },
  {
    what: 'the chain at the exit’s interface',
    lose: (node) => nft(node, 'delete chain netdev cni-egress sent-eth1'),
    named: () => 'base chain sent-eth1 is missing',
  },
  {
    what: 'the set of exits that count',
    lose: (node) => nft(node, 'flush chain netdev cni-egress sent-eth1', 'delete set netdev cni-egress sent'),
    named: () => 'set sent is missing',
  },
  {
    what: 'the count of the exit',
    lose: (node, { exit }) => nft(node, `delete element netdev cni-egress sent { ${exit} . "eth1" }`),
    named: ({ exit }) => `element ${exit} . eth1 of sent is missing`,
  },
  {
    what: 'the rules at the exit’s interface',
    lose: (node) => nft(node, 'flush chain netdev cni-egress sent-eth1'),
    named: () => 'rule 3 of base chain sent-eth1 is missing: frag frag-off != 0 return',
  },
];

const rules: readonly Part[] = [
  {
    what: 'the rule that looks up pods',
    lose: (node) => deleteRule(node, 'classify', '@pods4'),
    named: () => 'rule 3 of base chain classify is missing: ip saddr vmap @pods4',
  },
  {
    what: 'the rule that keeps answers on their way',
    lose: (node) => deleteRule(node, 'classify', 'ct direction reply goto answers'),
    named: () => 'rule 1 of base chain classify is missing: ct direction reply goto answers',
  },
  {
    what: 'the rule that gives the source address',
    lose: (node) => deleteRule(node, 'translate', '@snat6'),
    named: () => 'rule 8 of chain translate is missing: snat ip6 to',
  },
  {
    what: 'the rule that drops what would leave wrongly',
    lose: (node) => deleteRule(node, 'judge', 'drop'),
    named: () => 'rule 6 of chain judge is missing: counter drop',
  },
  {
    what: 'the rule that asks for the proof of a pod’s source',
    lose: (node) => deleteRule(node, 'prove', 'goto forged'),
    named: () => 'rule 1 of chain prove is missing: meta mark & 0x40003fff != 0x40000000 goto forged',
  },
  {
    what: 'the rule that knows steered pods whose packets lost their mark',
    lose: (node) => deleteRule(node, 'lost', '@steered4'),
    named: () => 'rule 2 of chain lost is missing: ct original ip saddr != @steered4 return',
  },
  {
    what: 'a rule of the entry to the pod’s program',
    lose: (node, { program }) => deleteRule(node, `${program}-entry`, 'goto forged'),
    named: ({ program }) => `rule 1 of chain ${program}-entry is missing: meta mark & `,
  },
  {
    what: 'a rule of the pod’s program',
    lose: (node, { program }) => deleteRule(node, program, `@${program}-cluster6`),
    named: ({ program }) => `rule 5 of chain ${program} is missing`,
  },
  {
    what: 'a rule in its place, where somebody put one before it',
    lose: (node) => nft(node, `insert rule ${table} classify accept`),
    named: () => 'base chain classify is not as expected',
  },
];

const routing: readonly Part[] = [
  ...(['', '-6 '] as const).flatMap((family) => [
    {
      what: `the first ip ${family}rule`,
      lose: (node: LabNode) => ip(node, `${family}rule delete priority 700`),
      named: () => `ip ${family}rule priority 700 not fwmark 0x40000000/0x40000000 goto 702 is missing`,
    },
    {
      what: `the ip ${family}rule of the exit`,
      lose: (node: LabNode) => ip(node, `${family}rule delete priority 701`),
      named: () => `ip ${family}rule priority 701 fwmark`,
    },
    {
      what: `the ip ${family}rule that the jump ends at`,
      lose: (node: LabNode) => ip(node, `${family}rule delete priority 702`),
      named: () => `ip ${family}rule priority 702 nop is missing`,
    },
    {
      what: `the ip ${family}route of the exit`,
      lose: (node: LabNode, { exit }: Names) =>
        ip(node, `${family}route delete default table ${500000 + exit} metric 1024`),
      named: ({ exit }: Names) => `dev eth1 table ${500000 + exit} metric 1024 is missing`,
    },
    {
      what: `the ip ${family}route that closes behind the exit`,
      lose: (node: LabNode, { exit }: Names) =>
        ip(node, `${family}route delete unreachable default table ${500000 + exit} metric 4294967295`),
      named: ({ exit }: Names) =>
        `ip ${family}route unreachable default table ${500000 + exit} metric 4294967295 is missing`,
    },
  ]),
  {
    what: 'the loose reverse path filter',
    lose: (node) => node.machine.sysctl({ 'net.ipv4.conf.eth1.rp_filter': 1 }),
    named: () => 'sysctl net/ipv4/conf/eth1/rp_filter is 1, expected 2',
  },
];

describe('CHECK', labTest, () => {
  let lab: Lab;
  let node: LabNode;
  let pod: Pod;
  let names: Names;
  let whole: string;

  before(async () => {
    lab = await Lab.create();
    node = await lab.node();
    pod = await node.started();
    names = await namesOf(node, pod);
    whole = await snapshot(node);
  });

  after(() => lab.remove());

  for (const { what, lose, named } of [...elements, ...chains, ...counting, ...rules, ...routing]) {
    test(`fails without ${what}, names it, and passes again after ADD is repeated`, async () => {
      await lose(node, names);
      await assertNamed(node, pod, named(names));
      await assertMended(node, pod, whole);
    });
  }

  test('through the runtime’s library fails in the same words', async () => {
    await nft(node, `delete chain ${table} guard`);
    const { code, stderr } = await node.cnitool('check', pod);
    assert.equal(code, 1);
    assert.match(stderr, /base chain guard is missing/);
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
    assert.equal((await node.cnitool('check', pod)).code, 0);
  });

  test('fails when the record is gone', async () => {
    const { code, json } = await node.plugin('CHECK', { pod, env: { CNI_CONTAINERID: 'another' } });
    assert.notEqual(code, 0);
    assert.match((json as { details: string }).details, /no record of cluster\/another\/eth0/);
  });

  test('of one pod does not fail for what another one lacks', async () => {
    const other = await node.started();
    await nft(node, `delete element ${table} pods4 { ${other.addresses[0]} }`);
    assert.equal((await node.plugin('CHECK', { pod })).code, 0);
    const { code, stdout } = await node.egress('check');
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`default/${other.name}: element ${other.addresses[0]} of pods4 is missing`));
    await node.end(other);
    assert.equal((await node.egress('check')).code, 0);
  });
});

async function namesOf(node: LabNode, pod: Pod): Promise<Names> {
  const list = await node.machine.must(['nft', 'list', 'map', 'inet', 'cni-egress', 'pods4']);
  const { exits } = JSON.parse((await node.egress('status', '--json')).stdout);
  return { addresses: pod.addresses, program: /goto (program-\w+)/.exec(list)?.[1] ?? '', exit: exits[0].id };
}
