import type { Configuration } from '../config/configuration.ts';
import type { Machine } from '../node/machine.ts';
import { isFor } from '../policy/program.ts';
import { outdatedBy } from '../report/outdated.ts';
import { type Adoption, adoptAll } from '../runtimes/adopt.ts';
import type { Chains } from '../runtimes/conflists.ts';
import { type LabelsOf, withLabels } from '../sources/labels.ts';
import { policiesOf } from '../sources/policies.ts';
import type { AttachmentRecord } from '../store/record.ts';
import type { AgentPlaces, AgentSurroundings } from './agent.ts';
import type { Configured } from './configured.ts';
import { noLabels } from './label-answers.ts';

/** Gives pods of this node what a new pod like them would get, or tells what that would be. */
export function adoptOn(
  machine: Machine,
  { resultsDir }: Pick<AgentPlaces, 'resultsDir'>,
  { readFile, labels = noLabels, pace, worked }: Pick<AgentSurroundings, 'readFile' | 'labels' | 'pace' | 'worked'>,
  { own, of }: Configured,
  more: { readonly dryRun?: true } = {},
): Promise<readonly Adoption[]> {
  const labelsOf: LabelsOf = async (pod) => labels.labelsOf(pod);
  const whyOutdated = outdatedBy(machine, { own }, of, labelsOf);
  return adoptAll(
    { resultsDir, outdated: true, ...more },
    {
      readFile,
      entries: own,
      openMachine: async () => ({ ...machine, [Symbol.dispose]: () => {} }),
      policiesOf: (entry) => policiesOf(forRunning(of(entry))),
      labelsOf,
      ...(worked && { worked }),
      ...(pace && {
        rest: async () => {
          if (machine.store.isWanted) pace.met(); // who has the lock is rarely seen by who waits for it
          await pace.rest();
        },
        isBesideOthers: () => pace.isBesideOthers,
      }),
      whyOutdated: async (_, record) =>
        (await keepsAll(record, own, of, labelsOf)) ? undefined : await whyOutdated(record),
    },
  );
}

/** A policy that was refused, as an object of the cluster, changes nothing of running pods: those without anything of it get none. */
const forRunning = ({ policies, ...configuration }: Configuration): Configuration => ({
  ...configuration,
  policies: policies.filter(({ name }) => !configuration.refused?.includes(name)),
});

/** Whether a refused policy is for a pod that is steered: it keeps what it has. */
async function keepsAll(
  { network, pod }: AttachmentRecord,
  own: Chains['own'],
  of: Configured['of'],
  labelsOf: LabelsOf,
): Promise<boolean> {
  const entry = own.get(network);
  if (entry === undefined) return false;
  try {
    const { policies, refused = [], dataDir } = of(entry);
    const meant = policies.filter(({ name }) => refused.includes(name));
    if (meant.length === 0) return false;
    const known = await withLabels({ policies: meant, dataDir }, pod, labelsOf);
    return meant.some((policy) => isFor(policy, known));
  } catch {
    return true; // nobody can tell whether it is for the pod
  }
}
