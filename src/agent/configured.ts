import type { Address } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import { defaults } from '../config/defaults.ts';
import { type OthersKinds, othersKinds, wantsObjects } from '../config/kept.ts';
import type { Source } from '../config/placed.ts';
import { ownSources, type ReadFile, readChainEntry, readMachineOptions } from '../config/read.ts';
import type { ChainEntry } from '../config/schema.ts';
import { type Chains, type Entry, readChains } from '../runtimes/conflists.ts';
import { Configurations } from '../sources/configurations.ts';
import type { Store } from '../store/store.ts';

/** The places of the configuration. */
export interface ConfiguredPlaces {
  /** Where the runtime looks for network configurations. */
  readonly confDir: string;
  /** Where the plugin keeps its state. Chains that say another place are not looked after. */
  readonly dataDir: string;
  /** The policy file in place of the chain entry's. */
  readonly policy?: string;
  /** This node's underlay address, where it cannot be known from the policy file. */
  readonly node?: Address;
}

/** What the chains of this node say in one look. */
export interface Configured {
  readonly chains: Chains;
  /** By the names of networks, the entries whose pods are kept in the data folder. */
  readonly own: Chains['own'];
  /** The policy file that is in force, whatever else is wrong with the chain entry: its changes are followed. */
  readonly policyFile: string;
  /** The configuration of an entry's pods. Throws as ADD does for one that is invalid or incomplete. */
  of(entry: Entry): Configuration;
  /**
   * The configuration of the node as a whole. Networks share their exits; of other options those of the first file by name
   * count. A node whose chains have no entry, as a gateway without pods, goes by the policy file alone. Throws as `of`
   * does, and `invalid-argument` when all pods are kept elsewhere.
   */
  whole(): Configuration;
  /** What is configured without objects of the cluster. Throws as `whole` does. */
  sources(): OwnSources;
}

/** Chain entries and policy files. */
export interface OwnSources {
  readonly sources: readonly Source[];
  /** Objects of the cluster count, too. */
  readonly wantsObjects: boolean;
  /** Kinds of others whose objects count. */
  readonly othersKinds: OthersKinds;
}

/** Reads what the chains of a node say, with their policy files, each again only when its text is another one. */
export class ConfiguredNode {
  readonly #places: ConfiguredPlaces;
  readonly #readFile: ReadFile;
  readonly #configurations: Configurations;
  #joined: { readonly parts: readonly Configuration[]; readonly whole: Configuration } | undefined;

  constructor(places: ConfiguredPlaces, readFile: ReadFile) {
    this.#places = places;
    this.#readFile = readFile;
    this.#configurations = new Configurations(readFile);
  }

  /** The folder of network configurations is read now, policy files when they are asked for. */
  look(store: Store): Configured {
    const { confDir, policy } = this.#places;
    const chains = readChains(confDir, this.#readFile);
    const present = chains.present.filter((entry) => this.#isOwn(entry));
    const [named] = present.map(({ policyFile }) => policyFile);
    const of = (entry: Entry) => this.#of(entry, store);
    const inForce = () => {
      this.#requireOwn(chains.present, present);
      return present.length > 0 ? present : [{ type: 'egress', policyFile: policy ?? defaults.policyFile }];
    };
    return {
      ...{ chains, of },
      own: new Map(
        [...chains.own].map(([network, entry]) => [network, entry && this.#isOwn(entry) ? entry : undefined]),
      ),
      policyFile: policy ?? (typeof named === 'string' ? named : defaults.policyFile),
      whole: () => this.#join(inForce().map(of)),
      sources: () => this.#sources(inForce(), store),
    };
  }

  #of(entry: Entry, store: Store): Configuration {
    return this.#configurations.of(this.#wished(entry), store);
  }

  /** An entry with what the agent was told in the place of its own. */
  #wished(entry: Entry): ChainEntry {
    const { policy, node, dataDir } = this.#places;
    const { name: _, cniVersion: __, ...own } = readChainEntry(entry); // networks with the same options have one configuration
    const wished = { ...(policy !== undefined && { policyFile: policy }), ...(node !== undefined && { node }) };
    return { ...own, ...wished, dataDir };
  }

  /** The same policy file is one source, whatever number of networks has it. */
  #sources(entries: readonly Entry[], store: Store): OwnSources {
    const sources = new Map<string, Source>();
    let wanted = false;
    let others: OthersKinds = { cilium: false, kubeVip: false };
    for (const entry of entries.map((each) => this.#wished(each))) {
      const document = this.#configurations.documentOf(entry, store);
      wanted ||= wantsObjects(entry, document);
      const { cilium, kubeVip } = othersKinds(entry, document);
      others = { cilium: others.cilium || cilium, kubeVip: others.kubeVip || kubeVip };
      const [own, file] = ownSources(entry, document);
      if (own) sources.set(`${own.name} ${sources.size}`, own);
      if (file) sources.set(file.name, file);
    }
    return { sources: [...sources.values()], wantsObjects: wanted, othersKinds: others };
  }

  #isOwn(entry: Entry): boolean {
    return this.#dataDirOf(entry) === withoutSlash(this.#places.dataDir);
  }

  #dataDirOf(entry: Entry): string {
    return withoutSlash(readMachineOptions(entry).dataDir ?? defaults.dataDir);
  }

  #requireOwn([first]: readonly Entry[], own: readonly Entry[]): void {
    if (first === undefined || own.length > 0) return;
    const said = `The chain of network "${first.name}" says that its pods are kept in ${this.#dataDirOf(first)}`;
    throw new EgressError('invalid-argument', `${said}, not in ${this.#places.dataDir}: say so with --data-dir`);
  }

  /** The same object as before while its parts are the same. */
  #join(parts: readonly Configuration[]): Configuration {
    const known = this.#joined;
    if (known?.parts.length === parts.length && parts.every((part, i) => part === known.parts[i])) return known.whole;
    const whole = joined(parts);
    this.#joined = { parts, whole };
    return whole;
  }
}

const withoutSlash = (path: string): string => path.replace(/(?<=.)\/+$/, '');

function joined([first, ...others]: readonly Configuration[]): Configuration {
  if (first === undefined) throw new Error('A node has one configuration at least');
  if (others.length === 0) return first;
  const exits = Map.groupBy(
    [first, ...others].flatMap(({ exits }) => exits),
    ({ name }) => name,
  );
  return { ...first, exits: [...exits.values()].flatMap(([exit]) => exit ?? []) };
}
