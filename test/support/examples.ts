import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { Json } from './chain.ts';
import { Cluster, type ClusterOptions, writePolicy } from './cluster.ts';
import type { Lab } from './lab.ts';
import type { LabNode } from './node.ts';
import type { Pod } from './pod.ts';

// The examples of `conf/` at work, as they stand there. Their addresses are those of the lab's world.

const conf = new URL('../../conf/', import.meta.url);

/** The text of an example, by its path from `conf/examples/`, or from `conf/` when there is none. */
export function example(path: string): string {
  const own = new URL(`examples/${path}`, conf);
  return readFileSync(existsSync(own) ? own : new URL(path, conf), 'utf8');
}

/** What the example of a conflist has for egress, but with a log that stays in the lab. */
export function exampleEntry(): Json {
  const { plugins } = JSON.parse(example('10-bridge-egress.conflist')) as { plugins: readonly Json[] };
  return { ...plugins.find(({ type }) => type === 'egress'), logFile: '/var/lib/cni/egress.log' };
}

/** A node with an example as its policy file; `number` and `exitAddresses` are those of {@link Lab.node}. */
export async function nodeWith(
  lab: Lab,
  path: string,
  number = 5,
  exitAddresses?: readonly string[],
): Promise<LabNode> {
  const node = await lab.node(number, exitAddresses);
  await writePolicy(node, example(path));
  await node.write({ egress: exampleEntry() });
  return node;
}

/** A cluster with an example as the policy file of every node. */
export async function clusterWith(lab: Lab, path: string, options: ClusterOptions = {}): Promise<Cluster> {
  const cluster = await Cluster.create(lab, options);
  await cluster.write({ egress: exampleEntry() });
  for (const node of cluster.all) await writePolicy(node, example(path));
  return cluster;
}

/** The pod of an example of a manifest, after ADD. */
export async function startedFrom(node: LabNode, path: string): Promise<Pod> {
  const { metadata } = parse(example(path));
  const pod = await node.pod(metadata.namespace, metadata.name);
  pod.annotations = metadata.annotations;
  await node.add(pod);
  return pod;
}
