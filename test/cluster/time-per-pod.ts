import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { printTable } from '../../src/cli/table.ts';
import { median } from '../bench/statistics.ts';
import { egressObject } from '../support/cluster-api.ts';
import { until } from '../support/kubernetes/kubelet.ts';
import { deployment } from '../support/kubernetes/pods.ts';
import { exitAddresses, objectsOnly, WholeCluster, type WholeNode } from '../support/kubernetes/whole.ts';
import { Lab } from '../support/lab.ts';
import { tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

/**
 * How long pods take on one node of a whole cluster with egress, without, and with a plugin in its place that is a Node.js with nothing to
 * do, which no plugin in Node.js can be below: from `kubectl scale` until all are ready, and until all are gone: `node test/cluster/time-per-pod.ts [PODS [ROUNDS]]`, 40 and 5 if nothing is given. The kinds take turns, in an order that
 * is turned around each time. The first round only warms up. Nothing is asserted.
 */
const [count = 40, rounds = 5] = process.argv.slice(2).map(Number);

/** Seconds until agents have looked at what came and went: they do so when nobody starts or ends pods any more. */
const rest = 3;

const lab = await Lab.create();
/** The gateway, a node that egress is kept away from, one that has it, and one with an empty plugin. */
const cluster = await WholeCluster.start(lab, { nodes: [3, 4, 5, 6] });
const { api } = cluster;
const [gateway, without, withEgress, withEmpty] = [cluster.node(3), cluster.node(4), cluster.node(5), cluster.node(6)];

/** Pods by their namespace, and where they are. */
const kinds: Readonly<Record<string, WholeNode>> = {
  without,
  'empty-node': withEmpty,
  'no-policy': withEgress,
  'by-namespace': withEgress,
  'by-labels': withEgress,
};

interface Times {
  readonly ready: number;
  readonly gone: number;
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

async function measure(namespace: string, node: WholeNode): Promise<Times> {
  const kubectl = (...words: string[]) => api.kubectl(['-n', namespace, ...words]);
  const scale = (replicas: number) => kubectl('scale', 'deployment', 'many', `--replicas=${replicas}`);
  const ready = await seconds(async () => {
    await scale(count);
    await kubectl('rollout', 'status', 'deployment', 'many', '--timeout=300s');
  });
  const gone = await seconds(async () => {
    await scale(0);
    await kubectl('wait', '--for=delete', 'pods', '--all', '--timeout=300s');
  });
  await clear(node);
  await setTimeout(rest * 1000);
  return { ready, gone };
}

/**
 * Removes sandboxes whose pods are gone. Else the kubelet does so, once in a minute, by which each has two more DELs: in the time of
 * another kind.
 */
async function clear({ machine }: WholeNode): Promise<void> {
  const crictl = [tool('crictl'), '--runtime-endpoint', 'unix:///run/containerd/containerd.sock', '--timeout', '300s'];
  await until(async () => {
    const gone = (await machine.inside.must([...crictl, 'pods', '--state', 'NotReady', '-q']))
      .split('\n')
      .filter(Boolean);
    if (gone.length > 0) await machine.inside.run([...crictl, 'rmp', ...gone]); // fails for those that the kubelet removes now
    return gone.length === 0;
  });
}

/** A plugin of a chain that hands on what the one before it has made. */
const emptyPlugin = `#!${process.execPath}
const { readFileSync, writeFileSync } = require('node:fs');
const { cniVersion, prevResult } = JSON.parse(readFileSync(0, 'utf8'));
if (process.env.CNI_COMMAND === 'ADD') writeFileSync(1, JSON.stringify({ ...prevResult, cniVersion }));
`;

/** Puts it behind the other plugins of a node's chain, where egress has its place on the other one. */
function chainEmpty({ machine }: WholeNode): void {
  writeFileSync(machine.path('opt/cni/bin/empty'), emptyPlugin, { mode: 0o755 });
  const file = machine.path('etc/net.d/10-pods.conflist');
  const chain = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify({ ...chain, plugins: [...chain.plugins, { type: 'empty' }] }));
}

/** Egress where its label is, an exit by the gateway, and a policy for each of two kinds. */
async function prepare(): Promise<void> {
  chainEmpty(withEmpty);
  await api.kubectl(['taint', 'nodes', '--all', 'egress.cni/not-ready-']);
  await api.kubectl(['label', 'node', gateway.name, withEgress.name, 'egress=here']);
  await api.kubectl(['label', 'node', gateway.name, 'gateway=here']);
  const where = { template: { spec: { nodeSelector: { egress: 'here' } } } };
  const daemonSet = { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'cni-egress' }, spec: where };
  await cluster.install(objectsOnly, { patches: [daemonSet] });
  for (const [namespace, node] of Object.entries(kinds)) {
    await api.kubectl(['create', 'namespace', namespace]);
    await api.mustApply(deployment({ name: 'many', namespace }, 0, node));
  }
  const policy = (name: string, more: object) =>
    egressObject('EgressPolicy', name, {
      ...{ namespaces: [name], destinations: world.outside, exit: 'internet' },
      ...more,
    });
  const gatewaySelector = { matchLabels: { gateway: 'here' } };
  await api.mustApply(
    egressObject('EgressExit', 'internet', { gatewaySelector, addresses: exitAddresses }),
    policy('by-namespace', {}),
    policy('by-labels', { podSelector: { matchLabels: { name: 'many' } } }),
  );
  await api.until('egressexit', 'internet', ({ status }) => status?.answering === '1/1');
}

function table(measured: ReadonlyMap<string, readonly Times[]>): string {
  const columns = (kind: string, what: keyof Times) => {
    const [values, others] = [kind, 'without'].map((each) => (measured.get(each) ?? []).map((times) => times[what]));
    const ratios = (values ?? []).map((value, round) => value / (others?.[round] ?? Number.NaN));
    return [median(values ?? []).toFixed(1), median(ratios).toFixed(2)];
  };
  const rows = [...measured.keys()].map((kind) => [kind, ...columns(kind, 'ready'), ...columns(kind, 'gone')]);
  return printTable([`${count} pods, s`, 'ready', ': without', 'gone', ': without'], rows, false);
}

try {
  await prepare();
  const measured = new Map<string, Times[]>(Object.keys(kinds).map((kind) => [kind, []]));
  for (let round = 1; round <= rounds; round++) {
    const order = Object.entries(kinds);
    for (const [kind, node] of round % 2 === 0 ? order.toReversed() : order) {
      const times = await measure(kind, node);
      if (round > 1) measured.get(kind)?.push(times);
      console.log(`round ${round}, ${kind}: ready in ${times.ready.toFixed(1)} s, gone in ${times.gone.toFixed(1)} s`);
    }
  }
  console.log(`\nMedians of rounds 2 to ${rounds}:\n${table(measured)}`);
} finally {
  lab.remove();
}
process.exit();
