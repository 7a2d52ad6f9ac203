import type { Address } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import { printChanges } from '../datapath/print.ts';
import type { Machine } from '../node/machine.ts';
import type { Exit } from '../policy/exit.ts';
import type { MovesRecord } from '../store/record.ts';
import { type Outcome, planReconcile, reconcile, type Wanted } from './reconcile.ts';

/** An exit, and the gateway that it shall use from now on. */
export interface Move {
  readonly exit: string;
  readonly to: Address;
}

/**
 * Makes this node use another gateway for an exit. On the new gateway the node takes the exit's addresses and serves
 * it. On the old one it gives them up. Everywhere else all pods of the exit follow by one route. Do it on the new
 * gateway first: connections survive when their packets never meet a gateway without the address. The choice is
 * remembered, and pods that start later follow it. Throws `unknown-exit`.
 */
export const moveExit = (machine: Machine, configuration: Configuration, move: Move): Promise<Outcome> =>
  moveExits(machine, configuration, [move], move.exit);

/**
 * The same for several exits in one step; `required` is one that it is all about. Of the others those that cannot be as they
 * should are among the failures.
 */
export async function moveExits(
  machine: Machine,
  configuration: Configuration,
  wanted: readonly Move[],
  required?: string,
): Promise<Outcome> {
  using _lock = await machine.store.lock();
  const { store } = machine;
  const before = store.loadMoves();
  const moves = movesWith(before, configuration, wanted);
  store.saveMoves(moves);
  try {
    return await reconcile(machine, configuration, wantedBy(machine, wanted, moves, required));
  } catch (error) {
    store.saveMoves(before);
    throw error;
  }
}

/** The commands that {@link moveExit} stands for. Changes nothing. */
export async function planMove(machine: Machine, configuration: Configuration, move: Move): Promise<string> {
  const moves = movesWith(machine.store.loadMoves(), configuration, [move]);
  return printChanges(await planReconcile(machine, configuration, wantedBy(machine, [move], moves, move.exit)));
}

/** A gateway that was brought down does not come back because an exit moves; the exit that moves to it is served. */
function wantedBy(
  { store }: Machine,
  wanted: readonly Move[],
  moves: MovesRecord['gateways'],
  required: string | undefined,
): Wanted {
  const served = new Set(store.loadNode()?.gateway?.served);
  const moved = new Set(wanted.map(({ exit }) => exit));
  return {
    serves: ({ name, id }) => moved.has(name) || served.has(id),
    moves,
    ...(required !== undefined && { required }),
  };
}

/** A move to the configuration's own choice is not remembered, nor one of an exit that it does not have any more. */
function movesWith(
  moves: MovesRecord['gateways'],
  configuration: Configuration,
  wanted: readonly Move[],
): MovesRecord['gateways'] {
  for (const { exit: name, to } of wanted) {
    const { gateways } = gatewayExit(configuration, name);
    if (gateways.includes(to)) continue;
    throw new EgressError('unknown-exit', `Exit "${name}" has the gateways ${gateways.join(', ')}, got ${to}`);
  }
  const first = new Map(configuration.exits.map(({ name, gateways }) => [name, gateways[0]]));
  const all = [...Object.entries(moves), ...wanted.map(({ exit, to }) => [exit, to] as const)];
  const last = Object.entries(Object.fromEntries(all));
  return Object.fromEntries(last.filter(([name, gateway]) => first.has(name) && first.get(name) !== gateway));
}

function gatewayExit({ exits }: Configuration, name: string): Exit {
  const withGateways = exits.filter(({ gateways }) => gateways.length > 0);
  const exit = withGateways.find((exit) => exit.name === name);
  if (exit !== undefined) return exit;
  const known = withGateways.map(({ name }) => `"${name}"`).join(', ') || 'none';
  throw new EgressError('unknown-exit', `No exit with gateways is called "${name}", there are: ${known}`);
}
