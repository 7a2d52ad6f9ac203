import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { egressBinary } from '../support/tools.ts';

const capabilities = ['net_admin', 'net_raw', 'bpf'] as const;

/**
 * What a container runtime makes of a container: its own mounts, with /proc/sys read-only, and these capabilities, of
 * which no more can be had. `found` says to the agent where the parameters can be written.
 */
function asContained(options: { readonly has?: readonly string[]; readonly found?: string }): readonly string[] {
  const { has = capabilities, found } = options;
  const mounts = [
    'mount -t tmpfs none /mnt && mkdir -p /mnt/net && mount --bind /proc/sys/net /mnt/net',
    'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys',
    'exec "$@"',
  ];
  const bounding = ['-all', ...has.map((name) => `+${name}`)].join(',');
  return [
    ...['unshare', '--mount', 'sh', '-ec', mounts.join('\n'), 'sh'],
    ...['setpriv', '--no-new-privs', '--inh-caps', '-all', '--bounding-set', bounding],
    ...['env', ...(found === undefined ? [] : [`EGRESS_PROC_SYS=${found}`])],
  ];
}

const filter = 'net.ipv4.conf.eth1.rp_filter';

/** Takes the table away, sets a parameter back, and takes the filter from the interface of a pod. */
async function disturb({ machine }: LabNode, device: string): Promise<void> {
  await machine.sysctl({ [filter]: 1 });
  await machine.must(['tc', 'qdisc', 'delete', 'dev', device, 'clsact']);
  await machine.must(['nft', 'flush', 'ruleset']);
}

/** The answer to `egress agent` when the kubelet asks whether it is ready. */
const readiness = ({ machine }: LabNode): Promise<string> =>
  machine.must([
    process.execPath,
    '-e',
    'fetch("http://127.0.0.1:14597/readyz").then((r) => r.text()).then((text) => process.stdout.write(text))',
  ]);

const filterOf = async ({ machine }: LabNode): Promise<string> => (await machine.must(['sysctl', '-n', filter])).trim();

const filtersOf = ({ machine }: LabNode, device: string): Promise<string> =>
  machine.must(['tc', 'filter', 'show', 'dev', device, 'ingress']);

describe('an agent with the rights of a container', labTest, () => {
  test('mends a flushed table and a parameter that was set back, with NET_ADMIN, NET_RAW and BPF alone', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    assert.equal(await filterOf(node), '2');
    const agent = await RunningAgent.startBy(
      node,
      asContained({ found: '/mnt' }),
      'has looked at all of the node once',
    );
    const [, device = ''] = /qdisc clsact \S+ dev (\S+)/.exec(await node.machine.must(['tc', 'qdisc', 'show'])) ?? [];
    assert.match(await filtersOf(node, device), /cni-egress/);
    await disturb(node, device);
    await agent.line('put back what somebody had taken or changed');
    while (!(await filtersOf(node, device)).includes('cni-egress')) await agent.line('put back', agent.length);
    while ((await filterOf(node)) !== '2') await agent.line('put back', agent.length);
    assert.deepEqual(await pod.askEach(), partners.addresses);
    assert.doesNotMatch(agent.daemon.lines.join('\n'), /could not be done/);
    assert.equal(await readiness(node), 'ok\n');
  });

  for (const [what, { contained, said }] of Object.entries({
    'whose parameters are read-only, as on every node after a reboot': {
      contained: asContained({}),
      said: /kernel parameters in \/proc\/sys cannot be written \(EROFS\).*EGRESS_PROC_SYS/,
    },
    'without NET_RAW': {
      contained: asContained({ found: '/mnt', has: ['net_admin', 'bpf'] }),
      said: /lacks CAP_NET_RAW, which it needs for/,
    },
    'without BPF': {
      contained: asContained({ found: '/mnt', has: ['net_admin', 'net_raw'] }),
      said: /lacks CAP_BPF, which it needs for/,
    },
  })) {
    test(`says at once what it may not do, while nothing is wrong yet: ${what}`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const agent = await RunningAgent.startBy(node, contained, 'has looked at all of the node once');
      const failures = agent.said().flatMap(({ failure }) => (typeof failure === 'string' ? [failure] : []));
      assert.deepEqual(failures.length, 1, agent.daemon.lines.join('\n'));
      assert.match(failures[0] ?? '', said);
      assert.match(await readiness(node), said);
    });
  }

  test('refuses a folder without parameters: each would look as if the kernel did not know it', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const { code, stderr } = await node.machine.run(['env', 'EGRESS_PROC_SYS=/mnt/nothing', egressBinary, 'status']);
    assert.equal(code, 2);
    assert.match(stderr, /\/mnt\/nothing has no kernel parameters of the network: mount \/proc\/sys\/net of the host/);
  });
});
