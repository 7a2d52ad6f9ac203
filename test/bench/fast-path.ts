import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Lab } from '../support/lab.ts';
import type { Namespace } from '../support/namespace.ts';
import { egressBinary } from '../support/tools.ts';
import { measures } from './measures.ts';
import type { BenchNode } from './node.ts';
import { egress } from './plugins.ts';
import { timeOf } from './process.ts';
import type { ResultTable, Row } from './result.ts';
import { roundsOf } from './statistics.ts';
import { columns, compare, makeNode, makePod, type Ratio, requireSource, type Subject } from './subjects.ts';
import { exitId, throughBareVxlan, throughTunnel } from './tunnel.ts';

const rounds = roundsOf(5);

/** What the ratios are of; the order is that of the subjects. */
const ratios: readonly Ratio[] = [
  [1, 0],
  [2, 0],
  [4, 3],
  [5, 3],
];

/** What has no established connection gains nothing. */
const measured = measures.filter(({ name }) => !name.includes('connections'));

/** Measures a flowtable for steered packets beside masquerade and a bare VXLAN. The kernel has to have flowtables. */
export async function measureFastPath(): Promise<readonly ResultTable[]> {
  await using lab = await Lab.create();
  const subjects: Subject[] = [await masqueraded(lab), await steered(lab, false), await steered(lab, true)];
  subjects.push(await throughBareVxlan(lab), await throughTunnel(lab), await throughFastTunnel(lab));
  for (const subject of subjects) await requireSource(subject);
  const rows: Row[] = [];
  for (const measure of measured)
    rows.push({ name: measure.name, digits: 2, cells: await compare(subjects, measure, rounds, ratios) });
  return [{ name: 'fast path', title: '', columns: columns(subjects, ratios), rows }];
}

async function masqueraded(lab: Lab): Promise<Subject> {
  const node = await makeNode(lab, 'plain');
  return { name: 'masquerade', node, pod: await makePod(lab, node, 1), source: '192.168.0.240' };
}

async function steered(lab: Lab, fast: boolean): Promise<Subject> {
  const node = await makeNode(lab, fast ? 'fast' : 'own');
  const pod = await makePod(lab, node, 1);
  timeOf(node.machine, egress(node, 'ADD', pod, fast ? { fastPath: true } : {}));
  if (fast) await keepFast(lab, node);
  return { name: fast ? 'steered, fast path' : 'steered', node, pod, source: '192.168.0.245' };
}

/** By our own agent, which knows the pod by its record. */
async function keepFast(lab: Lab, { machine, dataDir }: BenchNode): Promise<void> {
  const empty = join(lab.folder, 'empty');
  mkdirSync(empty, { recursive: true });
  const options = ['--data-dir', dataDir, '--conf-dir', empty, '--results-dir', empty, '--metrics', 'off'];
  await machine.start([egressBinary, 'agent', ...options], 'the fast path is on');
}

async function throughFastTunnel(lab: Lab): Promise<Subject> {
  const subject = await throughTunnel(lab, { name: 'tunnel, fast path' });
  await handOver(subject.worker.machine, [subject.pod.hostInterface, 'egress0']);
  await handOver(subject.node.machine, ['egress0', 'eth1'], replyMark);
  await markInTunnel(subject.worker.machine);
  return subject;
}

const ourBit = 0x40000000;
/** Which answers to pods elsewhere have: our bit alone. */
const replyMark = ourBit;

/**
 * By hand: established connections pass no chain any more. The kernel asks for the way back with the mark that the packet has then, which
 * would lead the wrong way on a gateway: `backMark` is for that question alone.
 */
async function handOver(machine: Namespace, devices: readonly string[], backMark = 0): Promise<void> {
  const stdin = `table inet by-hand {
  flowtable ways { hook ingress priority 10; devices = { ${devices.join(', ')} }; }
  chain take {
    ct mark set meta mark
    meta mark set ${backMark} flow add @ways
    meta mark set ct mark
  }
  chain forward {
    type filter hook forward priority 1000;
    meta mark & ${ourBit} != 0 ct state established ct direction original meta l4proto { tcp, udp } jump take
  }
}
`;
  await machine.must(['nft', '-f', '-'], { stdin });
}

/** What went past the rules has no exit's id, which the gateway asks for. */
async function markInTunnel(worker: Namespace): Promise<void> {
  const stdin = `table netdev by-hand {
  chain out {
    type filter hook egress device egress0 priority 0;
    meta mark set ${exitId}
  }
}
`;
  await worker.must(['nft', '-f', '-'], { stdin });
}
