import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { partners } from '../support/chain.ts';
import {
  Cluster,
  type ClusterOptions,
  internet,
  internetPolicy,
  policyFile,
  remotePartners,
} from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { deleteRule, ip, nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Outcome } from '../support/run.ts';
import { assertUnchanged, changedLines, snapshot } from '../support/snapshot.ts';

describe('egress gateway', labTest, () => {
  test('a second time changes nothing, and neither does --dry-run, which has nothing to print then', async () => {
    await using lab = await Lab.create();
    const { gateway } = await bare(lab);
    assert.match((await egress(gateway)).stdout, /^Exit "internet" is served here .*\n[1-9]\d* things? changed\.\n$/);
    const once = await snapshot(gateway);
    assert.match((await egress(gateway)).stdout, /\n0 things changed\.\n$/);
    assert.deepEqual(await egress(gateway, '--dry-run'), { code: 0, stdout: '', stderr: '' });
    assertUnchanged(once, await snapshot(gateway));
  });

  test('--dry-run changes nothing, and prints commands that make the same by hand', async () => {
    await using lab = await Lab.create();
    const { gateway, before } = await bare(lab);
    const { stdout: commands } = await egress(gateway, '--dry-run');
    assertUnchanged(before, await snapshot(gateway));
    assert.deepEqual(await gateway.records(), []);
    await egress(gateway);
    const made = await snapshot(gateway);
    await egress(gateway, '--down');
    await gateway.machine.must(['sh', '-e'], { stdin: commands });
    const byHand = await snapshot(gateway);
    assert.deepEqual(changedLines(withoutProtocol(made), withoutProtocol(byHand)), []);
  });

  for (const [what, lose] of [
    ['a neighbour', (node) => ip(node, 'neigh delete 172.18.0.5 dev egress0')],
    ['the device', (node) => ip(node, 'link delete egress0')],
    ['the egress addresses', (node) => ip(node, 'address delete 172.18.0.33/32 dev eth0')],
    ['a rule', (node) => ip(node, '-6 rule delete priority 701')],
    ['the route of answers', (node) => ip(node, 'route delete 10.0.1.0/24 table 500000 metric 1024')],
    ['what is served', (node) => nft(node, `flush map ${table} served`)],
    ['a rule of nftables', (node) => deleteRule(node, 'replies', '@egress6')],
    ['all of nftables', (node) => nft(node, 'flush ruleset')],
  ] as const satisfies readonly (readonly [string, (node: LabNode) => Promise<unknown>])[]) {
    test(`puts back ${what}`, async () => {
      await using lab = await Lab.create();
      const { gateway } = await bare(lab);
      await egress(gateway);
      const whole = await snapshot(gateway);
      await lose(gateway);
      assert.notDeepEqual(changedLines(whole, await snapshot(gateway)), []);
      assert.doesNotMatch((await egress(gateway)).stdout, /\b0 things changed/);
      assert.deepEqual(changedLines(whole, await snapshot(gateway)), []);
      assert.equal((await egress(gateway, '--dry-run')).stdout, '');
    });
  }

  test('--down leaves the node as it was before, and says so a second time', async () => {
    await using lab = await Lab.create();
    const { gateway, before } = await bare(lab);
    await egress(gateway);
    for (const time of ['first', 'second']) {
      const { stdout } = await egress(gateway, '--down');
      assert.match(stdout, /^No exit is served or used on this node\.\n/, time);
      assertUnchanged(before, await snapshot(gateway), time);
    }
    assert.deepEqual(await gateway.records(), ['lock']);
  });

  test('leaves alone what others have in nftables and in routing', async () => {
    await using lab = await Lab.create();
    const { gateway } = await bare(lab);
    const { machine } = gateway;
    await nft(gateway, 'add table inet theirs', 'add chain inet theirs c { type filter hook forward priority 0; }');
    await nft(gateway, 'add rule inet theirs c oifname "egress0" counter accept');
    await ip(gateway, 'rule add fwmark 0x1/0xf lookup 123 priority 650');
    await ip(gateway, 'route add 198.51.100.0/24 via 172.18.0.1 table 123');
    await machine.ip('route add 198.51.100.128/25 via 172.18.0.1 proto bird');
    const pod = await gateway.started('other');
    const before = await snapshot(gateway);
    await egress(gateway);
    const removed = changedLines(before, await snapshot(gateway)).filter((line) => line.startsWith('- '));
    assert.deepEqual(removed, ['- net.ipv4.conf.eth0.rp_filter = 1']); // the way of the exit, until --down
    await egress(gateway, '--down');
    assertUnchanged(before, await snapshot(gateway));
    assert.deepEqual(await pod.askEach(), gateway.addresses('eth0'));
  });
});

describe('the egress address', labTest, () => {
  for (const [device, length] of [
    ['eth0', 16],
    ['eth0', 32],
    ['eth1', 32],
    ['lo', 32],
  ] as const) {
    test(`that the node has by hand on ${device}, with the length ${length}, is neither added nor removed`, async () => {
      await using lab = await Lab.create();
      const { cluster, gateway } = await bare(lab);
      const [first, second] = internet.addresses;
      // On another interface than the exit's it is there for somebody else, unless the administrator says so.
      const named = device === 'eth0' ? {} : { addressesOn: [device] };
      await cluster.policy({ exits: [{ ...internet, gateways: [gateway.addresses('eth0')[0]], ...named }] });
      await gateway.machine.ip(`address add ${first}/${length} dev ${device}`);
      const before = await snapshot(gateway);
      await egress(gateway);
      const own = await gateway.machine.must(['ip', '-oneline', 'address']);
      assert.equal(own.split(` ${first}/`).length, 2, own);
      assert.match(own, new RegExp(`eth0 .* ${second}/128 `));
      assert.equal((await egress(gateway, '--dry-run')).stdout, '');
      await egress(gateway, '--down');
      assertUnchanged(before, await snapshot(gateway));
    });
  }
});

describe('a policy file that changes', labTest, () => {
  test('has its second exit served by the next run, and taken down with its addresses when it goes', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway } = await bare(lab);
    const gateways = [gateway.addresses('eth0')[0]];
    const first = { ...internet, gateways };
    await egress(gateway);
    const one = await snapshot(gateway);
    await cluster.policy({ exits: [first, { ...remotePartners, gateways }] });
    assert.match((await egress(gateway)).stdout, /Exit "partners" is served here and leaves by eth1/);
    const both = (await snapshot(gateway)).split('\n');
    for (const address of partners.addresses) assert.ok(both.some((line) => line.includes(` ${address}/`)));
    await cluster.policy({ exits: [first] });
    assert.doesNotMatch((await egress(gateway)).stdout, /partners/);
    assertUnchanged(one, await snapshot(gateway));
  });

  test('takes down the only exit when another one takes its place', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, before } = await bare(lab);
    await egress(gateway);
    const policies = [{ ...internetPolicy, exit: 'partners' }];
    await cluster.policy({ exits: [{ ...remotePartners, gateways: ['172.18.0.3'] }], policies });
    await egress(gateway);
    const own = await gateway.machine.must(['ip', '-oneline', 'address']);
    for (const address of internet.addresses) assert.ok(!own.includes(` ${address}/`));
    for (const address of partners.addresses) assert.ok(own.includes(` ${address}/`));
    await egress(gateway, '--down');
    assertUnchanged(before, await snapshot(gateway));
  });
});

/** What a gateway cannot be made of, and what the command says then. */
interface Refusal {
  readonly what: string;
  readonly prepare?: (cluster: Cluster, gateway: LabNode) => Promise<unknown>;
  readonly args?: readonly string[];
  /** The node it is about: a worker, or the gateway if this is not set. */
  readonly onWorker?: true;
  /** --dry-run does not fail: it prints what can be done, or what the kernel would refuse. */
  readonly canPlan?: true;
  readonly exitCode?: 2;
  readonly says: RegExp;
}

const file = (node: LabNode) => node.configuration('egress/policy.json');

const refusals: readonly Refusal[] = [
  { what: 'a node that no exit names', onWorker: true, says: /No exit names this node, 172\.18\.0\.5/ },
  {
    what: 'a policy file that is not there',
    prepare: (_, gateway) => rm(file(gateway)),
    says: /\/etc\/cni\/egress\/policy\.json/,
  },
  {
    what: 'a policy file that is half written',
    prepare: (_, gateway) => writeFile(file(gateway), '{"exits":['),
    says: /policy\.json.*JSON/s,
  },
  {
    what: 'a policy file with an unknown key',
    prepare: (cluster) => cluster.policy({ gateway: [] }),
    says: /policy\.json#\/gateway/,
  },
  { what: 'a policy file without nodes', prepare: (cluster) => cluster.policy({ nodes: [] }), says: /"nodes"/ },
  {
    what: 'a policy file without gateways',
    prepare: (cluster) => cluster.policy({ exits: [partners].map((exit) => ({ ...exit, name: 'internet' })) }),
    says: /No exit has gateways/,
  },
  {
    what: '--node with an address of another node',
    args: ['--node', '172.18.0.4'],
    says: /172\.18\.0\.4 is no address/,
  },
  {
    what: '--node with an address that nodes do not list',
    args: ['--node', '192.168.0.238'],
    says: /192\.168\.0\.238/,
  },
  {
    what: '--node with no address',
    args: ['--node', 'here'],
    exitCode: 2,
    says: /--node: expected an IP address, got "here"/,
  },
  {
    what: 'an exit whose interface is not there',
    prepare: (cluster) => cluster.policy({ exits: [{ ...internet, gateways: ['172.18.0.3'], interface: 'eth9' }] }),
    canPlan: true,
    says: /eth9/,
  },
  {
    what: 'an exit whose interface is down',
    prepare: async (cluster, gateway) => {
      await cluster.policy({ exits: [{ ...remotePartners, gateways: ['172.18.0.3'] }], policies: [] });
      await gateway.machine.ip('link set eth1 down');
    },
    canPlan: true,
    says: /eth1/,
  },
  {
    what: 'a device egress0 of somebody else',
    prepare: (_, gateway) => ip(gateway, 'link add egress0 type bridge'),
    canPlan: true,
    says: /egress0/,
  },
];

describe('egress gateway is refused with one clear error, and changes nothing:', labTest, () => {
  for (const { what, prepare, args = [], onWorker, canPlan, exitCode = 1, says } of refusals) {
    test(what, async () => {
      await using lab = await Lab.create();
      const { cluster, gateway, worker } = await bare(lab);
      await prepare?.(cluster, gateway);
      const node = onWorker ? worker : gateway;
      const before = await snapshot(node);
      for (const last of canPlan ? [[]] : [[], ['--dry-run']]) {
        const { code, stderr } = await run(node, ...args, ...last);
        assert.equal(code, exitCode);
        assert.match(stderr, says);
        assert.doesNotMatch(stderr, /\n\s+at /);
      }
      assertUnchanged(before, await snapshot(node));
      assert.deepEqual(
        (await node.records()).filter((name) => name !== 'lock'),
        [],
      );
    });
  }
});

/** A gateway that is not up yet, and a worker. */
async function bare(lab: Lab, options: ClusterOptions = {}) {
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath: 'tunnel', ...options });
  const [gateway, worker] = [cluster.gateways[0], cluster.workers[0]];
  assert.ok(gateway && worker);
  return { cluster, gateway, worker, before: await snapshot(gateway) };
}

const run = (node: LabNode, ...args: readonly string[]): Promise<Outcome> =>
  node.egress('gateway', '--policy', policyFile, ...args);

/** The command, which has to succeed. */
async function egress(node: LabNode, ...args: readonly string[]): Promise<Outcome> {
  const outcome = await run(node, ...args);
  assert.equal(outcome.code, 0, outcome.stderr);
  return outcome;
}

/** Who made a route or rule is what the commands leave out. */
const withoutProtocol = (text: string): string => text.replaceAll(/ proto (230|boot|static|unspec)\b/g, '');
