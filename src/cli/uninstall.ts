import { setTimeout } from 'node:timers/promises';
import { isEqual } from '../base/canonical.ts';
import { counted } from '../base/counted.ts';
import { EgressError } from '../base/errors.ts';
import { isThere } from '../files/file.ts';
import { watchFolder } from '../files/watch-folder.ts';
import { isGateway, leave, servedExits } from '../gateway/gateway.ts';
import { Drain, type Drained } from '../installer/drain.ts';
import { type Places, placesOf } from '../installer/installer.ts';
import { removeStatus, writeStatus } from '../installer/status.ts';
import { uninstall } from '../installer/uninstall.ts';
import { Bell, watch } from '../loop/watch.ts';
import type { Machine } from '../node/machine.ts';
import type { CliCommand, CliSurroundings, Service } from './command.ts';
import { requireAbsolute, ringLater } from './install.ts';
import { confNameOption, type PlaceFlags, placesIn, readyFileOption, withPlaces } from './installer-options.ts';

/** Options of the command. */
export interface UninstallFlags extends PlaceFlags {
  readonly confName?: string;
  readonly binary?: true;
  readonly drain?: true;
  readonly stay?: true;
  readonly readyFile: string;
}

/** `egress uninstall`: takes the chain entry out, and names the files that stay. */
export async function takeOut(flags: UninstallFlags, surroundings: CliSurroundings): Promise<void> {
  const places = placesIn(flags);
  requireAbsolute({ ...places });
  const { openMachine, remark, setExitCode } = surroundings;
  using service = surroundings.openService();
  using machine = await openMachine({ dataDir: placesOf(places).data() });
  const work = { flags, places, machine, service };
  using shown = shownStatus(flags, surroundings);
  if (flags.drain && !(await drained(work, shown, surroundings))) {
    remark('egress: told to end before the last pod had ended: egress stays in the chain, and steers no new pod\n');
    return setExitCode(1);
  }
  shown.show(true, await removed(work, surroundings));
  if (flags.stay) await stayed(service, surroundings);
}

/** Takes egress off the node, now that nothing is waited for. Returns what it told a person. */
async function removed(work: Work, surroundings: CliSurroundings): Promise<readonly string[]> {
  const { flags, places, machine } = work;
  const { hostTools, write, remark } = surroundings;
  using agents = agentsOf(work);
  await leaveGateway({ places, machine }, agents, write);
  const said = await uninstall(places, hostTools, { binary: flags.binary === true });
  for (const line of said) write(`${line}\n`);
  if (agents.isOurs) forgetAgent(machine, places);
  if (agents.runs && !isContainer(places)) remark(`egress: ${agentRuns}; end it, too\n`);
  return said;
}

const aDayMs = 86_400_000;

/** A container that ends is started again: so it stays, and there is something that can say that all is done. */
async function stayed({ signal }: Service, { write }: CliSurroundings): Promise<void> {
  write('egress is off this node: this stays until it is told to end, and there is nothing more to do\n');
  // Waiting for a signal keeps no process: Node would end it.
  while (!signal.aborted) await setTimeout(aDayMs, undefined, { signal }).catch(() => {});
}

/** What `egress ready` shows of a removal in this container. */
interface Shown extends Disposable {
  show(ready: boolean, removal: readonly string[]): void;
}

/** Only one that stays is asked: for others nothing is written. */
function shownStatus({ stay, readyFile }: UninstallFlags, { version }: CliSurroundings): Shown {
  if (!stay) return { show: () => {}, [Symbol.dispose]: () => {} };
  removeStatus(readyFile);
  return {
    show: (ready, removal) => writeStatus(readyFile, { ready, version, removal }),
    [Symbol.dispose]: () => removeStatus(readyFile),
  };
}

const agentRuns = 'an agent looks after this node';

/** What the command works with. */
interface Work {
  readonly flags: UninstallFlags;
  readonly places: Places;
  readonly machine: Machine;
  readonly service: Service;
}

/** Whether an agent runs on this node, as far as we may know; and while we have its lock, none begins. */
interface Agents extends Disposable {
  readonly runs: boolean;
  readonly isOurs: boolean;
}

function agentsOf({ places, machine, service }: Omit<Work, 'flags'>): Agents {
  const { lock } = machine.store.agent;
  const none = { runs: false, isOurs: false, [Symbol.dispose]: () => {} };
  if (!isThere(lock)) return none;
  const claim = claimed(lock, places, service);
  if (claim === 'refused') return none;
  return {
    ...{ runs: claim === undefined, isOurs: claim !== undefined },
    [Symbol.dispose]: () => claim?.[Symbol.dispose](),
  };
}

/** `refused` in a container that has the data folder to be read alone; `undefined` when an agent has the lock. */
function claimed(path: string, places: Places, service: Service): Disposable | undefined | 'refused' {
  try {
    return service.claim(path);
  } catch (error) {
    if (isContainer(places)) return 'refused';
    throw error;
  }
}

/** A container may have the data folder to be read alone. */
function forgetAgent({ store }: Machine, places: Places): void {
  try {
    store.agent.forget();
  } catch (error) {
    if (!isContainer(places)) throw error;
  }
}

/** A container may not change the network of its node. */
const isContainer = ({ hostRoot }: Places): boolean => hostRoot !== '/';

/**
 * Takes the gateway's side down, which would hold its addresses for ever. Throws `partly-done` where it may not, or would
 * not stay so, with egress still in the chain and the binary in its place.
 */
async function leaveGateway(
  { places, machine }: Pick<Work, 'places' | 'machine'>,
  agents: Agents,
  write: CliSurroundings['write'],
): Promise<void> {
  if (!isGateway(machine)) return;
  const names = inQuotes(servedExits(machine));
  const is = names === '' ? 'is a gateway' : `serves ${names} to others`;
  if (isContainer(places)) {
    const what = `This node ${is}: call "egress gateway --down" on it, or move the exit`;
    throw new EgressError('partly-done', `${what}; then egress leaves it`);
  }
  if (agents.runs) {
    const what = `This node ${is}, and ${agentRuns}, which would make it one again`;
    throw new EgressError('partly-done', `${what}: end the agent first, or say --drain`);
  }
  await leave(machine);
  const said = names === '' ? 'The node is no gateway any more' : `${names} is not served here any more`;
  write(`${said}; an "egress gateway --watch" that still runs would serve it again: end it\n`);
}

const inQuotes = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(', ');

/**
 * Keeps egress in the chain, steering no new pod, until the last steered pod has ended: containerd calls DEL of the
 * chain that is there then; and until the agent, which reads there that egress leaves, serves nothing to others any more.
 * False when it was stopped before that; then all stays as it is.
 */
async function drained(
  { flags, places, machine, service }: Work,
  shown: Shown,
  surroundings: CliSurroundings,
): Promise<boolean> {
  const drain = new Drain(places, { dataDir: flags.dataDir, fileName: flags.confName }, surroundings.hostTools);
  drain.requirePlaces();
  const [bell, done, show] = [new Bell(), new AbortController(), reporter(surroundings)];
  using watchers = new DisposableStack();
  for (const folder of drain.folders) watchers.use(watchFolder(folder, bell.ring));
  let timer: NodeJS.Timeout | undefined;
  const look = async () => {
    clearTimeout(timer);
    const found = await drain.look(servedByAgent({ machine, places }, surroundings.isClaimed));
    if (found === undefined) return done.abort();
    show(found);
    shown.show(false, waitsFor(found));
    timer = ringLater(bell, found.network.lookAgainMs);
  };
  const report = (error: unknown) => service.report(error, 'It is tried again until then.');
  await watch({ look, report, bell, signal: AbortSignal.any([service.signal, done.signal]) });
  clearTimeout(timer);
  return done.signal.aborted;
}

/** Exits that this node serves to others, when it is a gateway and the agent is who takes that down. */
function servedByAgent(
  { machine, places }: Pick<Work, 'machine' | 'places'>,
  isClaimed: IsClaimed,
): readonly string[] | undefined {
  const isOfAgent = isGateway(machine) && (isContainer(places) || isClaimed(machine.store.agent.lock));
  return isOfAgent ? servedExits(machine) : undefined;
}

type IsClaimed = CliSurroundings['isClaimed'];

const steered = (attachments: number): string =>
  attachments === 1
    ? '1 attachment of pods is steered until it ends'
    : `${counted(attachments, 'attachment')} of pods are steered until they end`;

const isStillGateway = (served: readonly string[]): string => {
  const what = served.length > 0 ? `${inQuotes(served)} is served to others` : 'the node is a gateway';
  return `${what} until the agent ends that, or "egress gateway --down" on the node`;
};

/** What a removal waits for, in sentences. */
function waitsFor({ attachments, served, network }: Drained): readonly string[] {
  return [
    ...(attachments > 0 ? [steered(attachments)] : []),
    ...(served !== undefined ? [isStillGateway(served)] : []),
    ...(network.ok ? [] : [`network: ${network.text}`]),
  ];
}

/** Tells the number of pods that are left whenever it changes, and why the chain cannot be changed. */
function reporter({ write, remark }: CliSurroundings): (found: Drained) => void {
  let reported: Drained | undefined;
  return (found) => {
    const { attachments, served, network } = found;
    if (attachments !== reported?.attachments && attachments > 0) write(`${steered(attachments)}\n`);
    if (served !== undefined && !isEqual(served, reported?.served)) write(`${isStillGateway(served)}\n`);
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
      .option('--binary', 'remove the binary, too, unless a pod that runs needs it')
      .option('--stay', 'do not end when all is done, for a container that would be started again; see "egress ready"')
      .addOption(readyFileOption()),
  run: (surroundings, flags: UninstallFlags) => takeOut(flags, surroundings),
};
