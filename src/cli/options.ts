import type { Command } from 'commander';
import { type Address, parseAddress } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import { defaults } from '../config/defaults.ts';

/** Options of commands about a node's objects. */
export interface NodeOptions {
  readonly dataDir: string;
  readonly json?: true;
  readonly dryRun?: true;
}

/** Options of commands that look for network configurations. */
export interface ConfOptions {
  readonly confDir: string;
}

/** Options of commands that may need the policy file. */
export interface PolicyOptions {
  readonly policy?: string;
}

const confFolder = '/etc/cni/net.d';
const resultsFolder = '/var/lib/cni/results';

export const withDataDir = (command: Command): Command =>
  command.option('--data-dir <dir>', 'where the plugin keeps its state', defaults.dataDir);

export const withJson = (command: Command): Command => command.option('--json', 'print JSON');

export const withConfDir = (command: Command): Command =>
  command.option('--conf-dir <dir>', 'where the runtime looks for network configurations', confFolder);

export const withResultsDir = (command: Command): Command =>
  command.option('--results-dir <dir>', 'where the runtime keeps the results of ADD', resultsFolder);

export const withDryRun = (command: Command): Command =>
  command.option('--dry-run', 'print the commands that this stands for, and change nothing');

export const withPolicyIfThere = (command: Command): Command =>
  command.option('--policy <file>', `the policy file, ${defaults.policyFile} if it is there`);

/** Adds the options of all commands about a node's objects. */
export const onNode = (command: Command): Command => withJson(withDataDir(command));

/** The address that an option was given. Throws `invalid-argument`. */
export function requireAddress(option: string, text: string): Address {
  const address = parseAddress(text);
  if (address !== undefined) return address;
  throw new EgressError('invalid-argument', `${option}: expected an IP address, got "${text}"`);
}
