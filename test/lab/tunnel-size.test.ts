import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cluster, type ClusterOptions, internet, replyPaths } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { Namespace } from '../support/namespace.ts';
import type { Pod } from '../support/pod.ts';
import type { Daemon } from '../support/run.ts';
import { program, tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

/** What fits into the tunnel, by what is around it: 1500 bytes less the headers of VXLAN over IPv4, or over IPv6. */
const tunnels = [
  ...replyPaths.map((replyPath) => ({ replyPath, underlay: 4, mtu: 1450 }) as const),
  { replyPath: 'tunnel', underlay: 6, mtu: 1430 },
] as const;

/** How long a segment of TCP may be in a packet of a length: without the headers of IP and TCP, IPv4 first. */
const segments = (mtu: number) => [`mss ${mtu - 40}`, `mss ${mtu - 60}`];

/** More than fits into all buffers on the way. */
const bulkBytes = String(4 * 1024 * 1024);

for (const { mtu, ...options } of tunnels) {
  const { replyPath, underlay } = options;
  describe(`in a tunnel over IPv${underlay} with the reply path "${replyPath}"`, labTest, () => {
    test(`a packet of 1500 bytes that nobody may take apart gets the answer of the pod's node that ${mtu} fit, and these pass`, async () => {
      await using lab = await Lab.create();
      const pod = await started(lab, options);
      const seen = await watchRefusals(pod.network, 'eth0');
      const tooBig = `too big, ${mtu}`;
      assert.deepEqual(await askEach(pod, 'whole', 1500), [tooBig, tooBig]);
      assert.deepEqual(await askEach(pod, 'whole', mtu), internet.addresses);
      assert.deepEqual(await refusals(seen), [
        `IP 10.0.1.1 > ${pod.addresses[0]}: ICMP ${world.service[0]} unreachable - need to frag (mtu ${mtu})`,
        `IP6 fd00:10:0:1::1 > ${pod.addresses[1]}: ICMP6, packet too big, mtu ${mtu}`,
      ]);
      // Elsewhere, where the pod knows nothing yet.
      assert.deepEqual(await askEach(pod, 'ping', 1500, world.excepted), [tooBig, tooBig]);
      assert.deepEqual(await askEach(pod, 'ping', mtu, world.excepted), ['reply', 'reply']);
    });

    test('datagrams of many fragments arrive whole with the addresses of the exit, and so do the answers', async () => {
      await using lab = await Lab.create();
      const pod = await started(lab, options);
      for (const bytes of [4000, 60_000]) {
        assert.deepEqual(await askEach(pod, 'datagram', bytes), internet.addresses, `${bytes}`);
      }
    });

    if (replyPath === 'tunnel') {
      test(`a server that answers with packets of 1500 bytes learns from the exit's address that ${mtu} fit, and these pass`, async () => {
        await using lab = await Lab.create();
        const pod = await started(lab, options);
        const seen = await watchRefusals(lab.front.namespace, 'node3');
        assert.deepEqual(await serverLimits(lab), ['none', 'none']);
        assert.deepEqual(await askEach(pod, 'answer', 1500), ['nothing', 'nothing']);
        // The kernel of the server believes only what tells of a packet that it could have sent.
        assert.deepEqual(await serverLimits(lab), [`mtu ${mtu}`, `mtu ${mtu}`]);
        const [four, six] = internet.addresses;
        assert.deepEqual(await refusals(seen), [
          `IP ${four} > ${world.service[0]}: ICMP ${four} unreachable - need to frag (mtu ${mtu})`,
          `IP6 ${six} > ${world.service[1]}: ICMP6, packet too big, mtu ${mtu}`,
        ]);
        assert.deepEqual(await askEach(pod, 'answer', mtu), internet.addresses);
      });
    } else {
      test('answers of 1500 bytes pass, because they do not take the tunnel', async () => {
        await using lab = await Lab.create();
        const pod = await started(lab, options);
        assert.deepEqual(await askEach(pod, 'answer', 1500), internet.addresses);
        assert.deepEqual(await serverLimits(lab), ['none', 'none']);
      });
    }

    test('TCP agrees on segments that fit, and many bytes pass unchanged in both directions', async () => {
      await using lab = await Lab.create();
      const pod = await started(lab, options);
      const [sent, received] = await watchHandshakes(lab, pod);
      assert.deepEqual(await askEach(pod, 'bulk', bulkBytes), internet.addresses);
      assert.deepEqual(await segmentSizes(sent, internet.addresses), segments(mtu));
      const answered = replyPath === 'tunnel' ? segments(mtu) : segments(1500);
      assert.deepEqual(await segmentSizes(received, world.service), answered);
    });
  });
}

describe('a pod on the gateway', labTest, () => {
  test('sends and gets packets of 1500 bytes, and segments of TCP as long as they can be', async () => {
    await using lab = await Lab.create();
    const pod = await started(lab, { replyPath: 'tunnel' }, 0);
    const [sent, received] = await watchHandshakes(lab, pod);
    assert.deepEqual(await askEach(pod, 'whole', 1500), internet.addresses);
    assert.deepEqual(await askEach(pod, 'answer', 1500), internet.addresses);
    assert.deepEqual(await askEach(pod, 'ping', 1500), ['reply', 'reply']);
    assert.deepEqual(await askEach(pod, 'datagram', 60_000), internet.addresses);
    assert.deepEqual(await askEach(pod, 'bulk', bulkBytes), internet.addresses);
    assert.deepEqual(await segmentSizes(sent, internet.addresses), segments(1500));
    assert.deepEqual(await segmentSizes(received, world.service), segments(1500));
  });
});

/** A cluster whose gateways are up, and a pod on one of its nodes: on the worker, or on the gateway (0). */
async function started(lab: Lab, options: ClusterOptions, index = 1): Promise<Pod> {
  await lab.front.host.start([tool('python3'), program('size.py'), 'serve'], 'ready');
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], ...options });
  await cluster.up();
  const pod = await cluster.all[index]?.started();
  assert.ok(pod);
  return pod;
}

/** What programs/size.py says, by IPv4 and by IPv6. */
function askEach(
  pod: Pod,
  what: 'whole' | 'ping' | 'datagram' | 'answer' | 'bulk',
  bytes: number | string,
  addresses: readonly string[] = world.service,
): Promise<readonly string[]> {
  return Promise.all(
    addresses.map(async (address) => {
      const { stdout, stderr } = await pod.run('size.py', what, address, String(bytes));
      return stdout.trim() || stderr;
    }),
  );
}

/** Starts to show the packets that a filter lets through, as lines of tcpdump. */
const watch = (machine: Namespace, device: string, filter: string): Promise<Daemon> =>
  machine.start([tool('tcpdump'), '-i', device, '-n', '-t', '-l', '--immediate-mode', filter], 'listening on');

/** Shows what routers say of packets that are too big: destination unreachable, and ICMPv6 packet too big. */
const watchRefusals = (machine: Namespace, device: string) =>
  watch(machine, device, 'icmp[0] == 3 or (ip6[6] == 58 and ip6[40] == 2)');

/** The first by IPv4 and the first by IPv6, without their lengths. */
const refusals = async (seen: Daemon): Promise<readonly string[]> =>
  [await seen.line('IP '), await seen.line('IP6 ')].map((line) => line.replace(/, length \d+$/, ''));

/** The path MTU that the server has learned for each address of the exit. */
const serverLimits = ({ front }: Lab): Promise<readonly string[]> =>
  Promise.all(
    internet.addresses.map(async (address) => {
      const route = await front.host.must(['ip', 'route', 'get', address]);
      return route.match(/mtu \d+/)?.[0] ?? 'none';
    }),
  );

/** SYNs, and the answers to them: as they leave the gateway, and as they come to the pod. */
function watchHandshakes(lab: Lab, pod: Pod): Promise<readonly [Daemon, Daemon]> {
  const syn = 'tcp[13] & 2 != 0 or (ip6[6] == 6 and ip6[53] & 2 != 0)';
  return Promise.all([watch(lab.front.namespace, 'node3', syn), watch(pod.network, 'eth0', syn)]);
}

/** The longest segment that each of the addresses offered in its SYN. */
const segmentSizes = (seen: Daemon, addresses: readonly string[]): Promise<readonly (string | undefined)[]> =>
  Promise.all(
    addresses.map(async (address) => {
      const line = await seen.line(`${address.includes(':') ? 'IP6' : 'IP'} ${address}.`);
      return line.match(/mss \d+/)?.[0];
    }),
  );
