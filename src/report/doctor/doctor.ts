import type { Machine } from '../../node/machine.ts';
import { clusterRanges } from './cluster-ranges.ts';
import { type Facts, type Files, gather } from './facts.ts';
import { filters } from './filters.ts';
import { type Finding, orOk, type Seen, warning } from './finding.ts';
import { forwarding } from './forwarding.ts';
import { hindrancesAbout } from './hindrances.ts';
import { objects, ways } from './objects.ts';
import { reversePath } from './reverse-path.ts';

/** The checks by name, in the order in which a person reads them. */
const checks: Readonly<Record<string, (facts: Facts) => readonly Seen[] | Promise<readonly Seen[]>>> = {
  objects,
  rules: ways,
  forwarding,
  'reverse path': reversePath,
  filters,
  addresses: (facts) =>
    orOk(hindrancesAbout(facts, 'address', 'interface'), 'exits have their addresses and interfaces'),
  'cluster ranges': clusterRanges,
};

/** Everything about this host that matters to egress. Changes nothing. */
export async function examine(machine: Machine, files: Files): Promise<readonly Finding[]> {
  using host = machine.host.look();
  const facts = await gather(machine, host, files);
  const findings: Finding[] = [];
  for (const [check, look] of Object.entries(checks)) {
    for (const seen of await unlessImpossible(() => look(facts))) findings.push({ check, ...seen });
  }
  return findings;
}

/** One question that the host does not answer must not hide the answers to all others. */
async function unlessImpossible(look: () => readonly Seen[] | Promise<readonly Seen[]>): Promise<readonly Seen[]> {
  try {
    return await look();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [
      warning(`could not be looked at: ${why}`, 'call egress doctor as root on the host, in its network namespace'),
    ];
  }
}

/** Whether anything is wrong. Warnings do not count. */
export const isHealthy = (findings: readonly Finding[]): boolean => findings.every(({ status }) => status !== 'fault');
