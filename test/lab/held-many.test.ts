import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { sentDuring } from '../bench/netlink.ts';
import { RunningAgent } from '../support/agent.ts';
import { partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import type { Pod } from '../support/pod.ts';
import { tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

/** Another exit by the same interface, with addresses of its own. */
const second = { ...partners, name: 'second', addresses: ['192.168.0.246', 'fd00:168::246'] } as const;
const policyFile = '/etc/cni/policy.json';
/** Connections of one pod, and how many of them change in one transaction. */
const [connections, atOnce] = [1200, 256] as const;
/** Requests of a transaction beside those for connections, and bytes of one of these. */
const [beside, bytes] = [100, 170] as const;

const writePolicy = (node: LabNode, exit: string): Promise<void> =>
  writeFile(
    node.configuration('policy.json'),
    JSON.stringify({ ...policy, exits: [partners, second], policies: [{ ...policy.policies[0], exit }] }),
  );

/** A datagram of the pod on each of its connections: from as many ports, to one. */
const speak = ({ network }: Pod) =>
  network.must([
    tool('python3'),
    '-c',
    `import socket, time
for port in range(20000, ${20000 + connections}):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("", port)); s.sendto(b"x", ("${world.service[0]}", 9))
    if port % 50 == 0: time.sleep(0.01)`,
  ]);

const held = async (node: LabNode): Promise<number> =>
  (await nft(node, `list map ${table} held`)).split(' comment ').length - 1;

// Hundred thousand connections were one transaction of 15.6 MB, and a pod that started meanwhile waited for eight seconds.
test(
  'very many connections of a running pod stay with their exit and are let go by small transactions',
  labTest,
  async (t) => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.machine.ip(`address add ${second.addresses[0]}/24 dev eth1`);
    await node.machine.ip(`address add ${second.addresses[1]}/64 dev eth1 preferred_lft 0`);
    await node.machine.sysctl({ 'net.netfilter.nf_conntrack_udp_timeout': 3600 });
    await writePolicy(node, 'partners');
    await node.write({ egress: { type: 'egress', policyFile } });
    const pod = await node.started();
    await speak(pod);
    const agent = await RunningAgent.start(node);
    const changed = await sentDuring(node, agent.pid, async () => {
      const from = agent.length;
      await writePolicy(node, 'second');
      await agent.line('what the policies say now', from);
    });
    assert.equal(await held(node), connections);
    const capture = await node.capture();
    await speak(pod);
    const sources = Map.groupBy(packetsTo(await capture.stop(), ...world.service), ({ source }) => source);
    assert.deepEqual([...sources.keys()], [partners.addresses[0]]);
    assert.deepEqual(await pod.askEach(), second.addresses);
    const released = await sentDuring(node, agent.pid, async () => {
      await node.machine.run(['conntrack', '-F']);
      await node.machine.must(['nft', `add counter ${table} rings; delete counter ${table} rings`]);
      while ((await held(node)) > 0) await new Promise((resolve) => setTimeout(resolve, 200));
    });
    for (const { transactions } of [changed, released]) {
      t.diagnostic(
        `${transactions.length} transactions, ${Math.max(...transactions.map((one) => one.bytes))} bytes at most`,
      );
      assert.ok(transactions.length > connections / atOnce, `${transactions.length} transactions`);
      for (const { requests, bytes: sent } of transactions)
        assert.ok(
          requests <= atOnce + beside && sent <= (atOnce + beside) * bytes,
          `${requests} requests, ${sent} bytes`,
        );
    }
    assert.equal(await agent.end(), 'exit code 0');
    const checked = await node.egress('check');
    assert.deepEqual([checked.code, checked.stderr], [0, ''], checked.stdout);
  },
);
