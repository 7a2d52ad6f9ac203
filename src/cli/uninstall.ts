import { counted } from '../base/counted.ts';
import { EgressError } from '../base/errors.ts';
import { watchFolder } from '../files/watch-folder.ts';
import { leave, servedExits } from '../gateway/gateway.ts';
import { Drain, type Drained } from '../installer/drain.ts';
import { type Places, placesOf } from '../installer/installer.ts';
import { uninstall } from '../installer/uninstall.ts';
import { Bell, watch } from '../loop/watch.ts';
import type { CliCommand, CliSurroundings } from './command.ts';
import { requireAbsolute, ringLater } from './install.ts';
import { confNameOption, type PlaceFlags, placesIn, withPlaces } from './installer-options.ts';

/** Options of the command. */
export interface UninstallFlags extends PlaceFlags {
  readonly confName?: string;
  readonly binary?: true;
  readonly drain?: true;
}

/** `egress uninstall`: takes the chain entry out, and names the files that stay. */
export async function takeOut(flags: UninstallFlags, surroundings: CliSurroundings): Promise<void> {
  const places = placesIn(flags);
  requireAbsolute({ ...places });
  const { hostTools, write, remark, setExitCode } = surroundings;
  if (flags.drain && !(await drained(places, flags, surroundings))) {
    remark('egress: told to end before the last pod had ended: egress stays in the chain, and steers no new pod\n');
    return setExitCode(1);
  }
  await leaveGateway(places, surroundings);
  for (const line of await uninstall(places, hostTools, { binary: flags.binary === true })) write(`${line}\n`);
}

/**
 * Takes the gateway's side down, which would hold its addresses for ever. Only on the node itself: a container has no right
 * to change its network. Throws `partly-done` there, with egress still in the chain and the binary in its place.
 */
async function leaveGateway(places: Places, { openMachine, write }: CliSurroundings): Promise<void> {
  using machine = await openMachine({ dataDir: placesOf(places).data() });
  const names = servedExits(machine)
    .map((name) => `"${name}"`)
    .join(', ');
  if (names === '') return;
  if (places.hostRoot !== '/') {
    const what = `This node serves ${names} to others: call "egress gateway --down" on it, or move the exit`;
    throw new EgressError('partly-done', `${what}; then egress leaves it`);
  }
  await leave(machine);
  write(
    `${names} is not served here any more; an "egress gateway --watch" that still runs would serve it again: end it\n`,
  );
}

/**
 * Keeps egress in the chain, steering no new pod, until the last steered pod has ended: containerd calls DEL of the
 * chain that is there then. False when it was stopped before that; then all stays as it is.
 */
async function drained(places: Places, flags: UninstallFlags, surroundings: CliSurroundings): Promise<boolean> {
  const drain = new Drain(places, { dataDir: flags.dataDir, fileName: flags.confName }, surroundings.hostTools);
  drain.requirePlaces();
  using service = surroundings.openService();
  const [bell, done, show] = [new Bell(), new AbortController(), reporter(surroundings)];
  using watchers = new DisposableStack();
  for (const folder of drain.folders) watchers.use(watchFolder(folder, bell.ring));
  let timer: NodeJS.Timeout | undefined;
  const look = async () => {
    clearTimeout(timer);
    const found = await drain.look();
    if (found === undefined) return done.abort();
    show(found);
    timer = ringLater(bell, found.network.lookAgainMs);
  };
  const report = (error: unknown) => service.report(error, 'It is tried again until then.');
  await watch({ look, report, bell, signal: AbortSignal.any([service.signal, done.signal]) });
  clearTimeout(timer);
  return done.signal.aborted;
}

const steered = (attachments: number): string =>
  attachments === 1
    ? '1 attachment of pods is steered until it ends'
    : `${counted(attachments, 'attachment')} of pods are steered until they end`;

/** Tells the number of pods that are left whenever it changes, and why the chain cannot be changed. */
function reporter({ write, remark }: CliSurroundings): (found: Drained) => void {
  let reported: Drained | undefined;
  return (found) => {
    const { attachments, network } = found;
    if (attachments !== reported?.attachments) write(`${steered(attachments)}\n`);
    if (!network.ok && network.text !== reported?.network.text) remark(`egress: network: ${network.text}\n`);
    reported = found;
  };
}

export const uninstallCommand: CliCommand = {
  name: 'uninstall',
  summary: 'take egress out of the chain of this node',
  options: (command) =>
    withPlaces(command)
      .addOption(confNameOption())
      .option('--drain', 'steer no new pod, and wait until the last that is steered has ended')
      .option('--binary', 'remove the binary, too, unless a pod that runs needs it'),
  run: (surroundings, flags: UninstallFlags) => takeOut(flags, surroundings),
};
