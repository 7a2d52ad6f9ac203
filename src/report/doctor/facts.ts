import { EgressError } from '../../base/errors.ts';
import { type Configuration, configurationOf } from '../../config/configuration.ts';
import { type ReadFile, readChainEntry, readConfiguration } from '../../config/read.ts';
import type { Examiner } from '../../datapath/examiner.ts';
import type { Host } from '../../datapath/host.ts';
import type { Hindrance, Passage } from '../../datapath/passage.ts';
import { partsSeen } from '../../node/check.ts';
import { gatewayParts, isHere, passagesOf } from '../../node/check-node.ts';
import { findHindrances, inputOf, inputsOfGateway, sendersOf } from '../../node/hindrance.ts';
import type { Machine, Onward } from '../../node/machine.ts';
import { settled } from '../../node/settled.ts';
import { type Chain, chainsIn, readChains } from '../../runtimes/conflists.ts';
import type { AttachmentRecord, NodeRecord } from '../../store/record.ts';
import { podName } from '../asked-pod.ts';
import { savedWithUs } from '../saved-ruleset.ts';
import type { System } from './system.ts';

/** All that checks look at. Asked once, for all of them. */
export interface Facts extends Numbers, Omit<Surroundings, 'readFile' | 'confDir' | 'filesIn'> {
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
  readonly chains: readonly Chain[];
  /** Files that hold our tables, and are loaded at boot. */
  readonly saved: readonly string[];
}

/** The numbers in force: those of the record, else those that are configured, else those that are ours by default. */
interface Numbers {
  readonly fwmark: number;
  readonly rulePriority: number;
  readonly routeTable: number;
  readonly tunnel: { readonly vni: number; readonly port: number };
  /** Whether any exit has gateways, here or in a configuration. */
  readonly usesTunnel: boolean;
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

/** Who else is asked, and where files are. */
export interface Surroundings {
  readonly examiner: Examiner;
  readonly system: System;
  readonly dataDir: string;
  /** Where the runtime looks for network configurations, and for plugins. */
  readonly confDir: string;
  readonly binDir: string;
  readonly readFile: ReadFile;
  filesIn(folder: string): readonly string[];
  /** Told before each check. */
  readonly onward?: Onward;
}

/** Asks for everything, by a host that remembers. Waits for a call that is changing something where all is not well. */
export async function gather(machine: Machine, host: Host, surroundings: Surroundings): Promise<Facts> {
  const { confDir, readFile, filesIn, ...others } = surroundings;
  const looking = { ...machine, host };
  const node = machine.store.loadNode();
  const pods = machine.store.list();
  const inputs = await inputsOf(host, node, pods);
  const { objects, ways } = await settled(machine, () => wrongs(machine), isFine);
  const networks = networksOf({ confDir, readFile });
  return {
    ...others,
    ...numbersOf(node, networks),
    ...{ machine: looking, host, node, pods, inputs, objects, ways, networks },
    passages: node ? await passagesOf(looking, node) : [],
    hindrances: await findHindrances(host, node?.exits.filter(isHere(machine)) ?? [], inputs),
    chains: chainsIn(confDir, readFile),
    saved: savedWithUs(readFile, filesIn),
  };
}

function numbersOf(node: NodeRecord | undefined, networks: readonly Network[]): Numbers {
  const configured = networks.flatMap(({ configuration }) => configuration ?? []);
  const [first = configurationOf({ type: 'egress' }, [])] = configured;
  const { fwmark, rulePriority, routeTable } = node ?? first;
  const usesTunnel = node?.tunnel !== undefined || configured.some(({ exits }) => exits.some(hasGateways));
  return { fwmark, rulePriority, routeTable, tunnel: node?.tunnel ?? first.tunnel, usesTunnel };
}

const hasGateways = ({ gateways }: Configuration['exits'][number]): boolean => gateways.length > 0;

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

function networksOf({ confDir, readFile }: Pick<Surroundings, 'confDir' | 'readFile'>): Network[] {
  return [...readChains(confDir, readFile).own].flatMap(([network, entry]): Network[] => {
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
