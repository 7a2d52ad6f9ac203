import type { Address } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import { exitRoutes } from '../datapath/desired.ts';
import type { Change } from '../datapath/difference.ts';
import { printChanges } from '../datapath/print.ts';
import type { Machine } from '../node/machine.ts';
import type { Exit } from '../policy/exit.ts';
import type { MovesRecord, NodeRecord } from '../store/record.ts';
import { followFlows } from './flows.ts';
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

/**
 * The same as {@link moveExits} on a node whose packets for the exits go through the tunnel before and after: their routes are
 * led to other gateways before anything is looked at, which takes time that grows with the pods. Where it takes more than
 * routes, all is done.
 */
export async function followGateways(
  machine: Machine,
  configuration: Configuration,
  wanted: readonly Move[],
): Promise<readonly EgressError[]> {
  if (!(await leadRoutes(machine, configuration, wanted)))
    return (await moveExits(machine, configuration, wanted)).failures;
  return [];
}

/** Whether it was enough. */
async function leadRoutes(machine: Machine, configuration: Configuration, wanted: readonly Move[]): Promise<boolean> {
  using _lock = await machine.store.lock();
  const { host, store } = machine;
  const previous = store.loadNode();
  const next = previous && withGateways(previous, wanted);
  if (previous === undefined || next === undefined) return false;
  const moves = movesWith(store.loadMoves(), configuration, wanted);
  await host.apply(routesTo(next, wanted), anyGeneration);
  await followFlows(machine, previous, next);
  store.saveMoves(moves); // pods do not wait for a disk: who dies here, or cannot write, finds the same gateway by asking again
  store.saveNode(next);
  return true;
}

/** Nothing is changed in nftables. */
const anyGeneration = 0;

/** The record with other gateways for some exits; `undefined` where that takes more than other routes. */
function withGateways(node: NodeRecord, wanted: readonly Move[]): NodeRecord | undefined {
  const { tunnel, exits } = node;
  const isSimple = wanted.every(({ exit: name, to }) => {
    const exit = exits.find((one) => one.name === name);
    return exit?.gateway !== undefined && tunnel?.peers.includes(to);
  });
  if (!isSimple) return undefined;
  const gateways = new Map(wanted.map(({ exit, to }) => [exit, to]));
  return {
    ...node,
    exits: exits.map((exit) => {
      const gateway = gateways.get(exit.name);
      return gateway === undefined ? exit : { ...exit, gateway };
    }),
  };
}

/** The routes of exits into the tunnel: each takes the place of the one that is there. */
const routesTo = (node: NodeRecord, wanted: readonly Move[]): readonly Change[] =>
  node.exits
    .filter(({ name }) => wanted.some(({ exit }) => exit === name))
    .flatMap((exit) => exitRoutes(node, exit))
    .map((object) => ({ verb: 'add', object }));

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
