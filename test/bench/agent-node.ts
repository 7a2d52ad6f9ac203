import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { RunningAgent } from '../support/agent.ts';
import { type Json, partners } from '../support/chain.ts';
import type { Lab } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Daemon } from '../support/run.ts';
import { world } from '../support/world.ts';
import { BenchNode, type BenchPod, giveAddress } from './node.ts';
import { network, prevResult } from './plugins.ts';
import { startStream } from './streams.ts';

/** Where streams go. */
export const streamPort = 9000;
/** Milliseconds between two packets of a stream. */
const interval = '2';
const policyFile = '/etc/cni/policy.json';
const namespace = 'default';

/** Two exits by the same interface. */
export const exits = [
  partners,
  { ...partners, name: 'second', addresses: ['192.168.0.246', 'fd00:168::246'] },
] as const;

/** A policy file by which all pods have one of the exits. */
export const policyTo = (exit: string, more: Json = {}): Json => ({
  clusterCIDRs: world.cluster,
  exits,
  policies: [{ name: 'bench', namespaces: [namespace], destinations: world.outside, exit }],
  ...more,
});

/** A node of the lab whose pods the agent knows from libcni's cache, as it finds pods that ran before it. */
export class AgentNode {
  readonly node: LabNode;
  readonly bench: BenchNode;
  /** Running pods with an exit. */
  readonly pods: number;
  readonly agent: RunningAgent;
  readonly #lab: Lab;
  readonly #talkers: readonly BenchPod[];
  #next: number;

  private constructor(
    node: LabNode,
    bench: BenchNode,
    agent: RunningAgent,
    pods: readonly BenchPod[],
    talkers: number,
  ) {
    this.#lab = node.lab;
    this.node = node;
    this.bench = bench;
    this.agent = agent;
    this.pods = pods.length;
    this.#talkers = pods.slice(0, talkers);
    this.#next = pods.length + 1;
  }

  /**
   * Makes the node with its pods, of which `talkers` have a network namespace of their own, and starts the agent, which gives
   * them their exits.
   */
  static async create(lab: Lab, number: number, pods: number, policy: Json, talkers = 0): Promise<AgentNode> {
    const isElecting = JSON.stringify(policy).includes('"gateways"');
    const node = await lab.node(number, isElecting ? [] : exits.flatMap(({ addresses }) => addresses));
    rmSync(node.configuration('net.d/cluster.conflist'));
    await node.write({ name: network, egress: { type: 'egress', policyFile } });
    writeFileSync(node.configuration('policy.json'), JSON.stringify(policy));
    const bench = BenchNode.of(node);
    const own: BenchPod[] = [];
    for (let i = 1; i <= talkers; i++)
      own.push(...(await bench.plug(await lab.namespace(`talker-${number}-${i}`), 1, i)));
    await Promise.all(own.map(giveAddress));
    const others = await bench.plug(await lab.namespace(`pods-${number}`), pods - talkers, talkers + 1);
    const all = [...own, ...others];
    remember(node, all);
    return new AgentNode(node, bench, await RunningAgent.start(node), all, talkers);
  }

  /** The processes of the agent: itself, and the one that elects. */
  get processes(): readonly number[] {
    const { pid } = this.agent;
    const threads = readdirSync(`/proc/${pid}/task`);
    const children = threads.flatMap((id) => readFileSync(`/proc/${pid}/task/${id}/children`, 'utf8').split(' '));
    return [pid, ...children.filter((child) => child.trim() !== '').map(Number)];
  }

  /** The policy file as the host sees it. */
  get policyFile(): string {
    return this.node.configuration('policy.json');
  }

  /** More pods, which nobody knows yet. */
  async plug(count: number): Promise<readonly BenchPod[]> {
    const pods = await this.bench.plug(await this.#lab.namespace(this.#lab.unique('more')), count, this.#next);
    this.#next += count;
    return pods;
  }

  /** Starts a stream of UDP from each talker, and who receives them. */
  async talk(): Promise<Talk> {
    const receiver = await startStream(this.#lab.back.host, 'receive', String(streamPort));
    const sending = this.#talkers.map((pod) =>
      startStream(pod.network, 'send', interval, world.service[0], String(streamPort)),
    );
    return { receiver, senders: await Promise.all(sending) };
  }

  /** Puts a policy file that gives all pods an exit in the place of the one before. */
  replacePolicy(exit: string): void {
    writeFileSync(`${this.policyFile}.new`, JSON.stringify(policyTo(exit)));
    renameSync(`${this.policyFile}.new`, this.policyFile);
  }

  /** Comes when the agent has told of so many more pods that they have what the policies say now, behind its line `from`. */
  async haveChanged(from: number, pods = this.pods): Promise<void> {
    while (this.told(from) < pods) await setTimeout(5);
  }

  /** Comes when the agent has changed the first pods, behind its line `from`: it tells of them when it has changed all. */
  async haveBegun(from: number): Promise<void> {
    while (this.begun(from) === 0) await setTimeout(5);
  }

  /** How many pods it has changed so far. */
  begun(from: number): number {
    return this.agent.daemon.lines.slice(from).filter((line) => line.includes('"adopted"')).length;
  }

  /** Of how many pods it has told that. */
  told(from: number): number {
    return this.agent.daemon.lines.slice(from).filter((line) => line.includes('a pod has what the policies say now'))
      .length;
  }
}

/** Streams, and who receives them. */
export interface Talk {
  readonly receiver: Daemon;
  readonly senders: readonly Daemon[];
}

/** Ends streams. */
export const silence = async ({ receiver, senders }: Talk): Promise<void> => {
  await Promise.all([...senders, receiver].map((daemon) => daemon.stop()));
};

/** Writes what libcni would have kept of the pods' ADD to a network of the node. */
export function remember(node: LabNode, pods: readonly BenchPod[], networkName = network): void {
  const folder = node.state('results');
  mkdirSync(folder, { recursive: true });
  for (const pod of pods) {
    const { containerId, interface: ifName } = pod;
    const cniArgs = [
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAMESPACE', namespace],
      ['K8S_POD_NAME', containerId],
    ];
    const cached = { kind: 'cniCacheV1', containerId, ifName, networkName, cniArgs, result: prevResult(pod) };
    writeFileSync(`${folder}/${networkName}-${containerId}-${ifName}`, JSON.stringify(cached));
  }
}
