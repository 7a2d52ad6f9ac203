import { readChainEntry } from '../config/read.ts';
import { partsSeen } from '../node/check.ts';
import type { Machine } from '../node/machine.ts';
import { podName } from '../report/asked-pod.ts';
import { outdatedBy } from '../report/outdated.ts';
import { type Adoption, type AdoptOptions, adoptAll } from '../runtimes/adopt.ts';
import { type Entry, readChains } from '../runtimes/conflists.ts';
import { Configurations } from '../sources/configurations.ts';
import { labelsIfTold } from '../sources/labels.ts';
import { policiesOf } from '../sources/policies.ts';
import { type CliCommand, type CliSurroundings, toJson } from './command.ts';
import { type ConfOptions, withConfDir, withJson, withResultsDir } from './options.ts';
import { tellEnding } from './work.ts';

type Options = AdoptOptions & ConfOptions & { readonly json?: true };

/** `egress adopt`: see {@link adoptAll}. Exit code 1 when a pod could not have its own. */
export async function adopt({ confDir, ...options }: Options, surroundings: CliSurroundings): Promise<void> {
  const { readFile, openMachine, askLabels, write, setExitCode, worked } = surroundings;
  const labelsOf = labelsIfTold(askLabels);
  const configurations = new Configurations(readFile);
  const { own: entries } = readChains(confDir, readFile);
  const configurationOf =
    ({ store }: Machine) =>
    (entry: Entry) =>
      configurations.of(readChainEntry(entry), store);
  using work = surroundings.openWork(!options.dryRun);
  const adoptions = await adoptAll(options, {
    ...{ readFile, openMachine, entries, onward: work.onward },
    isWhole: async (machine, record) => (await partsSeen(machine, record))?.objects.length === 0,
    policiesOf: (entry, machine) => policiesOf(configurationOf(machine)(entry)),
    ...{ labelsOf, worked },
    whyOutdated: (machine, record) => outdatedBy(machine, { own: entries }, configurationOf(machine), labelsOf)(record),
  });
  if (adoptions.some(({ problem }) => problem !== undefined)) setExitCode(1);
  tellEnding(work, surroundings);
  write(options.json ? toJson(adoptions) : printAdoptions(adoptions, options.dryRun === true));
}

/** One line for each pod that has a policy, and one that sums up. */
function printAdoptions(adoptions: readonly Adoption[], dryRun: boolean): string {
  const alone = adoptions.filter(
    ({ exits, problem, outdated }) => exits.length === 0 && problem === undefined && outdated === undefined,
  ).length;
  return [...adoptionLines(adoptions, dryRun), `${alone} running pods have no policy.`, ''].join('\n');
}

/** One line for each pod that has a policy, or had one. */
export const adoptionLines = (adoptions: readonly Adoption[], dryRun: boolean): readonly string[] =>
  adoptions.flatMap((adoption) => {
    const { exits, problem } = adoption;
    if (problem !== undefined) return [`${podName(adoption)}: ${problem}`];
    if (exits.length === 0 && adoption.outdated !== undefined) {
      return [`${podName(adoption)} ${dryRun ? 'would have' : 'has'} no exit any more`];
    }
    return exits.length === 0 ? [] : [`${podName(adoption)} ${dryRun ? 'would have' : 'has'} ${exits.join(', ')} now`];
  });

export const adoptCommand: CliCommand = {
  name: 'adopt',
  summary: 'give pods that were started before egress their exits; exit code 1 when one could not have its own',
  options: (command) =>
    withJson(
      withResultsDir(withConfDir(command))
        .option('--outdated', 'also give pods that have something else what a new pod like them would get')
        .option('--dry-run', 'tell what would be done, and change nothing'),
    ),
  run: (surroundings, options: Options) => adopt(options, surroundings),
};
