import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { partners } from '../chain.ts';
import { hangsAfterMs } from '../guard.ts';
import type { Lab } from '../lab.ts';
import type { LabNode } from '../node.ts';
import { missingForRuntime } from '../tools.ts';
import { world } from '../world.ts';
import { Containerd, type ContainerdOptions } from './containerd.ts';

/** Options of every test with a container runtime; see `labTest` in ../lab.ts. */
export const runtimeTest = { timeout: hangsAfterMs, skip: skipReason() };

function skipReason(): string | false {
  const reason = missingForRuntime();
  if (reason !== undefined && process.env.CI !== undefined)
    throw new Error(`Container runtimes have to run in CI, but ${reason}`);
  return reason ?? false;
}

const steering = { destinations: world.outside, exit: 'partners' };

/** Pods of `steered` leave by the exit; those of `default` when they ask for it; those of `team-*` may name the exit. */
export const policyFile = {
  clusterCIDRs: world.cluster,
  exits: [{ ...partners, annotationNamespaces: ['default', 'team-*'] }],
  policies: [
    { name: 'steered', namespaces: ['steered'], ...steering },
    { name: 'lab', namespaces: ['default'], ...steering, optIn: true },
  ],
} as const;

/** Writes the node's policy file, or a text that is none. */
export async function writePolicy(node: LabNode, policy: object | string = policyFile): Promise<void> {
  await mkdir(node.configuration('egress'), { recursive: true });
  const text = typeof policy === 'string' ? policy : JSON.stringify(policy);
  await writeFile(node.configuration('egress/policy.json'), text);
}

/** A containerd on a node with {@link policyFile}, number 5 if none is named. */
export async function containerdOn(lab: Lab, options: ContainerdOptions = {}, number = 5): Promise<Containerd> {
  const node = await lab.node(number);
  await writePolicy(node);
  return Containerd.start(node, options);
}

/** Lets bridge and portmap make what they never remove, by a pod that egress has nothing to do with. */
export async function settle(containerd: Containerd): Promise<void> {
  const pod = await containerd.sandbox({ namespace: 'other', hostPorts: { 18000: 8080 } });
  await pod.end();
}

/** What is left of pods: names that the runtime knows, network namespaces, addresses taken, and our records. */
export async function leftovers(containerd: Containerd): Promise<readonly string[]> {
  const { node } = containerd;
  const addresses = await readdir(node.state('networks/cluster')).catch(() => []);
  const cached = await readdir(node.state('results')).catch(() => []);
  const kept = await node.records();
  return [
    ...(await containerd.podNames()),
    ...containerd.machine.podNetworks(),
    ...addresses.filter((name) => /^[\d.]+$|:/.test(name)),
    ...cached.filter((name) => name.startsWith('cluster-')),
    ...kept.filter((name) => name !== 'lock'),
  ];
}
