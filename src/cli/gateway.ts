import { setTimeout } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { families } from '../base/address.ts';
import { counted } from '../base/counted.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import { defaults } from '../config/defaults.ts';
import { type ReadFile, readPolicy } from '../config/read.ts';
import { isReset } from '../datapath/counting.ts';
import { describe } from '../datapath/describe.ts';
import type { Change } from '../datapath/difference.ts';
import { setNames } from '../datapath/layout.ts';
import { bringDown, bringUp, planGateway } from '../gateway/gateway.ts';
import { type Move, moveExit, planMove } from '../gateway/move.ts';
import type { Outcome } from '../gateway/reconcile.ts';
import { Bell, lastGood, watch } from '../loop/watch.ts';
import type { Element } from '../nftables/object.ts';
import type { Machine } from '../node/machine.ts';
import type { CliCommand, CliSurroundings } from './command.ts';
import { requireAddress, withDataDir, withDryRun } from './options.ts';

/** Options of the commands of gateways. */
export interface GatewayOptions {
  readonly policy: string;
  readonly node?: string;
  readonly down?: true;
  readonly watch?: true;
  readonly dryRun?: true;
  readonly drain?: true;
  readonly undrain?: true;
}

/** The configuration that the options name. Throws as for a chain entry. */
export const configurationIn = ({ policy, node }: GatewayOptions, readFile: ReadFile): Configuration =>
  readPolicy(policy, readFile, node === undefined ? undefined : requireAddress('--node', node));

/** Takes text for the person. */
type Write = CliSurroundings['write'];

/** `egress gateway`: sets the gateway's side up, or takes it down. Throws when an exit could not be as it should. */
export async function gateway(
  machine: Machine,
  configuration: Configuration,
  options: GatewayOptions,
  write: Write,
): Promise<void> {
  if (options.dryRun) return write(await planGateway(machine, configuration, !options.down));
  tell(await (options.down ? bringDown : bringUp)(machine, configuration), summary, write);
}

/** The changes, and then the failures. */
function tell(outcome: Outcome, words: (outcome: Outcome) => string, write: Write): void {
  write(words(outcome));
  const [first] = outcome.failures;
  if (first === undefined) return;
  throw new EgressError(first.code, outcome.failures.map(({ message }) => message).join('; '));
}

/**
 * `egress gateway --watch`: sets the gateway's side up by the current policy file, and keeps it so until the service
 * ends. It leaves the gateway set up. Throws mistakes of the policy file at the start.
 */
async function watchGateway(
  { openMachine, openService, readFile, write }: CliSurroundings,
  options: GatewayOptions & { readonly dataDir: string },
): Promise<void> {
  using service = openService();
  using machine = await openMachine(options);
  const bell = new Bell();
  using _kernel = machine.host.watch(bell.ring);
  using _file = service.watchFile(options.policy, bell.ring);
  const configuration = lastGood(
    () => configurationIn(options, readFile),
    (error) => service.report(error, 'The last good configuration stays in force.'),
  );
  let said = summary;
  const look = async () => {
    // A socket that had an error is of no use any more: each look has its own.
    using own = await openMachine(options);
    const outcome = await bringUp(own, configuration());
    const words = said;
    said = whatChangedNow;
    tell(outcome, words, write);
  };
  const report = (error: unknown) => service.report(error, 'It is tried again until then.');
  await watch({ look, report, bell, signal: service.signal });
}

/** `egress exit move`: makes this node use another gateway for an exit. Throws when an exit could not be as it should. */
export async function move(
  machine: Machine,
  configuration: Configuration,
  { exit, to }: { readonly exit: string; readonly to: string },
  { dryRun }: GatewayOptions,
  write: Write,
): Promise<void> {
  const wanted: Move = { exit, to: requireAddress('--to', to) };
  if (dryRun) return write(await planMove(machine, configuration, wanted));
  tell(await moveExit(machine, configuration, wanted), summary, write);
}

/** The most reasons in one line. */
const reasonsShown = 5;

/** The pods of this node that got lost objects back, in one line; empty without any. */
function podsMended(changes: readonly Change[]): string {
  const marks = changes.flatMap(({ verb, object }) =>
    verb !== 'remove' && object.kind === 'element' && isOfPods(object) ? [object.comment] : [],
  );
  const { size } = new Set(marks);
  return size === 0 ? '' : `${counted(size, 'attachment')} of this node ${size === 1 ? 'was' : 'were'} set up again.\n`;
}

const podSetNames = new Set(
  families.flatMap((family) => [setNames.pods(family), setNames.programs(family), setNames.steered(family)]),
);

const isOfPods = ({ set }: Element): boolean => podSetNames.has(set);

/** The changes of a look in one line; empty without any. */
function whatChanged({ changes: all }: Outcome): string {
  const changes = all.filter((change) => !isReset(change));
  if (changes.length === 0) return '';
  const reasons = changes.flatMap(describe);
  const more = reasons.length > reasonsShown ? [`${reasons.length - reasonsShown} more`] : [];
  const what = [...reasons.slice(0, reasonsShown), ...more].join(', ');
  return `${podsMended(changes)}${counted(changes.length, 'thing')} changed: ${what}.\n`;
}

/** The same with the time in front of each line: nobody else says when it was, in a terminal or a file. */
const whatChangedNow = (outcome: Outcome): string =>
  whatChanged(outcome).replaceAll(/^(?=.)/gm, `${new Date().toISOString()} `);

/** The state of this node, one line for each exit. */
function summary({ node, changes }: Outcome): string {
  const served = new Set(node?.gateway?.served);
  const lines = (node?.exits ?? []).map(({ id, name, device, gateway, ways }) => {
    const addresses = ways.flatMap(({ addresses }) => addresses).join(' and ');
    if (gateway !== undefined) return `Exit "${name}" leaves from ${gateway}, with ${addresses}.`;
    return `Exit "${name}" ${served.has(id) ? 'is served here and ' : ''}leaves by ${device}, with ${addresses}.`;
  });
  const nothing = lines.length === 0 ? ['No exit is served or used on this node.'] : [];
  const things = counted(changes.filter((change) => !isReset(change)).length, 'thing');
  return [...lines, ...nothing, `${podsMended(changes)}${things} changed.`, ''].join('\n');
}

/** Without an agent nobody elects any more: exits are where the configuration has them, or a move. */
function forgetElections({ store }: Machine, isClaimed: CliSurroundings['isClaimed']): void {
  if (!isClaimed(store.agent.lock)) store.agent.saveElections({});
}

/** Looks whether all exits are handed over: so often, and so many milliseconds between two. */
const drainLooks = { most: 100, pause: 100 };

/**
 * `egress gateway --drain`: the agent hands over what it has, and takes nothing until `--undrain`. Throws `try-again` when no
 * other gateway takes an exit: then it stays here.
 */
async function drain(
  { store }: Machine,
  { drain = false }: { readonly drain?: boolean },
  { isClaimed, openWork, write }: Pick<CliSurroundings, 'isClaimed' | 'openWork' | 'write'>,
): Promise<void> {
  if (drain && !isClaimed(store.agent.lock))
    throw new EgressError(
      'invalid-argument',
      'No agent runs on this node: without one no gateway hands over by itself',
    );
  store.setDrained(drain);
  if (!drain) return write('This node takes part in elections again.\n');
  const kept = () =>
    Object.entries(store.agent.loadElections()).flatMap(([exit, { holds, by }]) =>
      holds && by === 'vrrp' ? [exit] : [],
    );
  using work = openWork(true);
  for (let looks = 0; looks < drainLooks.most && kept().length > 0 && !work.isEnding; looks++) {
    work.tell(`Waiting until other gateways have ${kept().join(', ')}`);
    await setTimeout(drainLooks.pause);
  }
  const names = kept().map((exit) => `"${exit}"`);
  if (names.length > 0 && work.isEnding) {
    const left = `No other gateway has taken ${names.join(', ')} yet; the agent goes on handing over`;
    throw new EgressError('try-again', `${left}: "egress gateway --undrain" ends that`);
  }
  if (names.length > 0) throw new EgressError('try-again', `No other gateway has taken ${names.join(', ')}`);
  write('Other gateways have the exits that this node is a gateway of. "egress gateway --undrain" ends that.\n');
}

/** Throws `invalid-argument` for an exit whose gateways elect: whoever has its addresses is followed, and nobody else. */
function requireNoElection({ store }: Machine, exit: string): void {
  if (store.agent.loadElections()[exit] === undefined) return;
  throw new EgressError(
    'invalid-argument',
    `The agents of the gateways of exit "${exit}" elect which of them has its addresses: to move it, run "egress gateway --drain" on the one that has them`,
  );
}

const onGateway = (command: Command): Command =>
  withDryRun(
    withDataDir(
      command
        .option('--policy <file>', 'the policy file', defaults.policyFile)
        .option('--node <address>', 'this node’s underlay address, if it cannot be known from the policy file'),
    ),
  );

type OnGateway = GatewayOptions & { readonly dataDir: string };

export const gatewayCommand: CliCommand = {
  name: 'gateway',
  summary: 'serve the exits that this node is the gateway of, and show them',
  options: (command) =>
    onGateway(command)
      .option('--down', 'stop to serve them')
      .addOption(
        new Option('--drain', 'have the other gateways serve them, until --undrain; with an agent').conflicts([
          'down',
          'dryRun',
        ]),
      )
      .option('--undrain', 'let this node be elected again')
      .addOption(
        new Option('--watch', 'keep it so until told to stop, with every change of the policy file').conflicts([
          'down',
          'dryRun',
        ]),
      ),
  run: async (surroundings, options: OnGateway) => {
    if (options.watch) return await watchGateway(surroundings, options);
    const { openMachine, openWork, readFile, write, isClaimed } = surroundings;
    using machine = await openMachine(options);
    if (options.drain || options.undrain) return await drain(machine, options, surroundings);
    using work = openWork(!options.dryRun);
    work.tell('Looking at the exits of this node');
    if (!options.dryRun) forgetElections(machine, isClaimed);
    await gateway(machine, configurationIn(options, readFile), options, write);
  },
};

export const exitMoveCommand: CliCommand = {
  name: 'exit move',
  summary: 'make this node use another gateway for an exit; on the new gateway first',
  options: (command) =>
    onGateway(command)
      .argument('<name>', 'the exit')
      .requiredOption('--to <address>', 'the gateway, one of the exit’s gateways'),
  run: async (surroundings, name: string, options: OnGateway & { readonly to: string }) => {
    const { openMachine, openWork, readFile, write, isClaimed } = surroundings;
    using machine = await openMachine(options);
    using work = openWork(!options.dryRun);
    work.tell(`Moving exit ${name}`);
    if (!options.dryRun) forgetElections(machine, isClaimed);
    requireNoElection(machine, name);
    await move(machine, configurationIn(options, readFile), { exit: name, to: options.to }, options, write);
  },
};
