import type { Configuration } from '../config/configuration.ts';
import type { Change } from '../datapath/difference.ts';
import { isGateway, leave } from '../gateway/gateway.ts';
import type { Machine } from '../node/machine.ts';
import { planReleaseServed } from '../node/tear-down.ts';
import type { Chains } from '../runtimes/conflists.ts';
import type { NodeRecord } from '../store/record.ts';
import type { Configured } from './configured.ts';

/**
 * Whether egress is on its way out of this node, or left it while this agent ran: a chain said so (`egress uninstall
 * --drain`), and none says otherwise since. Then a policy file that is still there calls for nothing.
 */
export const isLeaving = (before: boolean, { present, areDraining }: Chains): boolean =>
  present.length === 0 && (before || areDraining);

/** The configuration that is still there, where the node was set up by its numbers: its chain entry, which may have others, is gone. */
export function configurationOf(node: NodeRecord | undefined, configured: Configured): Configuration | undefined {
  try {
    const whole = configured.whole();
    const isOfNode = (['fwmark', 'routeTable', 'rulePriority'] as const).every((key) => whole[key] === node?.[key]);
    return isOfNode ? whole : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Ends that a node that egress leaves is a gateway, when no pod of its own is steered any more. Returns the names of the exits that it
 * served to others; `undefined` when there is nothing to end. Whoever waits for it sees the node's record go.
 */
export const leaveAfterLastPod = async (machine: Machine): Promise<readonly string[] | undefined> =>
  isGatewayAlone(machine) ? await leave(machine) : undefined;

/** The changes of {@link leaveAfterLastPod}. Changes nothing. */
export const planLeaving = async (machine: Machine): Promise<readonly Change[]> =>
  isGatewayAlone(machine) ? await planReleaseServed(machine, () => true) : [];

const isGatewayAlone = (machine: Machine): boolean => !machine.store.hasAttachments() && isGateway(machine);

/**
 * Forgets that an agent ran here when egress has left the node: it is in no chain, and nothing of it is on record. Only
 * for the holder of the agent's lock.
 */
export function forgetOnceGone({ store }: Machine, { present, areDraining }: Chains): void {
  const isIn = present.length > 0 || areDraining;
  if (!isIn && !store.hasAttachments() && store.loadNode() === undefined) store.agent.forget();
}
