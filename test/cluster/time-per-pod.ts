import { egressObject } from '../support/cluster-api.ts';
import { until } from '../support/kubernetes/kubelet.ts';
import { deployment, WholePods } from '../support/kubernetes/pods.ts';
import { objectsOnly, WholeCluster } from '../support/kubernetes/whole.ts';
import { Lab } from '../support/lab.ts';
import { world } from '../support/world.ts';

/**
 * How long pods take in a whole cluster, from `kubectl scale` until all are ready, and until all are gone, with and without
 * egress: `node test/cluster/time-per-pod.ts [PODS [ROUNDS]]`, 50 and 3 if nothing is given. Nothing is asserted; on a quiet machine
 * the first round warms up.
 */
const [count = 50, rounds = 3] = process.argv.slice(2).map(Number);

const lab = await Lab.create();
const cluster = await WholeCluster.start(lab);
const { api } = cluster;
const pods = new WholePods(cluster);

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

async function measure(what: string): Promise<void> {
  for (let round = 1; round <= rounds; round++) {
    const scale = (replicas: number) => api.kubectl(['scale', 'deployment', 'many', `--replicas=${replicas}`]);
    const up = await seconds(async () => {
      await scale(count);
      await pods.ready(count);
    });
    const down = await seconds(async () => {
      await scale(0);
      await until(async () => (await api.kubectl(['get', 'pods', '-o', 'name'])) === '', 300);
    });
    const each = ((up / count) * 1000).toFixed(0);
    console.log(`${what}: ${count} pods ready in ${up.toFixed(1)} s (${each} ms each), gone in ${down.toFixed(1)} s`);
  }
}

try {
  // Without the taint's end no pod would start before egress is there.
  await api.kubectl(['taint', 'nodes', '--all', 'egress.cni/not-ready-']);
  await api.mustApply(deployment({ name: 'many' }, 0));
  await measure('without egress in the chain');
  await cluster.install(objectsOnly);
  await measure('egress, no policy');
  await api.kubectl(['label', 'node', 'node-3', 'node-4', 'egress=gateway']);
  const exit = { gatewaySelector: { matchLabels: { egress: 'gateway' } }, addresses: ['172.18.0.33', 'fd00:172::33'] };
  const outside = { namespaces: ['default'], destinations: world.outside, exit: 'internet' };
  await api.mustApply(egressObject('EgressExit', 'internet', exit), egressObject('EgressPolicy', 'many', outside));
  await api.until('egressexit', 'internet', ({ status }) => status?.answering === '2/2');
  await measure('egress, a policy by namespace');
  const podSelector = { matchLabels: { name: 'many' } };
  await api.mustApply(egressObject('EgressPolicy', 'many', { ...outside, podSelector }));
  await measure('egress, a policy by labels');
} finally {
  lab.remove();
}
process.exit();
