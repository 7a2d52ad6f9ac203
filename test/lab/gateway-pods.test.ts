import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Cluster, internet, internetPolicy, policyFile } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { changedLines } from '../support/snapshot.ts';
import { egressBinary } from '../support/tools.ts';

/** What somebody does to a gateway on which pods run that use its exit. */
interface Damage {
  readonly what: string;
  readonly happens: (node: LabNode) => Promise<unknown>;
  /** What the command says of it. */
  readonly says: string;
}

const again = '2 attachments of this node were set up again.';

const damages: readonly Damage[] = [
  {
    what: 'all of nftables was flushed',
    happens: ({ machine }) => machine.must(['nft', 'flush', 'ruleset']),
    says: again,
  },
  {
    what: 'the elements of its pods were deleted',
    happens: async ({ machine }) => {
      for (const map of ['pods4', 'pods6', 'programs4', 'programs6'])
        await machine.must(['nft', 'flush', 'map', 'inet', 'cni-egress', map]);
      for (const set of ['steered4', 'steered6'])
        await machine.must(['nft', 'flush', 'set', 'inet', 'cni-egress', set]);
    },
    says: again,
  },
  {
    what: 'a program of its pods was changed',
    happens: async ({ machine }) => {
      const [program] = /\bprogram-\w+/.exec(await machine.must(['nft', 'list', 'chains', 'inet'])) ?? [];
      assert.ok(program);
      await machine.must(['nft', 'insert', 'rule', 'inet', 'cni-egress', program, 'return']);
    },
    says: '1 thing changed',
  },
];

describe('pods that run on a gateway itself', labTest, () => {
  for (const { what, happens, says } of damages) {
    test(`have their exit back by egress gateway, after ${what}, and it says so`, async () => {
      await using lab = await Lab.create();
      const { cluster, first, pods } = await started(lab);
      const whole = await tables(first);
      await happens(first);
      const planned = await first.egress('gateway', '--policy', policyFile, '--dry-run');
      assert.notEqual(planned.stdout, '');
      const said = await cluster.up(first);
      assert.ok(said.includes(says), said);
      assert.deepEqual(changedLines(whole, await tables(first)), []);
      await assertSteered(cluster, pods);
      assert.match(await cluster.up(first), /^0 things changed\.$/m);
      assert.equal((await first.egress('gateway', '--policy', policyFile, '--dry-run')).stdout, '');
    });

    test(`have their exit back by egress gateway --watch, when ${what}`, async () => {
      await using lab = await Lab.create();
      const { cluster, first, pods } = await started(lab);
      const command = [egressBinary, 'gateway', '--policy', policyFile, '--watch'];
      const daemon = await first.machine.start(command, ' changed');
      const [whole, said] = [await tables(first), daemon.lines.length];
      await happens(first);
      await daemon.line(says, said);
      while (changedLines(whole, await tables(first)).length > 0) await setTimeout(50);
      await assertSteered(cluster, pods);
    });
  }

  for (const flushed of [false, true]) {
    test(`keep it in status when it moves to another gateway and back${flushed ? ', also after a flush' : ''}`, async () => {
      await using lab = await Lab.create();
      const { cluster, first, second, pods } = await started(lab);
      if (flushed) await first.machine.must(['nft', 'flush', 'ruleset']);
      for (const [to, gateway] of [
        [second, /^internet .* gateway 172\.18\.0\.4 /m],
        [first, /^internet .* eth0 /m],
      ] as const) {
        await cluster.move(internet.name, to);
        const { stdout } = await first.egress('status');
        assert.match(stdout, gateway);
        assert.equal(stdout.match(/^default\/.* internet .*\d$/gm)?.length, 2, stdout);
        await assertSteered(cluster, pods);
      }
    });
  }
});

describe('after somebody flushed all of nftables', labTest, () => {
  test('a pod that ends takes from others on its node nothing that egress repair gives them back', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.up();
    for (const node of [...cluster.gateways.slice(0, 1), ...cluster.workers]) {
      const [pod, ending] = [await node.started(), await node.started()];
      await node.machine.must(['nft', 'flush', 'ruleset']);
      // The plugin alone: the primary one does not find its own chains any more.
      assert.equal((await node.plugin('DEL', { pod: ending })).code, 0);
      const { code, stdout, stderr } = await node.egress('repair');
      assert.equal(code, 0, stdout + stderr);
      await assertSteered(cluster, [pod]);
      assert.equal((await node.plugin('DEL', { pod })).code, 0);
      assert.deepEqual(
        (await node.records()).filter((name) => /^(cluster|program)/.test(name)),
        [],
      );
    }
  });

  test('a move takes no exit from pods of a node that is no gateway', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.up();
    const [worker, second] = [cluster.workers[0], cluster.gateways[1]];
    assert.ok(worker && second);
    const pod = await worker.started();
    await worker.machine.must(['nft', 'flush', 'ruleset']);
    await cluster.move(internet.name, second);
    assert.match((await worker.egress('status')).stdout, /^internet .* gateway 172\.18\.0\.4 /m);
    await assertSteered(cluster, [pod]);
  });
});

describe('a gateway with pods of its own', labTest, () => {
  test('answers pods of a node that joined after them, before a flush and after its repair', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath: 'tunnel' });
    const [gateway, worker] = [cluster.gateways[0], cluster.workers[0]];
    assert.ok(gateway && worker);
    const known = (...nodes: readonly LabNode[]) => ({
      clusterCIDRs: [],
      nodes: nodes.map((node) => ({ address: cluster.end(node), podCIDRs: cluster.podRanges(node) })),
    });
    // Ranges that no program on the gateway steers: without those of the node that is not there yet.
    await cluster.policy(known(gateway));
    await cluster.up();
    const own = await gateway.started();
    await cluster.policy(known(gateway, worker));
    await cluster.up();
    const pod = await worker.started();
    await assertSteered(cluster, [own, pod]);
    const capture = await cluster.capture();
    await gateway.machine.must(['nft', 'flush', 'ruleset']);
    for (const one of [own, pod]) assert.deepEqual(await one.askEach('udp'), ['nothing', 'nothing']);
    await cluster.up();
    for (const one of [own, pod]) assert.deepEqual(await one.askEach('udp'), internet.addresses);
    assert.deepEqual(cluster.leaks(await capture(), internet.addresses), []);
    await assertSteered(cluster, [own, pod]);
    assert.equal((await gateway.plugin('CHECK', { pod: own })).stdout, '');
    const opened = () =>
      gateway.machine.must(['sh', '-c', 'for f in 4 6; do ip -$f route show table all type throw; done']);
    assert.match(await opened(), /10\.0\.1\.0\/24 .*fd00:10:0:1::\/64 /s);
    await cluster.down(gateway);
    assert.doesNotMatch(await opened(), /10\.0\.1\.0|fd00:10:0:1:/);
    assert.doesNotMatch((await gateway.plugin('CHECK', { pod: own })).stdout, /route|expected/, 'nothing is too much');
  });
});

/** Two gateways, of which the first serves and has two pods that use the exit. */
async function started(lab: Lab) {
  const cluster = await Cluster.create(lab, { nodes: [3, 4], gateways: [3, 4] });
  await cluster.policy({ policies: [internetPolicy] });
  await cluster.up();
  const [first, second] = cluster.gateways;
  assert.ok(first && second);
  const pods = [await first.started(), await first.started()];
  await assertSteered(cluster, pods);
  return { cluster, first, second, pods };
}

/** Our tables, without what they counted, in any order. */
async function tables({ machine }: LabNode): Promise<string> {
  const lists = ['inet', 'netdev'].map((family) => machine.run(['nft', '-s', 'list', 'table', family, 'cni-egress']));
  return (await Promise.all(lists))
    .flatMap(({ stdout }) => stdout.split('\n'))
    .toSorted()
    .join('\n');
}

/** What the pods send leaves by a gateway, with the addresses of the exit alone. */
async function assertSteered(cluster: Cluster, pods: readonly Pod[]): Promise<void> {
  const stop = await cluster.capture();
  for (const pod of pods)
    for (const protocol of ['udp', 'tcp'] as const)
      assert.deepEqual(await pod.askEach(protocol), internet.addresses, `${pod.name} ${protocol}`);
  assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
}
