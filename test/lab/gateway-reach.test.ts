import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Json } from '../support/chain.ts';
import {
  Cluster,
  type ClusterOptions,
  type ClusterPacket,
  describeFromNode,
  internet,
  internetPolicy,
  packetsOutside,
  remotePartners,
  replyPaths,
} from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import { type Pod, type Protocol, protocols } from '../support/pod.ts';
import { world } from '../support/world.ts';

/** The exits of these tests, and the uplink that gateways send out of. */
const exits = [
  { exit: internet, uplink: 'eth0' },
  { exit: remotePartners, uplink: 'eth1' },
] as const;

for (const replyPath of replyPaths) {
  describe(`with the reply path "${replyPath}"`, labTest, () => {
    for (const { exit, uplink } of exits) {
      for (const protocol of protocols) {
        test(`the outside sees by ${protocol} the addresses of an exit out of the gateway's ${uplink}, from pods on the gateway and elsewhere`, async () => {
          await using lab = await Lab.create();
          const { cluster, pods } = await started(lab, exit, { replyPath });
          const stop = await cluster.capture();
          await assertSeen(pods, protocol, exit.addresses);
          const packets = await stop();
          assert.deepEqual(cluster.leaks(packets, exit.addresses), []);
          assert.deepEqual(kinds(packets), leaving(3, uplink, protocol, exit.addresses));
        });
      }
    }

    test('packets to the outside and their answers go between the nodes in the tunnel, and pods on the gateway need none', async () => {
      await using lab = await Lab.create();
      const { cluster, pods } = await started(lab, internet, { replyPath });
      const stop = await cluster.capture();
      await assertSeen(pods, 'udp', internet.addresses);
      const tunnelled = (await stop()).flatMap(({ node, inner }) => (inner ? [{ ...inner, node }] : []));
      const towards = packetsTo(tunnelled, ...world.service);
      const [onGateway, ...elsewhere] = pods;
      assert.deepEqual(sources(towards), new Set(elsewhere.flatMap(({ addresses }) => addresses)));
      const back = tunnelled.filter((packet) => !towards.includes(packet));
      const answered = replyPath === 'tunnel' ? new Set(world.service) : new Set();
      assert.deepEqual(sources(back), answered);
      assert.deepEqual(packetsTo(back, ...(onGateway?.addresses ?? [])), []);
    });

    test('a pod that somebody outside asks answers on its own way, and not by the gateway', async () => {
      await using lab = await Lab.create();
      const { cluster, pods } = await started(lab, internet, { replyPath, reachHosts: true });
      await assertSeen(pods, 'udp', internet.addresses, world.front.host);
      for (const [i, pod] of pods.entries()) {
        await pod.serve();
        const stop = await cluster.capture();
        for (const protocol of protocols) {
          const seen = await pod.askedFrom(lab.front.host, protocol);
          const right = protocol === 'icmp' ? ['reply', 'reply'] : world.front.host;
          assert.deepEqual(seen, right, `${protocol} to the pod on node${cluster.all[i]?.number}`);
        }
        const answers = packetsOutside(await stop());
        assert.deepEqual(new Set(answers.map(({ node }) => node)), new Set([cluster.all[i]?.number]));
        assert.deepEqual(sources(answers), new Set(pod.addresses));
      }
    });

    test('a gateway with two exits gives each its own addresses and its own way', async () => {
      await using lab = await Lab.create();
      const toPartners = { ...internetPolicy, name: 'partners', destinations: world.exceptions, exit: 'partners' };
      const policies = [internetPolicy, toPartners];
      const { cluster, pods } = await started(lab, [internet, remotePartners], { replyPath, policies });
      const stop = await cluster.capture();
      await assertSeen(pods, 'tcp', internet.addresses);
      await assertSeen(pods, 'tcp', remotePartners.addresses, world.excepted);
      const packets = await stop();
      const expected = [
        ...leaving(3, 'eth0', 'tcp', internet.addresses),
        ...leaving(3, 'eth1', 'tcp', remotePartners.addresses, world.excepted),
      ];
      assert.deepEqual(kinds(packets, [...world.service, ...world.excepted]), expected.toSorted());
    });

    for (const { exit, uplink } of exits) {
      test(`the addresses of an exit out of ${uplink} move to a second gateway, and from then on it alone sends with them`, async () => {
        await using lab = await Lab.create();
        const { cluster, pods } = await started(lab, exit, { replyPath });
        await assertSeen(pods, 'tcp', exit.addresses);
        const [, second] = cluster.gateways;
        assert.ok(second);
        await cluster.move(exit.name, second);
        const stop = await cluster.capture();
        for (const protocol of protocols) await assertSeen(pods, protocol, exit.addresses);
        const packets = await stop();
        assert.deepEqual(cluster.leaks(packets, exit.addresses), []);
        const expected = protocols.flatMap((protocol) => leaving(4, uplink, protocol, exit.addresses));
        assert.deepEqual(kinds(packets), expected.toSorted());
        const holders = await Promise.all(cluster.gateways.map((node) => holds(node, exit.addresses)));
        assert.deepEqual(holders, [false, true]);
      });
    }
  });
}

describe('the source port of a pod', labTest, () => {
  test('is kept when it is free', async () => {
    await using lab = await Lab.create();
    const { pods } = await started(lab, internet);
    for (const [i, pod] of pods.entries()) {
      for (const protocol of ['tcp', 'udp'] as const) {
        const expected = internet.addresses.map((address) => `${address} ${40_000 + i}`);
        assert.deepEqual(await pod.askFromPort(40_000 + i, protocol), expected);
      }
    }
  });

  test('is another one when a second pod uses it too, to the same destination', async () => {
    await using lab = await Lab.create();
    const { pods } = await started(lab, internet);
    const seen = [];
    for (const pod of pods) seen.push(...(await pod.askFromPort(40_000, 'udp')));
    assert.deepEqual(
      seen.slice(0, 2),
      internet.addresses.map((address) => `${address} 40000`),
    );
    assert.equal(new Set(seen).size, 6, `${seen}`);
    assert.deepEqual(new Set(seen.map((peer) => peer.split(' ')[0])), new Set(internet.addresses));
  });
});

describe('a gateway that is taken down', labTest, () => {
  test('has no address of the exit any more, and nothing of any pod leaves', async () => {
    await using lab = await Lab.create();
    const { cluster, pods } = await started(lab, internet);
    await assertSeen(pods, 'udp', internet.addresses);
    const [first] = cluster.gateways;
    assert.ok(first && (await holds(first, internet.addresses)));
    await cluster.down(first);
    const stop = await cluster.capture();
    const elsewhere = pods.slice(1);
    const seen = await Promise.all(elsewhere.map((pod) => pod.askEach('udp')));
    assert.deepEqual(
      seen,
      elsewhere.map(() => ['nothing', 'nothing']),
    );
    assert.deepEqual(packetsTo(await stop(), ...world.service), []);
    assert.equal(await holds(first, internet.addresses), false);
  });
});

/** Changes of a cluster that has been set up for a test. */
interface Changes extends ClusterOptions {
  readonly policies?: readonly Json[];
  /** Steers what goes to the addresses too that the front host asks from. */
  readonly reachHosts?: boolean;
}

/** A cluster whose gateways are up, with a pod on each node that is steered to the first of the exits. */
async function started(lab: Lab, chosen: Json | readonly Json[], changes: Changes = {}) {
  const list = [chosen].flat() as readonly Json[];
  const { policies, reachHosts, ...options } = changes;
  const cluster = await Cluster.create(lab, options);
  const destinations = [...world.outside, ...(reachHosts ? world.front.host.map(onlyThis) : [])];
  const steering = [{ ...internetPolicy, destinations, exit: list[0]?.name }];
  await cluster.policy({ exits: list, policies: policies ?? steering });
  await cluster.up();
  return { cluster, pods: await cluster.startedOnEach() };
}

const onlyThis = (address: string) => `${address}/${address.includes(':') ? 128 : 32}`;

/** Every pod is answered, and services that tell what they saw have seen these addresses. */
async function assertSeen(
  pods: readonly Pod[],
  protocol: Protocol,
  addresses: readonly string[],
  destinations: readonly string[] = world.service,
): Promise<void> {
  const seen = await Promise.all(pods.map((pod) => pod.askEach(protocol, destinations)));
  const expected = protocol === 'icmp' ? addresses.map(() => 'reply') : addresses;
  assert.deepEqual(
    seen,
    pods.map(() => expected),
  );
}

/** Each kind of packet that left to services. */
const kinds = (packets: readonly ClusterPacket[], services: readonly string[] = world.service) =>
  [...new Set(packetsTo(packets, ...services).map(describeFromNode))].toSorted();

/** What {@link kinds} has to be when all left by one node. */
const leaving = (
  node: number,
  uplink: string,
  protocol: Protocol,
  addresses: readonly string[],
  services: readonly string[] = world.service,
): readonly string[] =>
  addresses.map((address, i) => {
    const port = protocol === 'icmp' ? '' : ' port 8080';
    return `node${node} ${uplink} ${protocol} ${address} > ${services[i]}${port}`;
  });

const sources = (packets: readonly { readonly source: string }[]) => new Set(packets.map(({ source }) => source));

/** Whether a node has all of the addresses; some of them is an error. */
async function holds({ machine }: LabNode, addresses: readonly string[]): Promise<boolean> {
  const own = await machine.must(['ip', '-oneline', 'address']);
  const found = addresses.filter((address) => own.includes(` ${address}/`));
  assert.ok([0, addresses.length].includes(found.length), `only ${found}`);
  return found.length > 0;
}
