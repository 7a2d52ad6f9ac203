import { asEgressError, EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import { defaults } from '../config/defaults.ts';
import { readChainEntry, readConfiguration, readMachineOptions } from '../config/read.ts';
import { add, type PodNetwork } from '../node/add.ts';
import { check } from '../node/check.ts';
import { del } from '../node/del.ts';
import { gc } from '../node/gc.ts';
import type { Machine } from '../node/machine.ts';
import type { Pod } from '../policy/match.ts';
import { programOf } from '../policy/wishes.ts';
import { type AskLabels, withLabels } from '../sources/labels.ts';
import { noPolicies, type PolicyFiles, readPolicies } from '../sources/policies.ts';
import { readAnnotations } from './annotations.ts';
import { attachmentOf, type Command, type Environment, readEnvironment } from './environment.ts';
import { readPrevResult } from './prev-result.ts';
import { failure, failureOfDel, nothing, type Reply, success, versionReply } from './reply.ts';
import { type NetworkConfiguration, parseStdin, rawMember } from './stdin.ts';
import { validMarks } from './valid-attachments.ts';
import { isAtLeast, supportedVersions } from './versions.ts';

/** How a machine is opened: the files that the chain entry names. */
export interface MachineOptions {
  readonly dataDir: string;
  readonly logFile?: string;
  readonly logLevel?: string;
}

/** The surroundings of a plugin process. */
export interface Surroundings extends PolicyFiles {
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** All of standard input. */
  readStdin(): string;
  openMachine(options: MachineOptions): Promise<Machine & Disposable>;
  /** Asked only where policies choose by labels, which no runtime passes. */
  readonly askLabels: AskLabels;
}

/** A call that passed the checks which all verbs share. */
interface Call {
  readonly environment: Environment;
  readonly configuration: NetworkConfiguration;
  readonly stdin: string;
  readonly surroundings: Surroundings;
}

/** Answers one call of a runtime. Never throws. */
export async function runPlugin(surroundings: Surroundings): Promise<Reply> {
  const { variables } = surroundings;
  let cniVersion: string | undefined;
  try {
    const environment = readEnvironment(variables);
    const stdin = readStdin(surroundings, environment.command);
    cniVersion = versionIn(stdin);
    if (environment.command === 'VERSION') return versionReply(cniVersion);
    const configuration = parseStdin(stdin);
    return await verbs[environment.command]({ environment, configuration, stdin, surroundings });
  } catch (error) {
    return failureOf(variables, error, cniVersion);
  }
}

/** The answer to a failed call of any verb. */
export const failureOf = (variables: Surroundings['variables'], error: unknown, cniVersion?: string): Reply =>
  (variables.CNI_COMMAND === 'DEL' ? failureOfDel : failure)(asEgressError(error), cniVersion);

function readStdin({ readStdin }: Surroundings, command: Command): string {
  try {
    return readStdin();
  } catch (error) {
    if (command === 'VERSION') return '';
    throw new EgressError('io-failure', `Standard input cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** The version that the answer shall have: the configuration's, if it has one that we speak. */
function versionIn(stdin: string): string | undefined {
  try {
    const { cniVersion } = JSON.parse(stdin) as { cniVersion?: unknown };
    return supportedVersions.find((version) => version === cniVersion);
  } catch {
    return undefined;
  }
}

const verbs: Record<Exclude<Command, 'VERSION'>, (call: Call) => Promise<Reply>> = {
  ADD: async (call) => {
    const { environment, stdin, surroundings } = call;
    const entry = readChainEntry(call.configuration.document, stdin);
    const podNetwork = readPrevResult(call.configuration.document, environment.ifname);
    const attachment = attachmentOf(environment, call.configuration.name);
    // On a node that is drained no annotation keeps a pod from starting.
    const pod = entry.draining ? environment.pod : podOf(call);
    await onMachine(call, optionsOf(entry), async (machine) => {
      if (entry.draining && machine.store.has(attachment)) return;
      const policies = entry.draining ? noPolicies(entry) : readPolicies(entry, surroundings, machine.store);
      const labelled = await labelledBy(call, policies.configuration, pod);
      await add(machine, { attachment, pod: labelled, policies, podNetwork });
    });
    return success(rawMember(stdin, 'prevResult') ?? '');
  },

  CHECK: async (call) => {
    requireVersion(call, '0.4.0');
    const { document } = call.configuration;
    const entry = readChainEntry(document, call.stdin);
    const configuration = entry.draining ? undefined : readConfiguration(entry, call.surroundings.readFile);
    readPrevResult(document, call.environment.ifname);
    const hasPolicy = async () =>
      configuration !== undefined &&
      programOf(configuration, await labelledBy(call, configuration, podOf(call))).length > 0;
    const attachment = attachmentOf(call.environment, call.configuration.name);
    await onMachine(call, optionsOf(entry), (machine) => check(machine, attachment, hasPolicy));
    return nothing;
  },

  // The verbs below read no policies: a broken policy file must not keep pods from going.
  DEL: async (call) => {
    const attachment = attachmentOf(call.environment, call.configuration.name);
    await onMachine(call, lenientOptions(call), (machine) => {
      const { addresses, hostInterfaces } = hintsOf(call);
      return del(machine, attachment, addresses, hostInterfaces);
    });
    return nothing;
  },

  GC: async (call) => {
    requireVersion(call, '1.1.0');
    const { document, name } = call.configuration;
    const valid = validMarks(document, name);
    if (valid !== undefined) await onMachine(call, lenientOptions(call), (machine) => gc(machine, name, valid));
    return nothing;
  },

  // An error here makes the whole node NotReady. So it is one that makes every ADD fail.
  STATUS: async (call) => {
    requireVersion(call, '1.1.0');
    await onMachine(call, lenientOptions(call), (machine) => machine.host.hasTable());
    return nothing;
  },
};

/** Opens the machine for one verb, and leaves a line in its log about how that went. */
async function onMachine(
  { environment, configuration, surroundings }: Call,
  options: MachineOptions,
  action: (machine: Machine) => Promise<unknown>,
): Promise<void> {
  using machine = await surroundings.openMachine(options);
  // Of this process: a call is one.
  const fields = () => ({ ...environment, network: configuration.name, tookMs: Math.round(performance.now()) });
  try {
    await action(machine);
    machine.log.info(fields(), 'done');
  } catch (error) {
    const { code, message } = asEgressError(error);
    machine.log.warn({ ...fields(), code, error: message }, 'failed');
    throw error;
  }
}

/** The pod, with its annotations. Runtimes pass them in two places. */
function podOf({ environment: { pod }, configuration: { document } }: Call): Pod {
  const annotations = readAnnotations(document);
  return { ...pod, ...(annotations && { annotations }) };
}

const labelledBy = ({ surroundings }: Call, configuration: Configuration, pod: Pod): Promise<Pod> =>
  withLabels(configuration, pod, surroundings.askLabels);

const optionsOf = ({ dataDir, logFile, logLevel }: ReturnType<typeof readMachineOptions>): MachineOptions => ({
  dataDir: dataDir ?? defaults.dataDir,
  ...(logFile && { logFile }),
  ...(logLevel && { logLevel }),
});

/** Where the state is, of a chain entry that may be wrong in everything else: no ADD went by an option that is invalid. */
export const machineOptionsOf = (entry: Readonly<Record<string, unknown>>): MachineOptions =>
  optionsOf(readMachineOptions(entry));

const lenientOptions = ({ configuration: { document } }: Call): MachineOptions => machineOptionsOf(document);

function requireVersion({ environment, configuration }: Call, minimum: '0.4.0' | '1.1.0'): void {
  if (isAtLeast(configuration.cniVersion, minimum)) return;
  throw new EgressError(
    'incompatible-version',
    `${environment.command} came with ${minimum}, the configuration's cniVersion is ${configuration.cniVersion}`,
  );
}

/** prevResult, where there is one that can be read. */
function hintsOf({
  configuration: { document },
  environment,
}: Call): { addresses: PodNetwork['addresses'] } & Partial<PodNetwork> {
  try {
    return readPrevResult(document, environment.ifname);
  } catch {
    return { addresses: [] };
  }
}
