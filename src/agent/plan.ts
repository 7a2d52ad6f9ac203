import type { Configuration } from '../config/configuration.ts';
import { type Change, keyOf } from '../datapath/difference.ts';
import { planReconcile } from '../gateway/reconcile.ts';
import { planCollection } from '../node/collect.ts';
import type { Machine } from '../node/machine.ts';
import { planRepair } from '../node/repair.ts';
import type { Adoption } from '../runtimes/adopt.ts';
import { adoptOn } from './adoption.ts';
import type { AgentPlaces, AgentSurroundings } from './agent.ts';
import { ConfiguredNode } from './configured.ts';
import { isLeaving, planLeaving } from './leaving.ts';
import { isChanged, wantedBy } from './round.ts';

/** What one round would do. */
export interface RoundPlan {
  /** Each object once. */
  readonly changes: readonly Change[];
  /** Marks of attachments that would be taken down. */
  readonly collected: readonly string[];
  /** Pods that would be given something else, and those that could not. */
  readonly adoptions: readonly Adoption[];
  /** Why less is done than the configuration says, in sentences. */
  readonly remarks: readonly string[];
}

/** The plan of the first round of an agent that starts now. Changes nothing. */
export async function planRound(
  places: AgentPlaces,
  { openMachine, readFile }: Pick<AgentSurroundings, 'openMachine' | 'readFile'>,
): Promise<RoundPlan> {
  using machine = await openMachine(places);
  const configured = new ConfiguredNode(places, readFile).look(machine.store);
  const leaves = isLeaving(false, configured.chains);
  const { configuration, remark } = leaves ? leaving : readOrTell(configured);
  const startsNothing = configuration === undefined;
  const left = leaves ? await planLeaving(machine) : [];
  const kept = await planKeeping(machine, configuration);
  const collection = await planCollection(machine);
  const released = collection.marks.length > 0 ? collection.changes : [];
  const adoptions = startsNothing ? [] : await adoptOn(machine, places, { readFile }, configured, { dryRun: true });
  return {
    changes: eachOnce([...left, ...kept, ...released]),
    collected: collection.marks,
    adoptions: adoptions.filter((adoption) => isChanged(adoption) || adoption.problem !== undefined),
    remarks: remark === undefined ? [] : [remark],
  };
}

interface Read {
  readonly configuration?: Configuration;
  readonly remark?: string;
}

const leaving: Read = { remark: 'egress leaves this node: nothing is begun' };

function readOrTell(configured: { whole(): Configuration }): Read {
  try {
    return { configuration: configured.whole() };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { remark: `the node is kept as its records say: ${why}` };
  }
}

async function planKeeping(machine: Machine, configuration: Configuration | undefined): Promise<readonly Change[]> {
  if (configuration === undefined) return (await planRepair(machine)).changes;
  return await planReconcile(machine, configuration, wantedBy({ machine }));
}

/** Of several changes of an object the first one. */
const eachOnce = (changes: readonly Change[]): readonly Change[] =>
  [...new Map(changes.toReversed().map((change) => [keyOf(change.object), change])).values()].toReversed();
