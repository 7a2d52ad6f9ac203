import type { Json } from './chain.ts';
import type { LabNode } from './node.ts';
import type { Pod } from './pod.ts';
import type { Outcome } from './run.ts';
import { cniPath, egressBinary } from './tools.ts';

/** The values of CNI_COMMAND. */
export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

/** How a call differs from what a runtime would ask for; a key or variable with `undefined` is left out. */
export interface Call {
  /** Container, netns, CNI_ARGS and prevResult are this pod's. */
  readonly pod?: Pod;
  /** Name of the network whose chain entry is sent; `cluster` if none is named. */
  readonly network?: string;
  /** Keys of the request that differ from the chain entry. */
  readonly config?: Json;
  /** What is sent instead of a request. */
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Command in front of the binary, such as one that takes away a right. */
  readonly through?: readonly string[];
}

/** How the plugin ended, and the JSON document that it printed; `json` is `undefined` if it printed nothing. */
export interface PluginOutcome extends Outcome {
  readonly json: unknown;
}

/** Runs the built binary on a node as a runtime does it: the request on stdin, and an environment of CNI_* alone. */
export async function callPlugin(node: LabNode, command: CniCommand, call: Call): Promise<PluginOutcome> {
  const stdin = call.stdin ?? JSON.stringify(request(node, call));
  const env = present({ ...environment(command, call.pod), ...call.env });
  const outcome = await node.machine.run([...(call.through ?? []), egressBinary], { stdin, env });
  return { ...outcome, json: outcome.stdout === '' ? undefined : JSON.parse(outcome.stdout) };
}

function environment(command: CniCommand, pod: Pod | undefined): Readonly<Record<string, string>> {
  const common = { CNI_COMMAND: command, CNI_PATH: cniPath };
  if (pod === undefined) return common;
  const { containerID, args } = pod;
  return {
    ...common,
    CNI_CONTAINERID: containerID,
    CNI_NETNS: pod.network.path,
    CNI_IFNAME: pod.interface,
    CNI_ARGS: args,
  };
}

function request(node: LabNode, { network: name = 'cluster', pod, config }: Call): Json {
  const { cniVersion, egress } = node.network(name);
  const runtimeConfig = pod?.annotations && pod.runtimeConfig;
  const prevResult = pod?.result === undefined ? undefined : { ...pod.result, cniVersion };
  return present({ ...egress, name, cniVersion, runtimeConfig, prevResult, ...config });
}

function present<T>(all: Readonly<Record<string, T | undefined>>): Record<string, T> {
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Record<string, T>;
}
