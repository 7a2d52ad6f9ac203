import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ReplyPath, replyPaths } from '../support/cluster.ts';
import { Lab } from '../support/lab.ts';
import { egressBinary } from '../support/tools.ts';
import { measures } from './measures.ts';
import { BenchNode } from './node.ts';
import { earlierBinary } from './plugins.ts';
import type { ResultTable, Row } from './result.ts';
import { exitsAndPolicies, leastSize, measureSizes, type Size, sizes, steeredAmong } from './sizes.ts';
import { roundsOf } from './statistics.ts';
import {
  columns,
  compare,
  makeNode,
  makePod,
  masquerade,
  type Ratio,
  requireSource,
  type Subject,
} from './subjects.ts';

const rounds = roundsOf(9);
const ends = { gateway: '172.18.0.3', worker: '172.18.0.5' } as const;
/** The exit's id, which its packets carry in the tunnel. */
const exitId = 77;
const vxlan = { id: 14597, port: 4788, mtu: 1450 } as const;

/**
 * What the ratios are of; the order is that of the subjects: masquerade, bare VXLAN, both kinds of ours, and the tunnel of
 * an earlier build if there is one.
 */
const ownRatios: readonly Ratio[] = [
  [2, 1],
  [3, 1],
  [2, 0],
  [1, 0],
];

/** A pod whose way out is a gateway. */
export interface TunnelSubject extends Subject {
  /** The pod's node. */
  readonly worker: BenchNode;
  /** Of both nodes. */
  readonly policyFile: string;
}

/** Which tunnel, if it is not this build's with answers through it. */
interface TunnelOptions {
  readonly name?: string;
  readonly replyPath?: ReplyPath;
  readonly binary?: string;
  readonly size?: Size;
  readonly fastPath?: true;
}

/** A worker whose pods reach the outside through a gateway. */
interface Pair {
  readonly worker: BenchNode;
  readonly gateway: BenchNode;
}

/** Measures traffic through the tunnel beside a bare VXLAN and beside masquerade on the pod's node. */
export async function measureTunnel(): Promise<readonly ResultTable[]> {
  await using lab = await Lab.create();
  const subjects = [await masqueraded(lab), await throughBareVxlan(lab)];
  for (const replyPath of replyPaths.toReversed())
    subjects.push(
      await throughTunnel(lab, { name: replyPath === 'tunnel' ? 'tunnel' : 'answers directly', replyPath }),
    );
  if (earlierBinary !== undefined)
    subjects.push(await throughTunnel(lab, { name: 'tunnel, earlier build', binary: earlierBinary }));
  const ratios: readonly Ratio[] = earlierBinary === undefined ? ownRatios : [...ownRatios, [2, 4]];
  for (const subject of subjects) await requireSource(subject);
  const rows: Row[] = [];
  for (const measure of measures)
    rows.push({ name: measure.name, cells: await compare(subjects, measure, rounds, ratios) });
  const sized: TunnelSubject[] = [];
  for (const size of sizes) sized.push(await throughTunnel(lab, { size }));
  const tunnel = { name: 'tunnel', title: '', columns: columns(subjects, ratios), rows };
  return [tunnel, await measureSizes('sizes', sized)];
}

async function masqueraded(lab: Lab): Promise<Subject> {
  const node = await makeNode(lab, 'plain');
  return { name: 'masquerade', node, pod: await makePod(lab, node, 1), source: '192.168.0.240' };
}

/** Two nodes with a link between them. The only way of the worker to the outside is the gateway. */
async function makePair(lab: Lab, name: string): Promise<Pair> {
  const gateway = await makeNode(lab, `${name}-gateway`);
  const worker = await BenchNode.create(lab, `${name}-worker`);
  await gateway.machine.ip(
    `link add eth0 type veth peer name eth0 netns ${worker.machine.name}`,
    'link set eth0 up',
    `address add ${ends.gateway}/24 dev eth0`,
    `route add 10.0.0.0/16 via ${ends.worker}`,
  );
  await worker.machine.ip(
    'link delete eth1',
    'link set eth0 up',
    `address add ${ends.worker}/24 dev eth0`,
    `route add default via ${ends.gateway}`,
  );
  return { worker, gateway };
}

/** As an overlay has it: the worker sends all by VXLAN, and the gateway masquerades. */
export async function throughBareVxlan(lab: Lab): Promise<Subject> {
  const { worker, gateway } = await makePair(lab, 'bare');
  await masquerade(worker.machine, '! -o vxlan0');
  await gateway.machine.ip(...bareVxlan(ends.gateway, ends.worker), 'route replace 10.0.0.0/16 via 172.19.0.5');
  await worker.machine.ip(...bareVxlan(ends.worker, ends.gateway), 'route replace default via 172.19.0.3');
  return { name: 'bare VXLAN', node: gateway, pod: await makePod(lab, worker, 1), source: '192.168.0.240' };
}

const bareVxlan = (local: string, remote: string): readonly string[] => [
  `link add vxlan0 mtu ${vxlan.mtu} type vxlan id ${vxlan.id} dstport ${vxlan.port} local ${local} remote ${remote}`,
  `address add ${local.replace('172.18.', '172.19.')}/24 dev vxlan0`,
  'link set vxlan0 up',
];

/** As egress has it. */
export async function throughTunnel(
  lab: Lab,
  { name = 'tunnel', replyPath = 'tunnel', binary = egressBinary, size = leastSize, fastPath }: TunnelOptions = {},
): Promise<TunnelSubject> {
  const { worker, gateway } = await makePair(lab, lab.unique('tunnel'));
  await masquerade(worker.machine);
  const file = join(gateway.dataDir, 'policy.json');
  writeFileSync(file, JSON.stringify(policy(replyPath, size, fastPath)));
  await gateway.machine.must([binary, 'gateway', '--policy', file, '--data-dir', gateway.dataDir]);
  const pod = await steeredAmong(lab, worker, file, { binary, size });
  return { name, node: gateway, pod, source: exitAddress, worker, policyFile: file };
}

/** The exit's address is one that no node has before. */
const exitAddress = '192.168.0.246';

const policy = (replyPath: ReplyPath, size: Size, fastPath?: true) => ({
  clusterCIDRs: ['10.0.0.0/16', '10.96.0.0/12'],
  nodes: [
    { address: ends.gateway, podCIDRs: ['10.0.1.0/24'] },
    { address: ends.worker, podCIDRs: ['10.0.0.0/24'] },
  ],
  tunnel: { vni: vxlan.id, port: vxlan.port, replyPath },
  ...exitsAndPolicies<object>(
    size,
    { id: exitId, gateways: [ends.gateway], addresses: [exitAddress], fastPath },
    (address) => ({
      gateways: [ends.gateway],
      addresses: [address],
    }),
  ),
});
