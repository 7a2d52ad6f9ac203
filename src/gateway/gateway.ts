import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import { printChanges } from '../datapath/print.ts';
import type { Machine } from '../node/machine.ts';
import { findOwnEnd } from '../node/own-end.ts';
import { forgetting } from '../node/release.ts';
import { releaseServed } from '../node/tear-down.ts';
import { type Outcome, planReconcile, reconcile } from './reconcile.ts';

/**
 * Makes this node serve all exits with this gateway, by the configuration or by a move. Of the others it may be the
 * gateway later; they are left alone. Throws `unknown-exit` on a node that no exit names, and that serves none from
 * before.
 */
export async function bringUp(machine: Machine, configuration: Configuration): Promise<Outcome> {
  using _lock = await machine.store.lock();
  await requireGateway(machine, configuration);
  return await reconcile(machine, configuration, { serves: () => true, moves: machine.store.loadMoves() });
}

/** The commands that {@link bringUp}, or {@link bringDown}, stands for. Changes nothing. */
export async function planGateway(machine: Machine, configuration: Configuration, up: boolean): Promise<string> {
  if (up) await requireGateway(machine, configuration);
  const wanted = { serves: () => up, moves: machine.store.loadMoves() };
  return printChanges(await planReconcile(machine, configuration, wanted));
}

/** Stops serving exits, and takes the gateway's side down. Pods of this node keep their objects. */
export async function bringDown(machine: Machine, configuration: Configuration): Promise<Outcome> {
  using _lock = await machine.store.lock();
  return await reconcile(machine, configuration, { serves: () => false, moves: machine.store.loadMoves() });
}

/**
 * Stops serving exits, and being ready to, without a configuration. The gateway's side goes, its egress addresses too, and nothing is
 * made anew; pods of this node lose nothing else. Returns the names of the exits that were served.
 */
export async function leave(machine: Machine): Promise<readonly string[]> {
  using _lock = await machine.store.lock();
  const served = servedExits(machine);
  forgetting(machine, () => machine.store.agent.saveElections({})); // a node that may be given addresses stays deaf on them
  const changes = await releaseServed(machine, () => true);
  for (const { object } of changes) if (object.kind === 'address') await machine.host.deleteFlowsTo(object.address);
  return served;
}

/**
 * Whether this node is set up as a gateway, by its record. One that another gateway stands before, and whose own pods went there, serves
 * nothing, and is one all the same.
 */
export const isGateway = ({ store }: Machine): boolean => store.loadNode()?.gateway !== undefined;

/** Names of the exits that this node serves to others, by its record. */
export function servedExits({ store }: Machine): readonly string[] {
  const node = store.loadNode();
  return (node?.exits ?? []).filter(({ id }) => node?.gateway?.served.includes(id)).map(({ name }) => name);
}

async function requireGateway({ host, store }: Machine, configuration: Configuration): Promise<void> {
  if (store.loadNode()?.gateway !== undefined) return;
  const address = (await findOwnEnd(host, configuration))?.address;
  if (configuration.exits.some(({ gateways }) => address !== undefined && gateways.includes(address))) return;
  throw new EgressError(
    'unknown-exit',
    address === undefined ? 'No exit has gateways' : `No exit names this node, ${address}, among its gateways`,
  );
}
