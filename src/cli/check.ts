import { counted } from '../base/counted.ts';
import { filesIn } from '../files/file.ts';
import { type CheckReport, checkAll, isFine, withWarnings } from '../report/check.ts';
import { groupsOf, ownersText } from '../report/check-groups.ts';
import { outdatedIn, outdatedLines } from '../report/outdated.ts';
import { savedWarning, savedWithUs } from '../report/saved-ruleset.ts';
import { labelsIfTold } from '../sources/labels.ts';
import { type CliCommand, toJson } from './command.ts';
import { type ConfOptions, type NodeOptions, onNode, withConfDir } from './options.ts';

/** One line for each cause, with all whom it concerns, one that sums up, and one more for a gateway. */
export function printCheck({ attachments, node: { gateway, problems, warnings } }: CheckReport): string {
  const wrong = attachments.filter(({ problems }) => problems.length > 0).length;
  const known = new Set(attachments.flatMap(({ problems }) => problems));
  const ofGateway = { owner: 'gateway', problems: (gateway ?? []).filter((problem) => !known.has(problem)) };
  const owned = [...attachments.map(({ pod: owner, problems }) => ({ owner, problems })), ofGateway];
  return [
    ...groupsOf(owned).map(({ owners, problem }) => `${ownersText(owners)}: ${problem}`),
    ...problems.map((problem) => `node: ${problem}`),
    ...outdatedLines(attachments.map(({ pod: name, outdated }) => ({ name, outdated }))),
    ...warnings.map((warning) => `warning: ${warning}`),
    wrong === 0
      ? `${counted(attachments.length, 'attachment')} ${attachments.length === 1 ? 'is as it' : 'are as they'} should be.`
      : `${wrong} of ${counted(attachments.length, 'attachment')} ${wrong === 1 ? 'is not as it' : 'are not as they'} should be.`,
    ...(gateway ? [`This node is a gateway, and ${gateway.length > 0 ? 'not ' : ''}as it should be.`] : []),
    '',
  ].join('\n');
}

export const checkCommand: CliCommand = {
  name: 'check',
  summary: 'compare what is set up with what should be; exit code 1 when something is missing',
  options: (command) => withConfDir(onNode(command)),
  run: async ({ openMachine, readFile, askLabels, write, setExitCode }, options: NodeOptions & ConfOptions) => {
    using machine = await openMachine(options);
    const saved = savedWithUs(readFile, filesIn).map(savedWarning);
    const outdated = outdatedIn(machine, options.confDir, readFile, labelsIfTold(askLabels));
    const report = withWarnings(await checkAll(machine, outdated), saved);
    write(options.json ? toJson(report) : printCheck(report));
    if (!isFine(report)) setExitCode(1);
  },
};
