import assert from 'node:assert/strict';
import { test } from 'node:test';
import { desiredTunnel } from '../../../src/datapath/tunnel.ts';
import { defaultTiming } from '../../../src/election/probe.ts';
import { pageSize } from '../../../src/kubernetes/mirror.ts';
import { highestExitId } from '../../../src/policy/exit-id.ts';
import { textOf } from '../../support/documents.ts';
import { node, tunnel } from '../datapath/samples.ts';

/** The cluster of test/bench/README.md. */
const cluster = { nodes: 5000, pods: 150_000, exits: 1000, gateways: 50 };
const podsOfNode = cluster.pods / cluster.nodes;
const exitsOfPair = cluster.exits / (cluster.gateways / 2);
const questionsInSecond = 1000 / defaultTiming.interval;
const ports = 0x10000 - 1024;

function objectsFor(ends: number): number {
  const peers = Array.from({ length: ends }, (_, i) => `10.128.${i >> 8}.${i & 255}`);
  return desiredTunnel(node, { ...tunnel, families: [4], peers }).length;
}

test('the numbers of the cluster on paper are those of the code', () => {
  const text = textOf('test/bench/README.md').split('## On paper')[1] ?? '';
  const forEachEnd = (objectsFor(200) - objectsFor(100)) / 100;
  const pings = podsOfNode * questionsInSecond;
  const hurried = defaultTiming.hinted / defaultTiming.hurry + 1;
  const numbers = [
    cluster.nodes / pageSize,
    cluster.exits / pageSize,
    pings,
    forEachEnd,
    forEachEnd * (cluster.nodes - 1),
    (pings * cluster.nodes) / cluster.gateways,
    ports,
    (cluster.pods * 100) / cluster.gateways,
    (3 * questionsInSecond * cluster.nodes) / cluster.gateways,
    Math.round(cluster.exits ** 2 / 2 / highestExitId),
    Math.floor(ports / cluster.nodes),
    hurried,
    exitsOfPair * (cluster.pods / cluster.exits) * hurried,
  ].map((number) => (number < 10_000 ? String(number) : number.toLocaleString('en')));
  const bold = [...text.matchAll(/\*\*([\d,]+)\*\*/g)].map(([, number = '']) => number);
  assert.deepEqual([...new Set(bold)].sort(), [...new Set(numbers)].sort());
});
