import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capabilities, egressEntry, partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import { type NetlinkTraffic, netlinkTraffic } from '../support/netlink-traffic.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { egressBinary } from '../support/tools.ts';

/** How many tenants come at once. */
const step = 4;
const others = { name: 'others', namespaces: ['others'], exit: 'partners' };

/** Questions of one attachment alone: its elements, the way to it, and the sets of its program. */
const mostOwnQuestions = 24;

// cni-egress 0.1.0 asked for all sets, chains and rules of the node once for each attachment: with 120 tenants, each with a
// program of its own, 7449 messages, which were answered with 96 MB.
test('check asks for what attachments have in common once, however many they are', labTest, async () => {
  await using lab = await Lab.create();
  const node = await lab.node();
  const exits = [{ ...partners, annotationNamespaces: ['*'] }];
  // All of them stand for pods, behind the interface of one.
  await node.write({ egress: egressEntry({ capabilities, exits, policies: [others], checkSources: false }) });
  const pod = await node.withoutEgress(() => node.started());
  const found: NetlinkTraffic[] = [];
  for (let tenants = step; tenants <= 3 * step; tenants += step) {
    for (let i = tenants - step; i < tenants; i++) await addTenant(node, pod, i);
    found.push(await traffic(lab, node));
  }
  const [few, more, most] = found;
  assert.ok(few && more && most);
  const [first, second] = [difference(few, more), difference(more, most)];
  assert.equal(second.sent, first.sent, 'messages for each attachment');
  assert.ok(first.sent <= step * mostOwnQuestions, `${first.sent} messages for ${step} attachments`);
  const grown = second.receivedBytes - first.receivedBytes;
  assert.ok(grown < first.receivedBytes / 10, `${step} attachments cost ${grown} bytes more than ${step} before them`);
  await assertSeesAll(node);
});

const difference = (before: NetlinkTraffic, after: NetlinkTraffic): NetlinkTraffic => ({
  sent: after.sent - before.sent,
  receivedBytes: after.receivedBytes - before.receivedBytes,
});

const traffic = (lab: Lab, node: LabNode) =>
  netlinkTraffic(lab, (through) => node.machine.run([...through, egressBinary, 'check']));

/** An attachment with an address and a program of its own. */
async function addTenant(node: LabNode, pod: Pod, i: number): Promise<void> {
  const destinations = Array.from({ length: 32 }, (_, k) => [`203.0.113.${4 * k}/31`, `2001:db8:${100 + i}:${k}::/65`]);
  const annotations = {
    'egress.cni/exit': 'partners',
    'egress.cni/destinations': [...destinations.flat(), `198.51.100.${i}`].join(),
  };
  const ips = [`10.0.0.${100 + i}/24`, `fd00:10::${100 + i}/64`].map((address) => ({ address, interface: 2 }));
  const config = {
    prevResult: { ...pod.result, cniVersion: '1.0.0', ips },
    runtimeConfig: { 'io.kubernetes.cri.pod-annotations': annotations },
  };
  const { code, stdout } = await node.plugin('ADD', { pod, config, env: { CNI_CONTAINERID: `tenant${i}` } });
  assert.equal(code, 0, stdout);
}

/** One look for all has to see what is wrong with each. */
async function assertSeesAll(node: LabNode): Promise<void> {
  const list = await node.machine.must(['nft', 'list', 'map', 'inet', 'cni-egress', 'pods4']);
  const programs = [...new Set(list.match(/program-[0-9a-f]+/g))];
  assert.equal(programs.length, 3 * step);
  const [program] = programs;
  await node.machine.must(['nft', 'add', 'rule', 'inet', 'cni-egress', program ?? '', 'return']);
  const { code, stdout } = await node.egress('check', '--json');
  assert.equal(code, 1);
  const { attachments } = JSON.parse(stdout) as { attachments: { problems: string[] }[] };
  assert.equal(attachments.filter(({ problems }) => problems.length > 0).length, 1, stdout);
}
