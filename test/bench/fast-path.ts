import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Lab } from '../support/lab.ts';
import { egressBinary } from '../support/tools.ts';
import { measures } from './measures.ts';
import type { BenchNode } from './node.ts';
import { egress } from './plugins.ts';
import { timeOf } from './process.ts';
import type { ResultTable, Row } from './result.ts';
import { roundsOf } from './statistics.ts';
import { columns, compare, makeNode, makePod, type Ratio, requireSource, type Subject } from './subjects.ts';
import { throughBareVxlan, throughTunnel } from './tunnel.ts';

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

/** Measures the fast path of steered packets beside masquerade and a bare VXLAN. The kernel has to have flowtables. */
export async function measureFastPath(): Promise<readonly ResultTable[]> {
  await using lab = await Lab.create();
  const subjects: Subject[] = [await masqueraded(lab), await steered(lab, false), await steered(lab, true)];
  subjects.push(await throughBareVxlan(lab), await throughTunnel(lab), await throughFastTunnel(lab));
  for (const subject of subjects) await requireSource(subject);
  await settle();
  const rows: Row[] = [];
  for (const measure of measured)
    rows.push({ name: measure.name, digits: 2, cells: await compare(subjects, measure, rounds, ratios) });
  return [{ name: 'fast path', title: '', columns: columns(subjects, ratios), rows }];
}

/**
 * Waits until nine tenths of each of some seconds were idle, a minute at most: agents and the processes of fast paths have just begun,
 * and collect garbage two to fifteen seconds after it, by a second of this slow machine each.
 */
async function settle(): Promise<void> {
  const idleTicks = () => Number(readFileSync('/proc/stat', 'utf8').split(/\s+/)[4]);
  for (let second = 0, idle = 0; second < 60 && idle < idleSeconds; second++) {
    const before = idleTicks();
    await setTimeout(1_000);
    idle = idleTicks() - before >= 90 ? idle + 1 : 0; // a tick is 10 ms
  }
}

/** Longer than from one such collection to the next. */
const idleSeconds = 10;

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

/**
 * By our own agent, which knows the pod by its record. It stands still while packets are counted: what it does at rest is a tenth of this
 * slow machine. The process that holds the fast path goes on.
 */
async function keepFast(lab: Lab, { machine, dataDir }: BenchNode, ...more: readonly string[]): Promise<void> {
  const empty = join(lab.folder, 'empty');
  mkdirSync(empty, { recursive: true });
  const options = ['--data-dir', dataDir, '--conf-dir', empty, '--results-dir', empty, '--metrics', 'off', ...more];
  const agent = await machine.start([egressBinary, 'agent', ...options], 'the fast path is on');
  agent.signal('SIGSTOP');
}

async function throughFastTunnel(lab: Lab): Promise<Subject> {
  const subject = await throughTunnel(lab, { name: 'tunnel, fast path', fastPath: true });
  for (const node of [subject.node, subject.worker]) await keepFast(lab, node, '--policy', subject.policyFile);
  return subject;
}
