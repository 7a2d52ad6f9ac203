import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { contains, parsePrefix } from '../../src/base/address.ts';
import type { Explanation } from '../../src/report/explain.ts';
import { partners } from '../support/chain.ts';
import { policyFile } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Packet } from '../support/pcap.ts';
import { world } from '../support/world.ts';

/** Of IPv4 alone, so that what it is to take of IPv6 is dropped; out of the interface that the node uses itself. */
const second = { name: 'second', interface: 'eth0', nextHop: world.front.gateway[0], addresses: ['172.18.0.45'] };

/** What can be asked for: few addresses and ports, so that policies get in each other's way. */
const addresses = ['203.0.113.9', '203.0.113.10', '203.0.113.130', '203.0.113.200', '2001:db8::9', '2001:db8:8000::9'];
const kinds = ['icmp', 'tcp:25', 'tcp:8080', 'udp:53', 'udp:5060', 'udp:8080'];

const lengths = { 4: [0, 24, 25, 28, 31, 32], 6: [0, 32, 33, 64, 128] } as const;
const anyRange = fc
  .constantFrom(...addresses)
  .chain((address) =>
    fc
      .constantFrom(...lengths[address.includes(':') ? 6 : 4])
      .map((length) => parsePrefix(`${address}/${length}`) ?? assert.fail()),
  );
const anyPorts = fc.uniqueArray(
  fc.constantFrom('icmp', 'tcp', 'tcp:25', 'tcp:1-100', 'udp', 'udp:53', 'udp:5060-8080'),
  {
    minLength: 1,
    maxLength: 3,
  },
);
const anyPolicies = fc.uniqueArray(
  fc.record(
    {
      name: fc.constantFrom('a', 'B', 'c', 'D', 'e', 'f-1', 'f.1', 'g'),
      namespaces: fc.constantFrom(['*'], ['default'], ['def*', 'other'], ['other']),
      destinations: fc.uniqueArray(anyRange, { minLength: 1, maxLength: 4 }),
      except: fc.uniqueArray(anyRange, { maxLength: 2 }),
      ports: anyPorts,
      exit: fc.constantFrom(partners.name, partners.name, second.name, second.name, 'node', 'drop'),
      priority: fc.constantFrom(0, 0, 0, -1, 100),
    },
    { requiredKeys: ['name', 'namespaces', 'destinations', 'exit', 'priority'], noNullPrototype: true },
  ),
  { selector: ({ name }) => name, minLength: 1, maxLength: 8 },
);
const anyPackets = fc.uniqueArray(fc.tuple(fc.constantFrom(...addresses), fc.constantFrom(...kinds)), {
  selector: ([address, kind]) => `${address} ${kind}`,
  minLength: 16,
  maxLength: 16,
});

const rounds = 12;

test(
  'priority, then longest prefix, then name: for random policies each packet leaves as explain says',
  labTest,
  async (t) => {
    const seed = Number(process.env.EGRESS_SEED ?? Date.now() % 0x7fffffff);
    t.diagnostic(`EGRESS_SEED=${seed} repeats this run`);
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.machine.ip(`address add ${second.addresses[0]}/16 dev eth0`);
    await node.write({ egress: { type: 'egress', policyFile } });
    const met = new Set<string>();
    for (const [policies, packets] of fc.sample(fc.tuple(anyPolicies, anyPackets), { seed, numRuns: rounds })) {
      await writePolicies(node, policies);
      const { said, seen } = await sayAndSee(node, packets);
      for (const [i, { sentence, outcome, exit = 'node' }] of said.entries()) {
        const [address, kind] = packets[i] ?? assert.fail('more was said than asked');
        assert.equal(
          exit,
          exitByHand(policies, address, kind),
          `${sentence}\n${JSON.stringify(policies, undefined, 1)}`,
        );
        assert.deepEqual(seen[i], expected(node, said[i]), `${sentence}\n${JSON.stringify(policies, undefined, 1)}`);
        met.add(outcome);
      }
    }
    assert.deepEqual([...met].sort(), ['dropped', 'leaves', 'left alone'], 'the policies are random enough');
  },
);

type RandomPolicies = typeof anyPolicies extends fc.Arbitrary<infer T> ? T : never;

/** The order as people are told it, in so many words. */
function exitByHand(policies: RandomPolicies, address: string, kind: string): string {
  const lengthOf = (range: string) => Number(range.split('/')[1]);
  const [first] = policies
    .filter(({ namespaces }) => namespaces.some((glob) => ['*', 'default', 'def*'].includes(glob)))
    .filter(({ except = [] }) => !except.some((range) => contains(range, address)))
    .filter(({ ports = [kind] }) => ports.some((range) => portsByHand[range]?.includes(kind) ?? range === kind))
    .flatMap(({ destinations, ...policy }) => {
      const holding = destinations.filter((range) => contains(range, address)).map(lengthOf);
      return holding.length === 0 ? [] : [{ ...policy, length: Math.max(...holding) }];
    })
    .sort((a, b) => b.priority - a.priority || b.length - a.length || (a.name < b.name ? -1 : 1));
  return first?.exit ?? 'node';
}

/** Which of the kinds a range of ports holds that is not one of them itself. */
const portsByHand: Readonly<Record<string, readonly string[]>> = {
  tcp: ['tcp:25', 'tcp:8080'],
  'tcp:1-100': ['tcp:25'],
  udp: ['udp:53', 'udp:5060', 'udp:8080'],
  'udp:5060-8080': ['udp:5060', 'udp:8080'],
};

async function writePolicies(node: LabNode, policies: readonly object[]): Promise<void> {
  const file = node.configuration('egress/policy.json');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify({ clusterCIDRs: world.cluster, exits: [partners, second], policies }));
}

/** What explain says of packets of a new pod, and by which interface and with which address they left. */
async function sayAndSee(node: LabNode, packets: readonly (readonly [address: string, kind: string])[]) {
  const pod = await node.started();
  const { code, stdout, stderr } = await node.egress(
    'explain',
    `default/${pod.name}`,
    '--json',
    ...packets.map(([address, kind]) => destinationOf(address, kind)),
  );
  assert.equal(code, 0, stderr);
  const capture = await node.capture();
  await pod.run('send-each.py', ...packets.map(([address, kind]) => wordOf(address, kind)));
  const left = await capture.stop();
  await node.end(pod);
  const seen = packets.map(([address, kind]) => waysOf(left, address, kind));
  return { said: JSON.parse(stdout) as readonly Explanation[], seen };
}

/** As explain takes it: `udp/203.0.113.9:53`. */
function destinationOf(address: string, kind: string): string {
  const [protocol, port] = kind.split(':');
  return `${protocol}/${port === undefined ? address : `[${address}]:${port}`.replace(/\[([\d.]+)\]/, '$1')}`;
}

/** As the program takes it: `udp/203.0.113.9/53`. */
const wordOf = (address: string, kind: string) => `${kind.split(':')[0]}/${address}/${kind.split(':')[1] ?? 0}`;

/** By which interfaces and with which addresses packets left; each once, however often TCP repeated it. */
function waysOf(packets: readonly Packet[], address: string, kind: string): readonly string[] {
  const [protocol, port] = kind.split(':');
  const own = packets.filter(
    (packet) =>
      packet.destination === address &&
      packet.protocol === protocol &&
      packet.destinationPort === (port === undefined ? undefined : Number(port)),
  );
  return [...new Set(own.map((packet) => `${packet.interface} ${packet.source}`))];
}

/** What {@link waysOf} finds when an explanation is right. */
function expected(node: LabNode, explanation: Explanation | undefined): readonly string[] {
  const { outcome, way, packet } = explanation ?? assert.fail('nothing was said');
  if (outcome === 'dropped') return [];
  if (outcome === 'leaves') return [`${way?.device} ${way?.sources.join()}`];
  assert.equal(outcome, 'left alone');
  // Of a pod without a policy explain does not know that it is on this node.
  return [`${way?.device ?? 'eth0'} ${node.addresses('eth0')[packet.destination.includes(':') ? 1 : 0]}`];
}
