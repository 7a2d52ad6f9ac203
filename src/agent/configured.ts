import type { Address } from '../base/address.ts';
import type { Configuration } from '../config/configuration.ts';
import { type ReadFile, readChainEntry, readConfiguration, readPolicy } from '../config/read.ts';
import { type ChainEntry, defaults } from '../config/schema.ts';
import { presentEntries } from '../runtimes/conflists.ts';

/** The places of the configuration. */
export interface ConfiguredPlaces {
  /** Where the runtime looks for network configurations. */
  readonly confDir: string;
  /** The policy file in place of the chain entry's. */
  readonly policy?: string;
  /** This node's underlay address, where it cannot be known from the policy file. */
  readonly node?: Address;
}

/**
 * The configuration for this node, as the plugin would read it: the entry in the chain of a network, with its policy
 * file. Networks share their exits; of other options those of the first file by name count. A node whose chains have no entry, as a gateway
 * without pods, goes by the policy file alone. Throws as ADD does for a configuration that is invalid or incomplete.
 */
export function readConfigured({ node, ...places }: ConfiguredPlaces, readFile: ReadFile): Configuration {
  const configuration = readShared(places, readFile);
  return node === undefined ? configuration : { ...configuration, node };
}

function readShared({ confDir, policy }: ConfiguredPlaces, readFile: ReadFile): Configuration {
  const configurations = entriesIn({ confDir, ...(policy && { policy }) }, readFile).map((entry) =>
    readConfiguration(entry, readFile),
  );
  const [first, ...others] = configurations;
  if (first === undefined) return readPolicy(policy ?? defaults.policyFile, readFile);
  const exits = Map.groupBy(
    [first, ...others].flatMap(({ exits }) => exits),
    ({ name }) => name,
  );
  return { ...first, exits: [...exits.values()].flatMap(([exit]) => exit ?? []) };
}

/** The policy file that is in force, whatever else is wrong with the chain entry: its changes are followed. */
export function policyFileInForce({ confDir, policy }: ConfiguredPlaces, readFile: ReadFile): string {
  const [named] = presentEntries(confDir, readFile).map(({ policyFile }) => policyFile);
  return policy ?? (typeof named === 'string' ? named : defaults.policyFile);
}

/** Our entries in the chains of networks. Throws for an invalid one. */
const entriesIn = ({ confDir, policy }: ConfiguredPlaces, readFile: ReadFile): ChainEntry[] =>
  presentEntries(confDir, readFile).map((entry) => ({
    ...readChainEntry(entry),
    ...(policy !== undefined && { policyFile: policy }),
  }));
