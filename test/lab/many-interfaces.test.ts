import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cluster } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { type NetlinkTraffic, netlinkTraffic } from '../support/netlink-traffic.ts';
import type { LabNode } from '../support/node.ts';
import { egressBinary } from '../support/tools.ts';

const many = 300;
/** Bytes by which two runs may differ: fewer than what so many things of any kind would take. */
const negligible = 2000;

// A node of kube-proxy's IPVS mode holds all addresses of Services, one of ptp has an interface and a route for each pod,
// and one of the AWS VPC CNI a table for each: DEL of cni-egress 0.1.0 asked once for each interface (1065 messages).
describe(
  'what a call exchanges with the kernel does not grow with interfaces, addresses and routes of others',
  labTest,
  () => {
    test('for a pod of a local exit', async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      await assertSame(lab, node);
    });

    for (const [role, number] of [
      ['a pod whose gateway is another node', 5],
      ['a pod on the gateway itself', 3],
    ] as const) {
      test(`for ${role}`, async () => {
        await using lab = await Lab.create();
        const cluster = await Cluster.create(lab);
        const node = cluster.all.find((one) => one.number === number);
        assert.ok(node);
        // A gateway that does not serve has not the exit's addresses, of which CHECK would tell.
        if (cluster.gateways.includes(node)) await cluster.up(node);
        await assertSame(lab, node);
      });
    }
  },
);

async function assertSame(lab: Lab, node: LabNode): Promise<void> {
  await traffic(lab, node); // a node that had pods before has a note of them
  const few = await traffic(lab, node);
  await crowd(node);
  const crowded = await traffic(lab, node);
  for (const [call, { sent, receivedBytes }] of Object.entries(few)) {
    assert.equal(crowded[call]?.sent, sent, `messages of ${call}`);
    const more = (crowded[call]?.receivedBytes ?? 0) - receivedBytes;
    assert.ok(Math.abs(more) < negligible, `${call} was answered with ${receivedBytes} bytes, and then ${more} more`);
  }
}

/** Bridges without a port, since Linux has them everywhere. */
async function crowd({ machine }: LabNode): Promise<void> {
  const numbers = Array.from({ length: many }, (_, i) => [i, `${i >> 8}.${i & 255}`, i.toString(16)] as const);
  await machine.ip(
    ...numbers.flatMap(([i, four, six]) => [
      `link add many${i} type bridge`,
      `link set many${i} up`,
      `address add 198.18.${four}/32 dev many${i}`,
      `address add 2001:2::${six}/128 dev many${i}`,
      `route add 198.19.${four}/32 dev many${i}`,
      `route add 2001:3::${six}/128 dev many${i}`,
      `route add 198.19.${four}/32 dev many${i} table ${1000 + i}`,
    ]),
  );
}

/** The life of a pod, and what a person asks about it. */
async function traffic(lab: Lab, node: LabNode): Promise<Readonly<Record<string, NetlinkTraffic>>> {
  const pod = await node.withoutEgress(() => node.started());
  const attachment = { containerID: pod.containerID, ifname: pod.interface };
  const verb = (command: 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION', more = {}) =>
    netlinkTraffic(lab, (through) => node.plugin(command, { pod, through, config: { cniVersion: '1.1.0', ...more } }));
  const command = (...words: readonly string[]) =>
    netlinkTraffic(lab, (through) => node.machine.run([...through, egressBinary, ...words]));
  return {
    VERSION: await verb('VERSION'),
    STATUS: await verb('STATUS'),
    ADD: await verb('ADD'),
    CHECK: await verb('CHECK'),
    GC: await verb('GC', { 'cni.dev/valid-attachments': [attachment] }),
    'egress status': await command('status'),
    'egress check': await command('check'),
    'egress gc --dry-run': await command('gc', '--dry-run'),
    DEL: await verb('DEL'),
    'GC of what is not valid': await verb('ADD').then(() => verb('GC', { 'cni.dev/valid-attachments': [] })),
  };
}
