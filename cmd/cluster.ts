import type { Cluster } from '../src/installer/node-taint.ts';
import { type ClusterApi, inClusterApi, serviceAccount } from '../src/kubernetes/client.ts';
import { readFile } from './machine.ts';

/** The cluster that the kubelet tells a container of. */
export function openCluster(): Cluster & { readonly api: ClusterApi | undefined } {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443', NODE_NAME: node } = process.env;
  const api = host === undefined ? undefined : inClusterApi({ host, port, account: serviceAccount, readFile });
  return { api, node };
}
