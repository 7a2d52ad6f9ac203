import { Cluster, internet, policyFile } from '../support/cluster.ts';
import { Lab } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { Daemon } from '../support/run.ts';
import { missingForLab, tool } from '../support/tools.ts';
import { hardwareAddress, world } from '../support/world.ts';

/**
 * Shows, in the cluster of the documents that the project started from, what an echo server outside sees of three pods:
 * the addresses of three nodes before, and the one address of the exit after, with what it looks like on the wire. Ends
 * with 0 only if the addresses are what they should be.
 */

const pods = [
  { node: 'control-plane', name: 'net-tshoot-5ngbc', address: '10.0.0.174' },
  { node: 'worker', name: 'net-tshoot-pcgf8', address: '10.0.1.42' },
  { node: 'worker2', name: 'net-tshoot-gcj27', address: '10.0.2.86' },
];
const [echo] = world.front.host;
const [egressAddress] = internet.addresses;

/** All pods in the namespace `default`, to the network that the echo server is on. */
const changes = {
  exits: [{ name: 'internet', gateways: ['172.18.0.3'], addresses: [egressAddress] }],
  policies: [{ name: 'default-ns', namespaces: ['default'], destinations: ['172.18.0.0/16'], exit: 'internet' }],
};

const say = (...lines: readonly string[]) => console.log(lines.join('\n'));
const row = (...cells: readonly string[]) => `  ${cells.map((cell) => cell.padEnd(17)).join(' ')}`.trimEnd();

/** Starts the three pods and lets each ask the echo server, which tells what address it saw. */
async function startAndAsk(nodes: readonly LabNode[]): Promise<{ started: readonly Pod[]; seen: readonly string[] }> {
  const [started, seen]: [Pod[], string[]] = [[], []];
  for (const [i, node] of nodes.entries()) {
    const pod = await node.pod('default', pods[i]?.name, pods[i]?.address);
    await node.add(pod);
    const source = await pod.ask('tcp', echo);
    say(row(pod.name, pod.addresses[0] ?? '', pods[i]?.node ?? '', `→ ${source}`));
    started.push(pod);
    seen.push(source);
  }
  return { started, seen };
}

async function end(nodes: readonly LabNode[], started: readonly Pod[]): Promise<void> {
  for (const [i, pod] of started.entries()) await nodes[i]?.end(pod);
}

/** Starts tcpdump where a node is plugged in, for the first packet that it sends and the filter lets through. */
function watch(lab: Lab, node: LabNode, filter: string): Promise<Daemon> {
  const sent = `ether src ${hardwareAddress(node.addresses('eth0'))} and ${filter}`;
  // tcpdump has to be told what the packets on a port of our own are.
  const options = ['-i', `node${node.number}`, '-c', '1', '-n', '-t', '-l', '-T', 'vxlan', sent];
  return Daemon.start(lab.front.namespace.inside([tool('tcpdump'), ...options]), 'listening on');
}

/** Lets a pod ask once, and prints the first packet of it on each part of its way. */
async function showWire(lab: Lab, { gateway, worker, pod }: { gateway: LabNode; worker: LabNode; pod: Pod }) {
  const inTunnel = await watch(lab, worker, 'udp dst port 4788');
  const outside = await watch(lab, gateway, `tcp and dst host ${echo}`);
  await pod.ask('tcp', echo);
  for (const [where, seen] of [
    ['worker to control-plane', inTunnel],
    ['control-plane to the echo server', outside],
  ] as const) {
    await seen.line('packet captured');
    const packet = seen.lines.filter((line) => line.includes('IP ') && !line.startsWith('tcpdump'));
    say(`# ${where}`, ...packet.map((line) => `  ${line.replace(/, (seq|options) .*/, '')}`));
  }
}

async function demo(): Promise<boolean> {
  await using lab = await Lab.create();
  const cluster = await Cluster.create(lab, { nodes: [3, 5, 6], gateways: [3] });
  const [gateway, worker] = cluster.all;
  if (gateway === undefined || worker === undefined) throw new Error('the cluster has no nodes');

  say(`Three pods ask the echo server ${echo} which address they come from.`);
  say('', 'Before, with the chain "bridge", they are the addresses of three nodes:', '');
  await cluster.write({ egress: undefined });
  const before = await startAndAsk(cluster.all);
  await end(cluster.all, before.started);

  await cluster.policy(changes);
  say('', `control-plane# egress gateway --policy ${policyFile}`, await cluster.up(gateway));
  await cluster.write();
  say(`After, with the chain "bridge, egress", it is one address, of the exit "internet" on control-plane:`, '');
  const after = await startAndAsk(cluster.all);

  for (const [name, node] of [
    ['worker', worker],
    ['control-plane', gateway],
  ] as const) {
    say('', `${name}# egress status`, (await node.egress('status')).stdout);
  }
  const [, pod] = after.started;
  say(`One request of ${pod?.name} as tcpdump shows it:`, '');
  if (pod !== undefined) await showWire(lab, { gateway, worker, pod });

  await end(cluster.all, after.started);
  await cluster.down(gateway);
  const nodeAddresses = cluster.all.map((node) => node.addresses('eth0')[0]);
  return same(before.seen, nodeAddresses) && after.seen.every((address) => address === egressAddress);
}

const same = (a: readonly string[], b: readonly string[]) => a.length === b.length && a.every((one, i) => one === b[i]);

const missing = missingForLab();
if (missing !== undefined) throw new Error(`The demo cannot run here: ${missing}`);
const isRight = await demo();
say('', isRight ? 'The addresses are as they should be.' : 'The addresses are NOT as they should be.');
process.exitCode = isRight ? 0 : 1;
