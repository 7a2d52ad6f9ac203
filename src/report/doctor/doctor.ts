import type { Host } from '../../datapath/host.ts';
import type { Machine } from '../../node/machine.ts';
import { agent, chain, savedRulesets } from './chain.ts';
import { clusterRanges } from './cluster-ranges.ts';
import { conntrack } from './conntrack.ts';
import { exits } from './exits.ts';
import { type Facts, gather, type Surroundings } from './facts.ts';
import { filters } from './filters.ts';
import { type Finding, orOk, type Seen, warning } from './finding.ts';
import { flowtables } from './flowtables.ts';
import { forwarding } from './forwarding.ts';
import { gateways } from './gateways.ts';
import { hindrancesAbout } from './hindrances.ts';
import { kernel } from './kernel.ts';
import { marks } from './marks.ts';
import { masquerade } from './masquerade.ts';
import { neighbours } from './neighbours.ts';
import { numbers } from './numbers.ts';
import { objects, ways } from './objects.ts';
import { reversePath } from './reverse-path.ts';
import { clock, disk, program } from './system.ts';

type Look = (facts: Facts) => readonly Seen[] | Promise<readonly Seen[]>;

/** The checks by name, in the order in which a person reads them: what cannot be had, what is ours, what others do, the machine. */
const checks = {
  exits,
  objects,
  rules: ways,
  addresses: (facts) =>
    orOk(hindrancesAbout(facts, 'address', 'interface'), 'exits have their addresses and interfaces'),
  neighbours,
  gateways,
  forwarding,
  'reverse path': reversePath,
  filters,
  flowtables,
  masquerade,
  marks,
  numbers,
  'cluster ranges': clusterRanges,
  chain,
  agent,
  conntrack,
  'saved rulesets': savedRulesets,
  kernel,
  program,
  disk,
  clock,
} as const satisfies Readonly<Record<string, Look>>;

/** The name of a check. */
export type CheckName = keyof typeof checks;

/** All names, in the order of the findings. */
export const checkNames = Object.keys(checks) as readonly CheckName[];

/** What was found, and from what. */
export interface Examined {
  readonly findings: readonly Finding[];
  readonly facts: Facts;
}

/**
 * Everything about this host that matters to egress. Changes nothing.
 *
 * @param host remembers answers, and is the caller's to dispose of
 */
export async function examine(machine: Machine, host: Host, surroundings: Surroundings): Promise<Examined> {
  const facts = await gather(machine, host, surroundings);
  const findings: Finding[] = [];
  for (const [done, check] of checkNames.entries()) {
    await surroundings.onward?.({ what: check, done, of: checkNames.length });
    for (const seen of await unlessImpossible(() => checks[check](facts))) findings.push({ check, ...seen });
  }
  return { findings, facts };
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
