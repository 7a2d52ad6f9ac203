import type { Attachment } from '../base/attachment.ts';
import { asEgressError } from '../base/errors.ts';
import { capability, readAnnotations } from '../cni/annotations.ts';
import { type CachedResult, readCachedResult } from '../cni/cached-result.ts';
import { readEnvironment } from '../cni/environment.ts';
import type { Machine } from '../cni/machine.ts';
import { runPlugin } from '../cni/plugin.ts';
import { readPrevResult } from '../cni/prev-result.ts';
import { readChainEntry, readConfiguration, readMachineOptions } from '../config/read.ts';
import { defaults } from '../config/schema.ts';
import { filesIn } from '../files/file.ts';
import type { Pod } from '../policy/match.ts';
import { programOf } from '../policy/wishes.ts';
import { podName } from '../report/asked-pod.ts';
import { type Entry, ownEntries } from '../report/conflists.ts';
import { outdatedBy } from '../report/outdated.ts';
import { type CliCommand, type CliSurroundings, toJson } from './command.ts';
import { withConfDir, withJson } from './options.ts';

/** What the command is told on the command line. */
export interface AdoptOptions {
  /** Where runtimes look for network configurations. */
  readonly confDir: string;
  /** Where libcni keeps what it did. */
  readonly resultsDir: string;
  /** Also give pods that have something else what a new pod like them would get. */
  readonly outdated?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

/** A pod that ran before egress, and what became of it. */
export interface Adoption extends Pick<Attachment, 'network' | 'containerId' | 'ifname'> {
  readonly pod: Pod;
  /** The exits that its policies name; none: no policy is for it, and nothing was done. */
  readonly exits: readonly string[];
  /** Why it is given something else than it had. */
  readonly outdated?: string;
  /** Why it is not steered, though it should be. */
  readonly problem?: string;
}

/**
 * `egress adopt`: gives pods that were started before egress the exits that their policies name, as ADD does for new
 * ones, from what the runtime's libcni remembers of them. Pods that have theirs are left alone, unless `outdated` asks for
 * those that would be given something else now; so are those whose interface is gone.
 */
export async function adopt(options: AdoptOptions, surroundings: CliSurroundings): Promise<void> {
  const adoptions: Adoption[] = [];
  for (const { cached, entry } of candidates(options, surroundings)) {
    const adoption = await adoptOne(cached, entry, options, surroundings);
    if (adoption !== undefined) adoptions.push(adoption);
  }
  if (adoptions.some(({ problem }) => problem !== undefined)) surroundings.setExitCode(1);
  surroundings.write(options.json ? toJson(adoptions) : printAdoptions(adoptions, options.dryRun === true));
}

/** Attachments to networks that have egress in their chain now, with what the runtime would give to egress on ADD. */
function candidates({ confDir, resultsDir }: AdoptOptions, { readFile }: CliSurroundings) {
  const entries = ownEntries(confDir, readFile);
  return filesIn(resultsDir)
    .sort()
    .flatMap((file) => {
      const cached = readCachedResult(readFile(`${resultsDir}/${file}`) ?? '');
      const entry = cached && entries.get(cached.network);
      return cached && entry ? [{ cached, entry }] : [];
    });
}

async function adoptOne(
  cached: CachedResult,
  entry: Entry,
  options: AdoptOptions,
  surroundings: CliSurroundings,
): Promise<Adoption | undefined> {
  const call = {
    variables: {
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: cached.containerId,
      CNI_IFNAME: cached.ifname,
      CNI_NETNS: 'unknown', // not every libcni writes it down, and egress never looks into it
      CNI_ARGS: cached.args,
    },
    request: { ...entry, runtimeConfig: { [capability]: cached.annotations }, prevResult: cached.result },
  };
  const told = await wouldHave(cached, call, options, surroundings);
  if (options.dryRun || told === undefined || told.problem !== undefined) return told;
  if (told.exits.length === 0 && told.outdated === undefined) return told;
  const { stdout, exitCode } = await runPlugin({
    ...surroundings,
    variables: call.variables,
    readStdin: () => JSON.stringify(call.request),
    identify: () => undefined,
  });
  return exitCode === 0 ? told : { ...told, problem: (JSON.parse(stdout) as { details: string }).details };
}

/** What a runtime gives to egress on ADD. */
interface AddCall {
  readonly variables: Readonly<Record<string, string>>;
  readonly request: Entry;
}

/** What ADD would do for a pod; `undefined` for one that has its exits already, or is gone. Changes nothing. */
async function wouldHave(
  cached: CachedResult,
  { variables, request }: AddCall,
  options: AdoptOptions,
  { openMachine, readFile }: CliSurroundings,
): Promise<Adoption | undefined> {
  const { network, containerId, ifname } = cached;
  const told: Writable<Adoption> = { network, containerId, ifname, pod: {}, exits: [] };
  try {
    const { pod } = readEnvironment(variables);
    const annotations = readAnnotations(request);
    told.pod = { ...pod, ...(annotations && { annotations }) };
    using machine = await openMachine({ dataDir: readMachineOptions(request).dataDir ?? defaults.dataDir });
    if ((machine.store.has(cached) && !options.outdated) || !(await isAlive(machine, request, ifname)))
      return undefined;
    const record = machine.store.load(cached);
    const outdated = record && (await outdatedBy(machine, options.confDir, readFile)(record));
    if (record !== undefined && outdated === undefined) return undefined;
    if (outdated !== undefined) told.outdated = outdated;
    const configuration = readConfiguration(readChainEntry(request), readFile);
    told.exits = [...new Set(programOf(configuration, told.pod).map(({ exit }) => exit))];
    return told;
  } catch (error) {
    return { ...told, problem: asEgressError(error).message };
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Whether all is there on the host's side: an address of a pod that is gone may be another's by now. */
async function isAlive({ host }: Machine, request: Entry, ifname: string): Promise<boolean> {
  const { addresses, hostInterfaces } = readPrevResult(request, ifname);
  for (const name of hostInterfaces) if ((await host.readLink(name)) === undefined) return false;
  return addresses.length > 0 && hostInterfaces.length > 0;
}

/** One line for each pod that has a policy, and one that sums up. */
function printAdoptions(adoptions: readonly Adoption[], dryRun: boolean): string {
  const lines = adoptions.flatMap((adoption) => {
    const { exits, problem } = adoption;
    if (problem !== undefined) return [`${podName(adoption)}: ${problem}`];
    if (exits.length === 0 && adoption.outdated !== undefined) {
      return [`${podName(adoption)} ${dryRun ? 'would have' : 'has'} no exit any more`];
    }
    return exits.length === 0 ? [] : [`${podName(adoption)} ${dryRun ? 'would have' : 'has'} ${exits.join(', ')} now`];
  });
  const alone = adoptions.filter(
    ({ exits, problem, outdated }) => exits.length === 0 && problem === undefined && outdated === undefined,
  ).length;
  return [...lines, `${alone} running pods have no policy.`, ''].join('\n');
}

export const adoptCommand: CliCommand = {
  name: 'adopt',
  summary: 'give pods that were started before egress their exits; exit code 1 when one could not have its own',
  options: (command) =>
    withJson(
      withConfDir(command)
        .option('--results-dir <dir>', 'where the runtime keeps the results of ADD', '/var/lib/cni/results')
        .option('--outdated', 'also give pods that have something else what a new pod like them would get')
        .option('--dry-run', 'tell what would be done, and change nothing'),
    ),
  run: (surroundings, options: AdoptOptions) => adopt(options, surroundings),
};
