import { EgressError } from '../../base/errors.ts';
import type { Configuration } from '../../config/configuration.ts';
import { type ReadFile, readChainEntry, readConfiguration } from '../../config/read.ts';
import type { Host } from '../../datapath/host.ts';
import type { Hindrance, Passage } from '../../datapath/passage.ts';
import { partsSeen } from '../../node/check.ts';
import { gatewayParts, passagesOf } from '../../node/check-node.ts';
import { findHindrances, inputOf, inputsOfGateway, sendersOf } from '../../node/hindrance.ts';
import type { Machine } from '../../node/machine.ts';
import { settled } from '../../node/settled.ts';
import { ownEntries } from '../../runtimes/conflists.ts';
import type { AttachmentRecord, NodeRecord } from '../../store/record.ts';
import { podName } from '../asked-pod.ts';

/** All that checks look at. Asked once, for all of them. */
export interface Facts {
  readonly machine: Machine;
  /** Answers equal questions from memory. */
  readonly host: Host;
  /** Absent: no pod of the node is steered, and it is no gateway. */
  readonly node: NodeRecord | undefined;
  readonly pods: readonly AttachmentRecord[];
  /** The interfaces that packets for exits come in by. */
  readonly inputs: readonly Pick<Passage, 'family' | 'input'>[];
  /** The ways of packets from them to exits. */
  readonly passages: readonly Passage[];
  readonly hindrances: readonly Hindrance[];
  /** What is wrong with our own objects, and with the order of rules: of whom, and what. */
  readonly objects: readonly Wrong[];
  readonly ways: readonly Wrong[];
  /** Of each network that egress is in the chain of. */
  readonly networks: readonly Network[];
}

/** Something that is wrong, and the pod's name, or `gateway`. */
export interface Wrong {
  readonly of: string;
  readonly what: string;
}

/** A network's configuration, or why it cannot be read. */
export interface Network {
  readonly name: string;
  readonly configuration?: Configuration;
  readonly problem?: string;
}

/** Where the answers of the host's files are to be had. */
export interface Files {
  readonly confDir: string;
  readonly readFile: ReadFile;
}

/** Asks for everything, by a host that remembers. Waits for a call that is changing something where all is not well. */
export async function gather(machine: Machine, host: Host, files: Files): Promise<Facts> {
  const looking = { ...machine, host };
  const node = machine.store.loadNode();
  const pods = machine.store.list();
  const inputs = await inputsOf(host, node, pods);
  const { objects, ways } = await settled(machine, () => wrongs(machine), isFine);
  return {
    ...{ machine: looking, host, node, pods, inputs, objects, ways },
    passages: node ? await passagesOf(looking, node) : [],
    hindrances: await findHindrances(host, node?.exits ?? [], inputs),
    networks: networksOf(files),
  };
}

async function inputsOf(host: Host, node: NodeRecord | undefined, pods: readonly AttachmentRecord[]) {
  const served = node?.exits.filter(({ id }) => node.gateway?.served.includes(id)) ?? [];
  const senders = await sendersOf(host, [...new Set(pods.flatMap(({ addresses }) => addresses))]);
  const all = [...senders.map(inputOf), ...inputsOfGateway(served)];
  return [...new Map(all.map((each) => [`${each.family} ${each.input}`, each])).values()];
}

type Wrongs = Pick<Facts, 'objects' | 'ways'>;

const isFine = ({ objects, ways }: Wrongs): boolean => objects.length + ways.length === 0;

/** By one look. */
async function wrongs(machine: Machine): Promise<Wrongs> {
  using host = machine.host.look();
  const looking = { ...machine, host };
  const node = machine.store.loadNode();
  const [objects, ways]: Wrong[][] = [[], []];
  const add = (of: string, found: { objects: readonly string[]; ways: readonly string[] } | undefined) => {
    objects?.push(...(found?.objects ?? []).map((what) => ({ of, what })));
    ways?.push(...(found?.ways ?? []).map((what) => ({ of, what })));
  };
  for (const record of machine.store.list()) add(podName(record), await partsSeen(looking, record));
  if (node?.gateway) add('gateway', await gatewayParts(looking, node));
  return { objects: eachOnce(objects ?? []), ways: eachOnce(ways ?? []) };
}

/** What many pods share is said of the first. */
const eachOnce = (found: readonly Wrong[]): Wrong[] =>
  [...new Map(found.toReversed().map((wrong) => [wrong.what, wrong])).values()].toReversed();

function networksOf({ confDir, readFile }: Files): Network[] {
  return [...ownEntries(confDir, readFile)].flatMap(([network, entry]): Network[] => {
    if (entry === undefined) return [];
    const name = String(network);
    try {
      return [{ name, configuration: readConfiguration(readChainEntry(entry), readFile) }];
    } catch (error) {
      if (error instanceof EgressError) return [{ name, problem: error.message }];
      throw error;
    }
  });
}
