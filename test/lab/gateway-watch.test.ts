import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { Json } from '../support/chain.ts';
import { Cluster, internet, internetPolicy, policyFile, remotePartners } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import type { Daemon } from '../support/run.ts';
import { changedLines } from '../support/snapshot.ts';
import { egressBinary } from '../support/tools.ts';
import { world } from '../support/world.ts';

/** What somebody does to a gateway behind our back. */
const damages: Readonly<Record<string, (machine: LabNode['machine']) => Promise<unknown>>> = {
  'all of nftables was flushed': (machine) => machine.must(['nft', 'flush', 'ruleset']),
  'the tunnel device was deleted': (machine) => machine.ip('link delete egress0'),
  'the tunnel device was set down': (machine) => machine.ip('link set egress0 down'),
  'the addresses of the exit were deleted': (machine) =>
    machine.ip(...internet.addresses.map((address) => `address delete ${address} dev eth0`)),
  'its policy rules were deleted': (machine) => inBothFamilies(machine, 'rule flush protocol 230'),
  'its routes were deleted': (machine) => inBothFamilies(machine, 'route flush table all proto 230'),
};

/** Runs a command of `ip` for IPv4 and for IPv6. */
async function inBothFamilies(machine: LabNode['machine'], command: string): Promise<void> {
  for (const family of ['-4', '-6']) await machine.must(['ip', family, ...command.split(' ')]);
}

describe('a watched gateway puts right by itself that', labTest, () => {
  for (const [what, damage] of Object.entries(damages)) {
    test(`${what}, and meanwhile nothing leaves with another address`, async () => {
      await using lab = await Lab.create();
      const { cluster, gateway, pod, egress } = await started(lab);
      const before = await state(gateway);
      const stop = await cluster.capture();
      const sender = await pod.send(...world.service);
      const said = egress.lines.length;
      await damage(gateway.machine);
      await egress.line(' changed: ', said);
      await until(async () => changedLines(before, await state(gateway)).join('\n') === '');
      await sender.stop();
      for (const protocol of ['tcp', 'udp'] as const) {
        await until(async () => `${await pod.askEach(protocol)}` === `${internet.addresses}`);
      }
      const packets = await stop();
      assert.deepEqual(cluster.leaks(packets, internet.addresses), []);
      assert.notDeepEqual(packetsTo(packets, ...world.service), []);
    });
  }
});

describe('a watched gateway', labTest, () => {
  test('takes over what changes in the policy file', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, pod } = await started(lab);
    await cluster.policy({ exits: [{ ...internet, gateways: ['172.18.0.3'], addresses: others }] });
    await until(async () => `${await pod.askEach('udp')}` === `${others}`);
    assert.deepEqual(await held(gateway, internet.addresses), []);
  });

  test('goes by the last good policy file while it is broken, says so once, and takes the next good one', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, pod, egress } = await started(lab);
    await gateway.machine.must(['sh', '-c', `echo broken > ${policyFile}`]);
    await egress.line('The last good configuration stays in force.');
    await gateway.machine.ip('link delete egress0');
    await until(async () => `${await pod.askEach('udp')}` === `${internet.addresses}`);
    assert.equal(egress.lines.filter((line) => line.includes('last good')).length, 1, egress.lines.join('\n'));
    await cluster.policy({ exits: [{ ...internet, gateways: ['172.18.0.3'], addresses: others }] });
    await until(async () => `${await pod.askEach('udp')}` === `${others}`);
  });

  test('reports once that its uplink is down, and serves again when it is up', async () => {
    await using lab = await Lab.create();
    const { gateway, pod, egress } = await started(lab, remotePartners);
    await gateway.machine.ip('link set eth1 down');
    await egress.line('It is tried again');
    // With the interface the kernel gave up its IPv6 addresses.
    const [, own] = gateway.addresses('eth1');
    await gateway.machine.ip('link set eth1 up', `address replace ${own}/64 dev eth1 nodad`);
    await until(async () => `${await pod.askEach('udp')}` === `${remotePartners.addresses}`);
    const reports = egress.lines.filter((line) => line.startsWith('egress: '));
    assert.deepEqual(reports, [...new Set(reports)]);
  });

  test('changes nothing, and says nothing, while all is as it should be and others change what is theirs', async () => {
    await using lab = await Lab.create();
    const { gateway, egress } = await started(lab);
    const [before, said] = [await state(gateway), egress.lines.length];
    await gateway.machine.ip('route add 198.51.100.0/24 dev eth1', 'address add 192.0.2.1/32 dev lo');
    await gateway.machine.ip('route delete 198.51.100.0/24', 'address delete 192.0.2.1/32 dev lo');
    // What it says to a damage comes after all that it could have said before.
    await gateway.machine.ip('link set egress0 down');
    await egress.line('tunnel device egress0', said);
    await until(async () => changedLines(before, await state(gateway)).join('\n') === '');
    const lines = egress.lines.slice(said);
    assert.match(lines[0] ?? '', /^\d{4}-\d\d-\d\dT[\d:.]{12}Z .*tunnel device egress0/);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`ends with 0 at ${signal}, and leaves the gateway up`, async () => {
      await using lab = await Lab.create();
      const { gateway, pod, egress } = await started(lab);
      const before = await state(gateway);
      process.kill(pidOf(egress), signal);
      assert.equal(await egress.line('exit code '), 'exit code 0');
      assert.deepEqual(changedLines(before, await state(gateway)), []);
      assert.deepEqual(await pod.askEach('udp'), internet.addresses);
    });
  }
});

/** Addresses that the exit may have instead. */
const others = ['172.18.0.34', 'fd00:172::34'] as const;

/** A cluster with one gateway, which is watched, and a pod on a node that is none. */
async function started(lab: Lab, exit: Json & { readonly addresses: readonly string[] } = internet) {
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
  await cluster.policy({
    exits: [{ ...exit, gateways: ['172.18.0.3'] }],
    policies: [{ ...internetPolicy, exit: exit.name }],
  });
  const [[gateway], [worker]] = [cluster.gateways, cluster.workers];
  assert.ok(gateway && worker);
  const pod = await worker.started();
  const egress = await watched(gateway);
  assert.deepEqual(await pod.askEach('udp'), exit.addresses);
  return { cluster, gateway, pod, egress };
}

/** Starts the command on a node, below a shell that says its process and its exit code; ends with the lab. */
function watched({ machine }: LabNode): Promise<Daemon> {
  const script = '"$@" & echo "pid $!"; wait $!; echo "exit code $?"';
  const command = [egressBinary, 'gateway', '--policy', policyFile, '--watch'];
  return machine.start(['sh', '-c', script, 'sh', ...command], ' changed');
}

const pidOf = ({ lines }: Daemon): number => Number(lines[0]?.replace('pid ', ''));

/** Waits until something is so; the test's own limit ends that. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await setTimeout(50);
}

/** All that a gateway has set up, without the numbers of interfaces and the order of lines. */
async function state({ machine }: LabNode): Promise<string> {
  const commands = [
    'nft -s list table inet cni-egress',
    'nft -s list table netdev cni-egress',
    'ip -4 rule',
    'ip -6 rule',
    'ip -4 route show table all',
    'ip -6 route show table all proto 230',
    'ip -oneline address',
    'ip neigh show nud permanent',
    'bridge fdb show dev egress0',
  ];
  const outputs = await Promise.all(commands.map((command) => machine.run(command.split(' '))));
  const lines = outputs.flatMap(({ stdout }) => stdout.split('\n')).map((line) => line.replace(/^\d+: /, ''));
  return lines.toSorted().join('\n');
}

/** Which of the addresses a node has. */
async function held({ machine }: LabNode, addresses: readonly string[]): Promise<readonly string[]> {
  const own = await machine.must(['ip', '-oneline', 'address']);
  return addresses.filter((address) => own.includes(` ${address}/`));
}
