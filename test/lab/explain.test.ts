import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import type { Explanation } from '../../src/report/explain.ts';
import { egressEntry, type Json, partners, policy } from '../support/chain.ts';
import { Cluster, internet } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { world } from '../support/world.ts';

const [service4, service6] = world.service;
const services = [`udp/${service4}:8080`, `[${service6}]:8080`];

/** What the binary says of packets of a pod, which it is told by its name. */
async function explained(node: LabNode, pod: Pod, destinations: readonly string[], ...options: readonly string[]) {
  const name = `${pod.namespace}/${pod.name}`;
  const { code, stdout, stderr } = await node.egress('explain', name, ...destinations, '--json', ...options);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as readonly Explanation[];
}

/** Asks about packets to services outside, and sends them: the outside must see what was said. Returns the answers. */
async function agreed(node: LabNode, pod: Pod, destinations: readonly string[], ...options: readonly string[]) {
  const explanations = await explained(node, pod, destinations, ...options);
  const seen = await Promise.all(explanations.map((explanation) => send(pod, explanation)));
  const right = explanations.map((explanation) => seenOutside(node, explanation));
  assert.deepEqual(seen, right, explanations.map(({ sentence }) => sentence).join('\n'));
  return answers(explanations);
}

function send(pod: Pod, { packet: { destination, protocol, port } }: Explanation): Promise<string> {
  assert.ok(protocol === 'udp' || protocol === 'tcp', 'by others a service tells nobody what it saw');
  return pod.ask(protocol, destination, port);
}

/** What the outside sees of a packet when an explanation is right. */
function seenOutside(node: LabNode, { outcome, way, packet }: Explanation): string {
  if (outcome === 'leaves') return way?.sources.join() ?? '';
  if (outcome === 'left alone') return node.addresses('eth0')[packet.destination.includes(':') ? 1 : 0];
  return outcome === 'unknown' ? 'anything' : 'nothing';
}

/** Outcome, policy and exit of each explanation, in one line. */
const answers = (explanations: readonly Explanation[]) =>
  explanations.map(({ outcome, policy: by, exit }) => [outcome, ...(by ? [by, exit] : [])].join(' '));

/** What is wrong in the kernel, as the explanations show it. */
const problems = (explanations: readonly Explanation[]) =>
  explanations.flatMap(({ kernel }) => kernel.flatMap(({ what, problem }) => (problem ? [`${what} ${problem}`] : [])));

const four = { ...partners, name: 'four', nextHop: partners.nextHop[0], addresses: [partners.addresses[0]] };

/** One policy for each thing that can be said about a destination. */
const policies: readonly Json[] = [
  { name: 'all', namespaces: ['default'], except: [world.exceptions[0]], exit: partners.name },
  { name: 'stop', namespaces: ['*'], destinations: ['203.0.113.64/26'], exit: 'drop', priority: 9 },
  { name: 'plain', namespaces: ['default'], destinations: ['203.0.113.32/27'], exit: 'node' },
  { name: 'port', namespaces: ['default'], destinations: ['203.0.113.16/28'], ports: ['tcp:8080'], exit: 'drop' },
  { name: 'four', namespaces: ['default'], destinations: ['2001:db8:4::/48'], exit: four.name },
];

describe('a packet does what explain says', labTest, () => {
  test('by local exits, drops, the node’s own way, ports, exceptions and families that an exit lacks', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ egress: egressEntry({ exits: [partners, four], policies }) });
    const pod = await node.started();
    const rows: readonly (readonly [destination: string, answer: string])[] = [
      [`udp/${service4}:8080`, 'leaves all partners'],
      [`[${service6}]:8080`, 'leaves all partners'],
      ['udp/203.0.113.70:8080', 'dropped stop drop'],
      ['203.0.113.40:8080', 'left alone plain node'],
      ['203.0.113.17:8080', 'dropped port drop'],
      ['udp/203.0.113.17:8080', 'leaves all partners'],
      [`${world.excepted[0]}:8080`, 'left alone'],
      ['[2001:db8:4::1]:8080', 'dropped four four'],
    ];
    const destinations = rows.map(([destination]) => destination);
    assert.deepEqual(
      await agreed(node, pod, destinations),
      rows.map(([, answer]) => answer),
    );
    assert.deepEqual(problems(await explained(node, pod, destinations)), []);
  });

  test('to the node itself, to other pods and to services: it is left alone', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const everywhere = [{ name: 'all', namespaces: ['default'], exit: partners.name }];
    await node.write({ egress: egressEntry({ policies: everywhere }) });
    const [pod, other] = [await node.started(), await node.started()];
    await other.serve();
    const gateways = pod.result?.ips.map(({ gateway }) => gateway ?? '') ?? [];
    const inside = [
      ...other.addresses,
      ...gateways,
      ...world.exitAddress,
      '10.96.0.10',
      '192.168.0.255',
      '0.0.0.1',
      'ff02::1',
    ];
    const explanations = await explained(node, pod, inside);
    assert.deepEqual(
      answers(explanations),
      inside.map(() => 'left alone'),
    );
    assert.deepEqual(await pod.askEach('udp', other.addresses), pod.addresses);
  });

  test('of a pod that has no address of a family, and of one that no policy is for', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ ranges: [{ subnet: '10.0.0.0/24' }] });
    const onlyFour = await node.started();
    assert.deepEqual(await agreed(node, onlyFour, services), ['leaves partners partners', 'not sent']);
    await node.write({});
    const other = await node.started('other');
    await writeFile(node.configuration('policy.json'), JSON.stringify(policy));
    const options = ['--policy', '/etc/cni/policy.json'];
    assert.deepEqual(await agreed(node, other, services, ...options), ['left alone', 'left alone']);
  });

  test('of an exit whose pods are spread over several addresses', async () => {
    await using lab = await Lab.create();
    const addresses = ['192.168.0.245', '192.168.0.246', '192.168.0.247', 'fd00:168::245'];
    const node = await lab.node(5, addresses);
    await node.write({ egress: egressEntry({ exits: [{ ...partners, addresses }] }) });
    for (let i = 0; i < 4; i++) {
      const pod = await node.started();
      assert.deepEqual(await agreed(node, pod, services), ['leaves partners partners', 'leaves partners partners']);
    }
  });
});

/** What somebody does to the node of a steered pod, and what explain then says of IPv4. */
interface Harm {
  readonly what: string;
  readonly answer: string;
  readonly problem?: string;
  readonly happens: (node: LabNode, pod: Pod) => Promise<unknown>;
  readonly onUnavailable?: 'node';
}

const nft = (node: LabNode, ...command: readonly string[]) => node.machine.must(['nft', ...command]);
const exitTable = async ({ machine }: LabNode) =>
  /lookup (\d+)/.exec(await machine.must(['ip', 'rule', 'list', 'priority', '701']))?.[1] ?? '';
const withoutRoute = async (node: LabNode) =>
  node.machine.must(['ip', 'route', 'delete', 'default', 'metric', '1024', 'table', await exitTable(node)]);

const harms: readonly Harm[] = [
  {
    what: 'the pod’s element is deleted',
    answer: 'dropped partners partners',
    problem: 'element missing',
    happens: (node, pod) => nft(node, `delete element inet cni-egress pods4 { ${pod.addresses[0]} }`),
  },
  {
    what: 'our table is deleted',
    answer: 'dropped partners partners',
    problem: 'element missing',
    happens: (node) => nft(node, 'delete table inet cni-egress'),
  },
  {
    what: 'the exit’s route is deleted',
    answer: 'dropped partners partners',
    problem: 'route missing',
    happens: withoutRoute,
  },
  {
    what: 'the exit’s route is deleted, and packets may take the node’s way then',
    answer: 'leaves partners partners',
    problem: 'route missing',
    happens: withoutRoute,
    onUnavailable: 'node',
  },
  {
    what: 'the exit’s policy rule is deleted',
    answer: 'dropped partners partners',
    problem: 'policy rule missing',
    happens: (node) => node.machine.must(['ip', 'rule', 'delete', 'priority', '701']),
  },
  {
    what: 'the exit’s interface is down',
    answer: 'dropped partners partners',
    problem: 'route missing',
    happens: (node) => node.machine.ip('link set eth1 down'),
  },
  {
    what: 'the exit’s address is not on the node any more',
    answer: 'dropped partners partners',
    happens: (node) => node.machine.ip(`address delete ${world.exitAddress[0]} dev eth1`),
  },
  {
    what: 'the element with the source address is deleted',
    answer: 'dropped partners partners',
    problem: 'source missing',
    happens: (node) => nft(node, 'flush map inet cni-egress snat4'),
  },
  {
    what: 'the element of the guard is deleted',
    answer: 'dropped partners partners',
    problem: 'guard missing',
    happens: (node) => nft(node, 'flush set inet cni-egress lanes4'),
  },
];

// Most of these only wait for answers that do not come.
describe('a packet does what explain says when', { ...labTest, concurrency: 4 }, () => {
  for (const { what, answer, problem, happens, onUnavailable } of harms) {
    test(what, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      await node.write({ egress: egressEntry({ exits: [{ ...partners, ...(onUnavailable && { onUnavailable }) }] }) });
      const pod = await node.started();
      await happens(node, pod);
      const [to4 = ''] = services;
      assert.deepEqual(await agreed(node, pod, [to4]), [answer]);
      const found = problems(await explained(node, pod, [to4]));
      assert.ok(problem === undefined ? found.length === 0 : found.includes(problem), found.join());
    });
  }

  test('a rule of the exit is deleted: nobody can say what', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await nft(node, 'flush chain inet cni-egress guard');
    assert.deepEqual(answers(await explained(node, pod, services)), [
      'unknown partners partners',
      'unknown partners partners',
    ]);
  });
});

describe('of a gateway exit a packet does what explain says', labTest, () => {
  test('on a worker and on the gateway', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.up();
    for (const [node, gateway] of [
      [cluster.workers[0], cluster.gateways[0]],
      [cluster.gateways[0], undefined],
    ]) {
      assert.ok(node);
      const pod = await node.started();
      assert.deepEqual(await agreed(node, pod, services), ['leaves internet internet', 'leaves internet internet']);
      const [first] = await explained(node, pod, services);
      assert.equal(first?.way?.gateway, gateway && cluster.end(gateway));
      assert.deepEqual(first?.way?.sources, [internet.addresses[0]]);
      assert.deepEqual(problems(await explained(node, pod, services)), []);
    }
  });

  test('when the way to the gateway is not there any more', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.up();
    const [node, gateway] = [cluster.workers[0], cluster.end(cluster.gateways[0] ?? assert.fail())];
    assert.ok(node);
    const pod = await node.started();
    await node.machine.must(['ip', 'neigh', 'delete', gateway, 'dev', 'egress0']);
    assert.deepEqual(await agreed(node, pod, services), ['dropped internet internet', 'leaves internet internet']);
    const mac = gateway.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'));
    await node.machine.must(['bridge', 'fdb', 'delete', ['02:e6', ...mac].join(':'), 'dev', 'egress0', 'dst', gateway]);
    assert.deepEqual(await agreed(node, pod, services), ['dropped internet internet', 'dropped internet internet']);
    assert.deepEqual(problems(await explained(node, pod, services)), [
      'next hop missing',
      'forwarding missing',
      'forwarding missing',
    ]);
  });

  test('to the tunnel’s port of a node', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.up();
    const node = cluster.workers[0];
    assert.ok(node);
    const pod = await node.started();
    const capture = await node.capture();
    const destination = `udp/${cluster.end(cluster.gateways[0] ?? node)}:4788`;
    assert.deepEqual(answers(await explained(node, pod, [destination])), ['dropped']);
    assert.equal(await pod.ask('udp', cluster.end(cluster.gateways[0] ?? node), 4788), 'nothing');
    const left = (await capture.stop()).filter(({ destinationPort }) => destinationPort === 4788);
    assert.deepEqual(left, []);
  });
});
