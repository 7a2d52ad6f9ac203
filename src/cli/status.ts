import { EgressError } from '../base/errors.ts';
import { pause } from '../loop/watch.ts';
import type { Machine } from '../node/machine.ts';
import { outdatedIn } from '../report/outdated.ts';
import { type Look, lookOf, parseLook, withRates } from '../report/rates.ts';
import { readStatus, type Status } from '../report/status.ts';
import { labelsIfTold } from '../sources/labels.ts';
import { type CliCommand, type CliSurroundings, toJson, toJsonLine } from './command.ts';
import { type ConfOptions, type NodeOptions, onNode, withConfDir } from './options.ts';
import { onScreen } from './screen.ts';
import { printStatus } from './status-text.ts';

interface StatusOptions extends NodeOptions, ConfOptions {
  /** Seconds between two looks, or `true` for the usual. */
  readonly watch?: string | true;
}

/** The status of this node as `--json` prints it. */
export type NodeStatus = Status & { readonly node: string };

/** What is printed, and what the next look counts its rates from. */
interface Seen {
  readonly status: NodeStatus;
  readonly look: Look;
}

/** One look. The rates are counted from `before`, or from what the last look of somebody left behind. */
export async function lookAtStatus(
  machine: Machine,
  { confDir }: ConfOptions,
  { readFile, askLabels, isClaimed, hostName, sinceBoot }: CliSurroundings,
  before?: Look,
): Promise<Seen> {
  const outdated = outdatedIn(machine, confDir, readFile, labelsIfTold(askLabels));
  const status = await readStatus(machine, outdated, isClaimed);
  const look = lookOf(status, sinceBoot());
  const rated = withRates(status, before ?? parseLook(machine.store.loadLook()), look);
  return { status: { node: hostName, ...rated }, look };
}

/** Keeps the look for the next. A node on which nothing is set up, or whose folder cannot be written to, remembers none. */
async function remember({ store }: Machine, { status, look }: Seen): Promise<void> {
  if (status.exits.length + status.pods.length === 0) return;
  try {
    using _lock = await store.lock();
    store.saveLook(JSON.stringify(look));
  } catch {
    // The next look has no rates.
  }
}

/** The seconds between two looks. Throws `invalid-argument`. */
function secondsOf(watch: string | true): number {
  if (watch === true) return 2;
  const seconds = /^\d+(\.\d+)?$/.test(watch) ? Number(watch) : 0;
  if (seconds >= 0.2 && seconds <= 86_400) return seconds;
  throw new EgressError('invalid-argument', `--watch: expected seconds from 0.2 to 86400, got "${watch}"`);
}

/** Until a signal ends it. A look that fails is told, and the next is made all the same. */
async function watchStatus(surroundings: CliSurroundings, options: StatusOptions, seconds: number): Promise<void> {
  const { openMachine, openService, write, colors } = surroundings;
  using service = openService();
  using screen = surroundings.screen && !options.json ? onScreen(surroundings) : undefined;
  let last: Seen | undefined;
  while (!service.signal.aborted) {
    try {
      using machine = await openMachine(options); // a socket that had an error is of no use any more
      last = await lookAtStatus(machine, options, surroundings, last?.look);
      const text = options.json ? toJsonLine(last.status) : undefined;
      const width = surroundings.screen?.columns;
      if (text !== undefined) write(text);
      else if (screen) screen.show(`${heading(seconds)}\n\n${printStatus(last.status, { colors, width })}`);
      else write(`${now()}\n\n${printStatus(last.status, { colors })}\n`);
    } catch (error) {
      if (isLost(error)) throw error;
      if (screen) screen.show(`${heading(seconds)}\n\n${error instanceof Error ? error.message : error}\n`);
      else service.report(error, 'It is looked at again.');
    }
    await pause(seconds * 1000, service.signal);
  }
  using machine = await openMachine(options);
  if (last) await remember(machine, last);
}

/** Nobody reads any more. */
const isLost = (error: unknown): boolean => error instanceof EgressError && error.code === 'io-failure';

const now = (): string => new Date().toISOString().replace(/T(.*)\.\d+Z$/, ' $1 UTC');

const heading = (seconds: number): string => `egress status, ${now()}, every ${seconds} s (Ctrl-C ends it)`;

const columnsText = `
Columns, counted on this node since the exit is set up as it is now ("-": not counted here, or not known):
  HEALTH     works; FAILS: cannot be used here, for the reason below the tables; standby: another gateway has
             its addresses; unknown: it leaves from a gateway, which only an agent asks
  PACKETS/S  packets and BYTES/S bytes in a second, given to the exit or sent by the pod, since somebody looked last
  SERVED     packets that came out of the tunnel for the exit, on its gateway; they are among those of STEERED
  STEERED    packets that pods' policies, or the tunnel, gave to the exit
  LEFT       of those, what the exit's interface took, with the exit's address
  TUNNELLED  of those, what went into the tunnel: whether it left, the gateway's status tells
  DROPPED    of those, the rest
  PACKETS    packets of the pod, whatever became of them`;

export const statusCommand: CliCommand = {
  name: 'status',
  summary: 'show exits, pods and what they counted',
  options: (command) =>
    withConfDir(onNode(command))
      .option('--watch [seconds]', 'look again and again, each 2 seconds or as many as are named, until Ctrl-C')
      .addHelpText('after', columnsText),
  run: async (surroundings, options: StatusOptions) => {
    if (options.watch !== undefined) return await watchStatus(surroundings, options, secondsOf(options.watch));
    const { openMachine, write, colors, screen } = surroundings;
    using machine = await openMachine(options);
    const seen = await lookAtStatus(machine, options, surroundings);
    write(options.json ? toJson(seen.status) : printStatus(seen.status, { colors, width: screen?.columns }));
    await remember(machine, seen);
  },
};
