import { ClusterApi } from '../cluster-api.ts';
import type { Lab } from '../lab.ts';
import { kubernetesTool } from '../tools.ts';

/** Those whom a cluster knows beside people and agents, by the names that Kubernetes gave them. */
const users = {
  controllers: 'system:kube-controller-manager',
  scheduler: 'system:kube-scheduler',
  proxy: 'system:kube-proxy',
} as const;

const account = (user: string, group = '') => ({ user, token: `token-of-${user}`, group });

/** A control plane as it comes: etcd, API server, controllers and scheduler, on a machine of its own. */
export async function startControlPlane(lab: Lab, nodes: readonly string[]): Promise<ClusterApi> {
  const own = Object.entries(users).map(([name, user]) => [name, account(user)]);
  const kubelets = nodes.map((name) => [name, account(`system:node:${name}`, 'system:nodes')]);
  const api = await ClusterApi.bare(lab, {
    users: Object.fromEntries([...own, ...kubelets]),
    flags: ['--allow-privileged', '--kubelet-preferred-address-types', 'InternalIP'],
  });
  await Promise.all([startControllers(api), startScheduler(api)]);
  return api;
}

/** A node that is silent for some seconds is not ready; who gives nodes their ranges is this, and no cloud. */
function startControllers(api: ClusterApi) {
  return api.machine.start(
    [
      ...[kubernetesTool('kube-controller-manager'), '--kubeconfig', api.file('controllers.kubeconfig')],
      ...['--use-service-account-credentials', '--service-account-private-key-file', api.file('sa.key')],
      ...['--root-ca-file', api.file('server.crt'), '--leader-elect=false', '--allocate-node-cidrs=false'],
      ...['--node-monitor-grace-period=10s', '--node-monitor-period=1s'],
    ],
    'Serving securely',
  );
}

function startScheduler(api: ClusterApi) {
  const file = api.file('scheduler.kubeconfig');
  const own = ['--authentication-kubeconfig', file, '--authorization-kubeconfig', file];
  return api.machine.start(
    [kubernetesTool('kube-scheduler'), '--kubeconfig', file, ...own, '--leader-elect=false'],
    'Serving securely',
  );
}
