import { dirname } from 'node:path';
import type { Command } from 'commander';
import { Agent, type AgentPlaces, type AgentSurroundings } from '../agent/agent.ts';
import { Cluster } from '../agent/cluster.ts';
import { ClusterLabels } from '../agent/cluster-labels.ts';
import { Elector } from '../agent/elector.ts';
import { Events } from '../agent/events.ts';
import { FastPathKeeper } from '../agent/fast-path.ts';
import { answerForLabels, type LabelSource } from '../agent/label-answers.ts';
import { forgetOnceGone } from '../agent/leaving.ts';
import { readListenAddress } from '../agent/listen-address.ts';
import type { Monitor, MonitorOptions } from '../agent/monitor.ts';
import { OthersNotices, RoundNotices, tellingUnknown } from '../agent/notices.ts';
import { planRound, type RoundPlan } from '../agent/plan.ts';
import { Prober } from '../agent/prober.ts';
import { Right } from '../agent/right.ts';
import { mendedIn, type Round } from '../agent/round.ts';
import { type ClusterAccess, StatusWords } from '../agent/status-words.ts';
import { EgressError } from '../base/errors.ts';
import type { Changed } from '../datapath/host.ts';
import { printChanges } from '../datapath/print.ts';
import { watchFolder } from '../files/watch-folder.ts';
import { apiOfKubeconfig } from '../kubernetes/kubeconfig.ts';
import { Pace } from '../loop/pace.ts';
import { Bell, watch } from '../loop/watch.ts';
import { type Log, silent } from '../node/machine.ts';
import { readChains } from '../runtimes/conflists.ts';
import { labelSocketOf } from '../sources/labels.ts';
import type { ExitGateways } from '../store/record.ts';
import type { Store } from '../store/store.ts';
import { adoptionLines } from './adopt.ts';
import type { CliCommand, CliSurroundings, Service } from './command.ts';
import { FollowedPath } from './followed-path.ts';
import {
  type ConfOptions,
  type PolicyOptions,
  requireAddress,
  withConfDir,
  withDataDir,
  withResultsDir,
} from './options.ts';

type Options = ConfOptions &
  PolicyOptions & {
    readonly dataDir: string;
    readonly resultsDir: string;
    readonly node?: string;
    readonly metrics: string;
    readonly metricsPods: string;
    readonly kubeconfig?: string;
    readonly nodeName?: string;
    readonly once?: true;
    readonly dryRun?: true;
  };

/** Where metrics are shown by default: a port of nobody's, with the number that our tunnel's VNI has. */
const metricsAddress = '127.0.0.1:14597';
/** Pods with series of their own by default: as many as a kubelet runs by default. */
const metricsPods = '110';

/** Where things are, by what the command line says. Throws `invalid-argument`. */
function placesOf({ confDir, policy, dataDir, resultsDir, node }: Options): AgentPlaces {
  return {
    ...{ confDir, dataDir, resultsDir },
    ...(policy !== undefined && { policy }),
    ...(node !== undefined && { node: requireAddress('--node', node) }),
  };
}

/** What is shown of the agent; `undefined` when nothing shall be. Throws `invalid-argument`. */
function monitorOptions({ metrics, metricsPods }: Options, version: string): MonitorOptions | undefined {
  if (!/^\d{1,6}$/.test(metricsPods))
    throw new EgressError('invalid-argument', `--metrics-pods: expected a number of pods, got "${metricsPods}"`);
  if (metrics === 'off') return undefined;
  return { listen: readListenAddress('--metrics', metrics), pods: Number(metricsPods), version };
}

async function surroundingsOf(
  { openMachine, readFile, findMissingRights, worked }: CliSurroundings,
  service: Service,
): Promise<AgentSurroundings> {
  const log = await service.openLog();
  const report = (error: unknown, consequence: string) => service.report(error, consequence);
  const opened = sharingStores(openMachine);
  return { readFile, openMachine: opened, findMissingRights, worked, log, report, now: () => performance.now() };
}

/** One store for each data folder: it remembers the records from one round to the next, and sockets are opened anew. */
function sharingStores(openMachine: CliSurroundings['openMachine']): AgentSurroundings['openMachine'] {
  const stores = new Map<string, Store>();
  return async (options) => {
    const machine = await openMachine(options);
    const { host, log } = machine;
    const store = stores.get(options.dataDir) ?? machine.store;
    stores.set(options.dataDir, store);
    return { host, log, store, [Symbol.dispose]: () => machine[Symbol.dispose]() };
  };
}

/** `egress agent`: rounds until the service ends, one at a time on this node. The node stays as it is then. */
async function run(surroundings: CliSurroundings, { places, shown, access }: Wished): Promise<void> {
  using service = surroundings.openService();
  const { report, ...own } = await surroundingsOf(surroundings, service);
  using machine = await surroundings.openMachine(places);
  using monitor = shown && (await openMonitor(shown, places, { ...own, report }));
  const { signal } = service;
  using right = new Right(machine.store.agent.lock, {
    ...{ claim: service.claim, report, pause: claimPause },
    waits: () => monitor?.waits(),
    began: () => monitor?.began(),
  });
  if (!(await right.have(signal))) return;
  const bell = new Bell();
  const pace = new Pace({ isOtherAtWork: () => machine.store.isHeldByOthers, now: own.now });
  service.restBetweenTurns(() => pace.pause());
  using policyFile = new FollowedPath((path) => [
    service.watchFile(path, bell.ringAtOnce), // also links of its folder that are made anew
    watchFolder(dirname(path), bell.ringAtOnce), // at once
  ]);
  const changed = (gateways: readonly ExitGateways[]) => {
    monitor?.asked(gateways);
    bell.ring();
  };
  using prober = new Prober({ ...own, report, dataDir: places.dataDir, changed });
  const elector = new Elector({
    ...{ log: own.log, start: service.startElection },
    changed: () => {
      agent.lead().catch((error) => report(error, 'The next round sees to it.'));
      bell.ringAtOnce();
    },
    told: (status) => monitor?.elected(status),
  });
  const fastPath = new FastPathKeeper({ log: own.log, start: service.startFastPath, changed: bell.ring });
  const events = new Events({ ...access, report, now: own.now });
  const words = new StatusWords({ ...access, report, tell: (notices) => events.tell(notices) });
  const notices = { round: new RoundNotices(), others: new OthersNotices() };
  using cluster = new Cluster({
    ...{ api: access.api, readFile: own.readFile, log: own.log, report },
    changed: bell.ringAtOnce,
    seen: () => words.seen(cluster.known),
  });
  using labels = new ClusterLabels({ ...access, report, changed: bell.ringAtOnce });
  const agent = new Agent(places, {
    ...{ ...own, report, elector, fastPath, cluster, labels, pace },
    observe: async (seen) => {
      labels.follow(seen.configuration);
      await prober.follow(seen.configuration);
      words.ended(cluster.known, seen, machine.store, prober.states);
      if (cluster.known !== undefined && access.node !== undefined)
        events.tell([...notices.round.of(seen.round, access.node), ...notices.others.of(cluster.known, access.node)]);
      await monitor?.ended(seen);
    },
    follow: (path) => policyFile.follow(path),
    gateways: () => prober.states,
  });
  const told = tellingUnknown(labels, (some) => events.tell(some));
  using _answers = await answering(service, places.dataDir, told);
  using _kernel = machine.host.watch(noticing(agent, { bell, pace, log: own.log }));
  using _drain = service.watchFile(machine.store.drainMark, bell.ringAtOnce);
  using _conf = watchFolder(places.confDir, bell.ring);
  own.log.info({ dataDir: places.dataDir }, 'the agent looks after this node');
  let hasRested = false;
  await watch({
    look: async (isRung) => {
      const round = (await right.have(signal)) ? await watched(agent, monitor, isRung) : undefined;
      const isAtRest = round?.glance === 'enough';
      if (isAtRest) service.rest({ collects: !hasRested }); // once behind a look at all: what glances leave is not worth it
      hasRested = isAtRest;
    },
    report: (error) => report(error, 'It is tried again until then.'),
    ...{ bell, signal, rest: agentRest },
  });
  await fastPath.end();
  if (await elector.end('the agent ends')) {
    pace.hurry();
    await agent.look().catch((error) => report(error, leavesBehind));
    await prober.introduced();
  }
  if (right.isHeld) forgetOnceGone(machine, readChains(places.confDir, surroundings.readFile));
  own.log.info({}, 'the agent ends, and leaves the node as it is');
}

/** Answers ADDs that ask for labels. Without the socket such ADDs fail; all else goes on. */
async function answering(service: Service, dataDir: string, source: LabelSource): Promise<Disposable | undefined> {
  try {
    return await service.answerQuestions(labelSocketOf(dataDir), (line) => answerForLabels(line, source));
  } catch (error) {
    service.report(error, 'Pods that policies choose by labels cannot start.');
    return undefined;
  }
}

const leavesBehind = 'Pods of this node may use an exit that another gateway has by now, until an agent runs again.';

/** What becomes of notifications. Of those that were lost nobody knows what they told: the worst is looked for. */
const noticing =
  (agent: Agent, { bell, pace, log }: { readonly bell: Bell; readonly pace: Pace; readonly log: Log }): Changed =>
  ({ isUrgent, isLoss, isOfPods }) => {
    agent.notice();
    if (isOfPods) pace.met(); // of a pod without a policy nobody is seen at the lock
    if (isLoss) log.warn({}, 'the kernel had no room for its notifications: all of the node is looked at');
    if (isUrgent || isLoss) pace.hurry();
    if (isUrgent || isLoss) bell.ringAtOnce();
    else bell.ring();
  };

/** What the command line says of a long run. */
interface Wished {
  readonly places: AgentPlaces;
  readonly shown: MonitorOptions | undefined;
  readonly access: ClusterAccess;
}

/** The API of the cluster, and this node's name there. Throws `invalid-argument` for a kubeconfig file that cannot be used. */
async function accessOf(
  { kubeconfig, nodeName }: Options,
  { cluster, readFile }: CliSurroundings,
): Promise<ClusterAccess> {
  const api = kubeconfig === undefined ? cluster?.api : await apiOfKubeconfig(kubeconfig, readFile);
  return { api, node: nodeName ?? cluster?.node };
}

/** Loaded only when metrics are wanted: no other command waits for their client. */
async function openMonitor(...parts: ConstructorParameters<typeof Monitor>): Promise<Monitor> {
  const { Monitor } = await import('../agent/monitor.ts');
  return new Monitor(...parts);
}

async function watched(agent: Agent, monitor: Monitor | undefined, isRung: boolean): Promise<Round> {
  try {
    return await agent.look(isRung);
  } catch (error) {
    monitor?.failed();
    throw error;
  }
}

/** Milliseconds from one round to the next while others change things that do not hurt: ADDs and DELs do that all the time. */
const agentRest = 1_000;

/** Milliseconds between two attempts to be the agent of the node. */
const claimPause = 500;

/** `egress agent --once`: one round, and what it did. It is no agent of the node: nobody waits for it, and nothing is written down. */
async function once(surroundings: CliSurroundings, places: AgentPlaces): Promise<void> {
  using service = surroundings.openService();
  const { log: _, ...own } = await surroundingsOf(surroundings, service);
  const { round, isReadable } = await new Agent(places, { ...own, log: silent }).lookOnce();
  surroundings.write(printRound(round, isReadable ? allIsWell : 'All is as it is on record.\n'));
  if (round.failures.length > 0 || !isReadable) surroundings.setExitCode(1);
}

/** What a round did, one line for each thing; `nothing` when there was nothing to do. */
function printRound(round: Round, nothing: string): string {
  const { adopted, collected, failures } = round;
  const lines = [
    ...mendedIn(round).map((what) => `Mended: ${what}`),
    ...adoptionLines(adopted, false),
    ...collected.map((mark) => `${mark} taken down`),
    ...failures.map((failure) => `Could not be done: ${failure}`),
  ];
  return lines.length === 0 ? nothing : `${lines.join('\n')}\n`;
}

const allIsWell = 'All is as it should be.\n';

/** What a round would do: commands, and as their comments what no command of others does. */
function printPlan({ changes, collected, adoptions, remarks }: RoundPlan): string {
  const lines = [
    ...adoptionLines(adoptions, true),
    ...collected.map((mark) => `${mark} would be taken down`),
    ...remarks,
  ].map((line) => `# ${line}\n`);
  const text = [printChanges(changes), ...lines].join('');
  return text === '' ? allIsWell : text;
}

const withAgentOptions = (command: Command): Command =>
  withResultsDir(withConfDir(withDataDir(command)))
    .option('--policy <file>', 'the policy file, in the place of that which the chain entry names')
    .option('--node <address>', 'this node’s underlay address, if it cannot be known from the policy file')
    .option('--metrics <address:port>', 'where metrics are shown by HTTP, or "off"', metricsAddress)
    .option('--metrics-pods <number>', 'most pods with series of their own', metricsPods)
    .option('--kubeconfig <file>', 'how to reach the cluster’s API, where no service account does')
    .option('--node-name <name>', 'this node’s name in Kubernetes, without NODE_NAME in the environment')
    .option(
      '--once',
      'make one round, and print what it did; exit code 1 when something could not be done, or the configuration cannot be read',
    )
    .option('--dry-run', 'print the commands that one round stands for, and change nothing');

export const agentCommand: CliCommand = {
  name: 'agent',
  summary: 'keep this node right until told to stop: mend, apply changed policies, adopt, collect, serve',
  options: withAgentOptions,
  run: async (surroundings, options: Options) => {
    const places = placesOf(options);
    const shown = monitorOptions(options, surroundings.version);
    if (options.dryRun) return surroundings.write(printPlan(await planRound(places, surroundings)));
    if (options.once) return await once(surroundings, places);
    await run(surroundings, { places, shown, access: await accessOf(options, surroundings) });
  },
};
