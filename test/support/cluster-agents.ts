import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { RunningAgent } from './agent.ts';
import { Cluster } from './cluster.ts';
import { ClusterApi, type Shown } from './cluster-api.ts';
import type { Lab } from './lab.ts';
import type { LabNode } from './node.ts';
import type { Pod } from './pod.ts';
import { world } from './world.ts';

export async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await setTimeout(50);
}

export const nameOf = ({ number }: LabNode): string => `node-${number}`;

/** Shows what people see, in the output of the test. */
export function shown(t: TestContext, text: string): void {
  for (const line of text.trimEnd().split('\n')) t.diagnostic(line);
}

export const conditionOf = (object: Shown, type: string): Shown =>
  (object.status?.conditions ?? []).find((condition: Shown) => condition.type === type);

/** Three nodes with agents that read objects of a cluster, and no policy but those. */
export async function started(lab: Lab, kubernetes: true | object = true) {
  const [api, cluster] = await Promise.all([ClusterApi.start(lab), Cluster.create(lab)]);
  await cluster.policy({ kubernetes, nodes: undefined, exits: [], policies: [] });
  for (const node of cluster.all) {
    const labels: Record<string, string> = cluster.gateways.includes(node) ? { egress: 'gateway' } : {};
    await api.node(nameOf(node), labels, cluster.end(node), cluster.podRanges(node)[0] ?? '');
  }
  const start = (node: LabNode) =>
    RunningAgent.start(node, '--kubeconfig', api.agentsFile, '--node-name', nameOf(node));

  /** A pod as its kubelet would start it: scheduled to the node, with the UID that the API server gave it. */
  const scheduled = async (node: LabNode, labels: object): Promise<Pod> => {
    const pod = await node.pod();
    const { name } = pod;
    const spec = { nodeName: nameOf(node), containers: [{ name: 'a', image: 'a' }] };
    await api.mustApply({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default', labels }, spec });
    pod.uid = (await api.get('pod', name)).metadata.uid;
    return pod;
  };
  return { api, cluster, start, scheduled };
}

/** With which address each pod is seen outside. */
export const seen = (pods: readonly Pod[]): Promise<string[]> =>
  Promise.all(pods.map((pod) => pod.ask('tcp', world.service[0])));

/** Waits until all pods are seen with an address. */
export const allLeaveBy = (pods: readonly Pod[], address: string): Promise<void> =>
  until(async () => (await seen(pods)).every((answer) => answer === address));

/** Adds a pod as a kubelet does: anew while it is told to try later. */
export const added = (node: LabNode, pod: Pod): Promise<void> =>
  until(async () => {
    try {
      await node.add(pod);
      return true;
    } catch (error) {
      if (!String(error).includes('Try again later')) throw error;
      await node.cnitool('del', pod);
      return false;
    }
  });
