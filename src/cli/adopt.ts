import { podName } from '../report/asked-pod.ts';
import { outdatedBy } from '../report/outdated.ts';
import { type Adoption, type AdoptOptions, adoptAll } from '../runtimes/adopt.ts';
import { type CliCommand, type CliSurroundings, toJson } from './command.ts';
import { withConfDir, withJson, withResultsDir } from './options.ts';

type Options = AdoptOptions & { readonly json?: true };

/** `egress adopt`: see {@link adoptAll}. Exit code 1 when a pod could not have its own. */
export async function adopt(options: Options, surroundings: CliSurroundings): Promise<void> {
  const { readFile, openMachine, write, setExitCode } = surroundings;
  const adoptions = await adoptAll(options, {
    readFile,
    openMachine,
    whyOutdated: (machine, record) => outdatedBy(machine, options.confDir, readFile)(record),
  });
  if (adoptions.some(({ problem }) => problem !== undefined)) setExitCode(1);
  write(options.json ? toJson(adoptions) : printAdoptions(adoptions, options.dryRun === true));
}

/** One line for each pod that has a policy, and one that sums up. */
export function printAdoptions(adoptions: readonly Adoption[], dryRun: boolean): string {
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
      withResultsDir(withConfDir(command))
        .option('--outdated', 'also give pods that have something else what a new pod like them would get')
        .option('--dry-run', 'tell what would be done, and change nothing'),
    ),
  run: (surroundings, options: Options) => adopt(options, surroundings),
};
