import { printChanges } from '../datapath/print.ts';
import { planReconcile } from '../gateway/reconcile.ts';
import { planCollection } from '../node/collect.ts';
import { outdatedBy } from '../report/outdated.ts';
import { adoptAll } from '../runtimes/adopt.ts';
import type { AgentPlaces, AgentSurroundings } from './agent.ts';
import { readConfigured } from './configured.ts';

/** The plan of one round: its commands, and one line for each pod that would be given something else. */
export async function planRound(
  places: AgentPlaces,
  { openMachine, readFile }: Pick<AgentSurroundings, 'openMachine' | 'readFile'>,
): Promise<string> {
  using machine = await openMachine(places);
  const configuration = readConfigured(places, readFile);
  const changes = await planReconcile(machine, configuration, { serves: () => true, moves: machine.store.loadMoves() });
  const { marks, commands } = await planCollection(machine);
  const whyOutdated = outdatedBy(machine, places.confDir, readFile);
  const adoptions = await adoptAll(
    { ...places, outdated: true, dryRun: true },
    { readFile, openMachine, whyOutdated: (_, record) => whyOutdated(record) },
  );
  const pods = adoptions.filter(({ exits, outdated, problem }) => problem ?? outdated ?? exits[0]);
  return [
    printChanges(changes),
    commands,
    ...marks.map((mark) => `# ${mark} would be taken down\n`),
    ...pods.map(
      ({ pod, exits, problem }) =>
        `# ${pod.namespace}/${pod.name}: ${problem ?? (exits.join(', ') || 'no exit any more')}\n`,
    ),
  ].join('');
}
