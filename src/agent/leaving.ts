import type { ReadFile } from '../config/read.ts';
import { leave, servedExits } from '../gateway/gateway.ts';
import type { Machine } from '../node/machine.ts';
import { areDraining, presentEntries } from '../runtimes/conflists.ts';

/**
 * Whether egress is on its way out of this node, or left it while this agent ran: a chain said so (`egress uninstall
 * --drain`), and none says otherwise since. Then a policy file that is still there calls for nothing.
 */
export const isLeaving = (before: boolean, confDir: string, readFile: ReadFile): boolean =>
  !isInChain(confDir, readFile) && (before || areDraining(confDir, readFile));

const isInChain = (confDir: string, readFile: ReadFile): boolean => presentEntries(confDir, readFile).length > 0;

/**
 * Ends what a node that egress leaves serves to others, when no pod of its own is steered any more. Returns the names of
 * those exits. Whoever waits for it sees the node's record go.
 */
export const leaveAfterLastPod = async (machine: Machine): Promise<readonly string[]> =>
  machine.store.hasAttachments() || servedExits(machine).length === 0 ? [] : await leave(machine);

/**
 * Forgets that an agent ran here when egress has left the node: it is in no chain, and nothing of it is on record. Only
 * for the holder of the agent's lock.
 */
export function forgetOnceGone({ store }: Machine, confDir: string, readFile: ReadFile): void {
  const isIn = isInChain(confDir, readFile) || areDraining(confDir, readFile);
  if (!isIn && !store.hasAttachments() && store.loadNode() === undefined) store.forgetAgent();
}
