import type { Lab } from '../support/lab.ts';
import type { Namespace } from '../support/namespace.ts';
import { BenchNode, type BenchPod, podOf } from './node.ts';
import { missingFor, type Peer, peers } from './peers.ts';
import { earlierBinary, egress } from './plugins.ts';
import { type Command, rateOf, timeOf } from './process.ts';

// Whose ADD and DEL are measured, each on a node of its own.

/** The verbs, in the order of a pod's life. */
export const verbs = ['ADD', 'DEL'] as const;
export type Verb = (typeof verbs)[number];

/** How many pods a subject's node has. */
export interface Sizes {
  /** Those that are there all the time. */
  readonly present: number;
  /** Those that come and go. */
  readonly calls: number;
}

export interface Subject {
  readonly name: string;
  readonly node: BenchNode;
  /** Pods for the calls; they come and go, the present ones are others. */
  readonly pods: readonly BenchPod[];
  readonly present: readonly BenchPod[];
  /** Whether many of its calls can be made at once. */
  readonly isForBursts: boolean;
  command(verb: Verb, pod: BenchPod): Command;
  /** Gives pods what ADD gives them; `model` had a real one. */
  fill(model: BenchPod, pods: readonly BenchPod[]): Promise<void>;
  /** Makes the node ready for the next ADD of pods that came and went. */
  restore(pods: readonly BenchPod[]): Promise<void>;
}

type Place = Pick<Subject, 'node' | 'pods' | 'present' | 'restore'>;

/** All subjects; the first is the baseline. `absent` are the names of those that cannot be measured here. */
export async function makeSubjects(
  lab: Lab,
  sizes: Sizes,
): Promise<{ readonly subjects: readonly Subject[]; readonly absent: readonly string[] }> {
  const [there, absent] = [peers().filter((peer) => !missingFor(peer)), peers().filter(missingFor)];
  const subjects: Subject[] = [];
  for (const peer of there) subjects.push(await peerOn(lab, sizes, peer));
  const own = await makePlace(lab, sizes);
  subjects.push(egressOn('egress', own));
  if (earlierBinary !== undefined)
    subjects.push(egressOn('egress, earlier build', await makePlace(lab, sizes), earlierBinary));
  return { subjects: [...subjects, passThroughOn(own), emptyNodeOn(own)], absent: absent.map(({ name }) => name) };
}

/** A node on which all pods have their interfaces already, as chained plugins find them. */
async function makePlace(lab: Lab, { present: count, calls }: Sizes): Promise<Place> {
  const [node, network] = await makeNode(lab);
  const present = await node.plug(network, count);
  const pods = await node.plug(network, calls, count + 1);
  return { node, present, pods, restore: (own) => node.raise(own) };
}

/** A node whose present pods have interfaces. Those of the calls share a namespace: one at a time has an interface in it. */
async function makeEmptyPlace(lab: Lab, { present: count, calls }: Sizes): Promise<Place> {
  const [node, network] = await makeNode(lab);
  const [own, model] = [await lab.namespace(lab.unique('pod')), await lab.namespace(lab.unique('pod'))];
  const [, ...others] = await node.plug(network, count);
  return {
    node,
    present: [podOf(model, 1), ...others],
    pods: Array.from({ length: calls }, (_, i) => podOf(own, count + 1 + i)),
    restore: () => removeInterfaces(own),
  };
}

async function makeNode(lab: Lab): Promise<readonly [BenchNode, Namespace]> {
  const name = lab.unique('add');
  return [await BenchNode.create(lab, name), await lab.namespace(`${name}-pods`)];
}

/** The AWS plugin leaves its interface to the end of the namespace. */
async function removeInterfaces(network: Namespace): Promise<void> {
  const links = JSON.parse(await network.must(['ip', '-json', 'link'])) as readonly { readonly ifname: string }[];
  for (const { ifname } of links) if (ifname !== 'lo') await network.ip(`link delete ${ifname}`);
}

async function peerOn(lab: Lab, sizes: Sizes, peer: Peer): Promise<Subject> {
  const place = await (peer.makesInterface ? makeEmptyPlace(lab, sizes) : makePlace(lab, sizes));
  return {
    ...place,
    name: peer.name,
    isForBursts: !peer.makesInterface,
    command: (verb, pod) => peer.command(place.node, verb, pod),
    fill: (model, pods) => peer.fill(place.node, model, pods),
  };
}

const egressOn = (name: string, place: Place, binary?: string): Subject => {
  const command = (verb: Verb, pod: BenchPod) => egress(place.node, verb, pod, { ...(binary && { binary }) });
  return {
    ...place,
    name,
    isForBursts: true,
    command,
    fill: async (_, pods) => {
      await rateOf(
        place.node.machine,
        pods.map((pod) => command('ADD', pod)),
        2,
      );
    },
  };
};

const nothing = async () => {};

/** On the node of egress, with pods of their own. */
const passThroughOn = (place: Place): Subject => ({
  ...place,
  pods: place.pods.slice(place.pods.length / 2),
  name: 'egress, pod without a policy',
  isForBursts: false,
  command: (verb, pod) => egress(place.node, verb, pod, { namespace: 'other' }),
  fill: nothing,
});

const emptyNodeOn = (place: Place): Subject => ({
  ...place,
  name: 'empty Node',
  isForBursts: true,
  command: () => ({ program: process.execPath, args: ['-e', '0'] }),
  fill: nothing,
  restore: nothing,
});

const filled = new WeakMap<Subject, number>();

/** Fills a node up to a number of present pods. The first of them gets a real ADD. */
export async function fillTo(subject: Subject, level: number): Promise<void> {
  const { node, present, command, fill } = subject;
  const [model] = present;
  const before = filled.get(subject) ?? 0;
  if (model === undefined || level === 0) return;
  if (before === 0) timeOf(node.machine, command('ADD', model));
  await fill(model, present.slice(Math.max(before, 1), level));
  filled.set(subject, level);
}
