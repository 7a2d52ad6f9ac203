import type { HostObject } from '../datapath/objects.ts';
import type { ElectionStatus } from '../election/elections.ts';
import type { Machine } from '../node/machine.ts';
import type { Chains } from '../runtimes/conflists.ts';
import type { ExitGateways } from '../store/record.ts';
import type { AgentPlaces, AgentSurroundings, Seen } from './agent.ts';
import { Calls } from './calls.ts';
import { ElectionSamples } from './election-samples.ts';
import { Health } from './health.ts';
import type { ListenAddress } from './listen-address.ts';
import { type MetricName, metricTable } from './metric-table.ts';
import { Metrics } from './metrics.ts';
import { plain, servePages } from './page.ts';
import { type AddressUse, PortsInUse } from './ports-in-use.ts';
import { keyOfLabels, type Labels, podLabels, samplesOf, shownPods } from './samples.ts';
import { Totals } from './totals.ts';

/** What is shown, and where. */
export interface MonitorOptions {
  readonly listen: ListenAddress;
  /** Most pods that have series of their own. */
  readonly pods: number;
  readonly version: string;
}

/** Kinds of objects. Each begins with 0: Prometheus sees no increase in a series that is new. */
const kinds = Object.keys({
  ...{ table: 0, set: 0, chain: 0, element: 0, rule: 0, route: 0, sysctl: 0 },
  ...{ tunnel: 0, address: 0, behind: 0, neighbour: 0, forwarding: 0, ingressMark: 0 },
} satisfies Readonly<Record<HostObject['kind'], 0>>);

/** Metrics that are read from the kernel, each time all of them. */
const fromKernel = (Object.keys(metricTable) as MetricName[]).filter((name) =>
  /^(exit_(?!info)|dropped_|unmarked_|pod_).*_total$/.test(name),
);

/** Counts what the agent does, reads what the kernel counts, and shows both to who asks by HTTP. */
export class Monitor implements Disposable {
  readonly #options: MonitorOptions;
  readonly #places: AgentPlaces;
  readonly #surroundings: AgentSurroundings;
  readonly #metrics = new Metrics();
  readonly #elections = new ElectionSamples(this.#metrics);
  readonly #totals = new Totals();
  readonly #health: Health;
  readonly #ports: PortsInUse;
  readonly #calls = new Calls();
  readonly #server: Disposable;
  #shown: ReadonlySet<string> = new Set();
  #entries: Chains['present'] = [];
  #reading: Promise<void> | undefined;
  #hasRead = false;
  /** When each exit got another gateway, of those that are counted. */
  readonly #movedAt = new Map<string, string>();

  constructor(options: MonitorOptions, places: AgentPlaces, surroundings: AgentSurroundings) {
    this.#options = options;
    this.#places = places;
    this.#surroundings = surroundings;
    this.#health = new Health(surroundings.now);
    this.#ports = new PortsInUse(surroundings.now);
    for (const kind of kinds)
      for (const name of ['restored_objects_total', 'applied_objects_total'] as const)
        this.#metrics.add(name, { kind }, 0);
    for (const result of ['succeeded', 'failed']) this.#metrics.add('rounds_total', { result }, 0);
    this.#metrics.replace('start_timestamp_seconds', [{ labels: {}, value: Date.now() / 1000 }]);
    this.#metrics.replace('build_info', [{ labels: { version: options.version }, value: 1 }]);
    this.#server = this.#serve();
  }

  /** From now on this process is the agent of the node. */
  began(): void {
    this.#health.began();
  }

  /** Another process is the agent of the node. */
  waits(): void {
    this.#health.waits();
  }

  /** A round has come to its end. One of which a part could not be done has failed. */
  async ended(seen: Seen): Promise<void> {
    const { round, seconds, isReadable, missingRights, isApplied, chains } = seen;
    this.#entries = chains.present;
    if (round.isWhole) this.#health.succeeded(isReadable, missingRights);
    else this.#health.failed();
    const metrics = this.#metrics;
    metrics.add('rounds_total', { result: round.isWhole ? 'succeeded' : 'failed' });
    metrics.observe('round_duration_seconds', {}, seconds);
    for (const { object } of round.changes)
      metrics.add(isApplied ? 'applied_objects_total' : 'restored_objects_total', { kind: object.kind });
    metrics.add('adopted_pods_total', {}, round.adopted.length);
    metrics.add('collected_attachments_total', {}, round.collected.length);
    metrics.replace('failures', [{ labels: {}, value: round.failures.length }]);
    metrics.replace('configuration_readable', [{ labels: {}, value: isReadable ? 1 : 0 }]);
    metrics.replace('last_round_timestamp_seconds', [{ labels: {}, value: Date.now() / 1000 }]);
    await this.#tried(async () => this.#readCalls());
    // What was made anew counts from nothing: that is read before it has counted again as much as before.
    if (round.changes.length === 0 && this.#hasRead) return;
    await this.#reading;
    await this.#read();
  }

  /** What is known of gateways has changed. */
  asked(gateways: readonly ExitGateways[]): void {
    this.#metrics.replace(
      'gateway_answers',
      gateways.map(({ exit, gateway, answers }) => ({ labels: { exit, gateway }, value: answers ? 1 : 0 })),
    );
    for (const { exit, moved } of gateways) {
      const isNew = moved !== undefined && moved.at !== this.#movedAt.get(exit);
      if (moved !== undefined) this.#movedAt.set(exit, moved.at);
      this.#metrics.add('gateway_changes_total', { exit }, isNew ? 1 : 0);
    }
  }

  /** Elections have told what they are. */
  elected(status: ElectionStatus): void {
    this.#elections.take(status);
  }

  /** A round has failed as a whole. */
  failed(): void {
    this.#health.failed();
    this.#metrics.add('rounds_total', { result: 'failed' });
  }

  #serve(): Disposable {
    const { log, report } = this.#surroundings;
    const said = (problem: string | undefined) => plain(problem === undefined ? 200 : 503, problem ?? 'ok');
    const pages = {
      '/metrics': (accept: string) => this.#page(accept),
      '/healthz': () => said(this.#health.whyNotAlive()),
      '/readyz': () => said(this.#health.whyNotReady()),
    };
    return servePages(this.#options.listen, pages, {
      listening: (address) => log.info({ url: `http://${address}/metrics` }, 'metrics can be read'),
      report: (error) => report(error, 'The agent goes on without, and tries again.'),
    });
  }

  async #page(accept: string) {
    await this.#read();
    await this.#tried(async () => this.#readCalls());
    await this.#readRest();
    return { status: 200, ...(await this.#metrics.page(accept)) };
  }

  /** One reading at a time. It fails nobody: what is known already is shown. */
  async #read(): Promise<void> {
    this.#reading ??= this.#tried(async () => {
      using machine = await this.#openMachine();
      await this.#readCounters(machine);
    }).finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  #openMachine(): Promise<Machine & Disposable> {
    return this.#surroundings.openMachine({ dataDir: this.#places.dataDir });
  }

  async #tried(read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch {
      this.#metrics.add('metrics_errors_total');
    }
  }

  /** What only they need who ask. */
  #readRest(): Promise<void> {
    return this.#tried(async () => {
      using machine = await this.#openMachine();
      this.#showUse(await this.#ports.read(machine.host, machine.store.loadNode()?.exits ?? []));
    });
  }

  async #readCounters({ host, store }: Machine): Promise<void> {
    const counters = (await host.hasTable()) ? await host.readCounters() : undefined;
    const exits = store.loadNode()?.exits ?? [];
    const records = store.list();
    const samples = counters === undefined ? [] : samplesOf(counters, exits, records);
    this.#totals.take(samples);
    const pods = new Set(records.map((record) => keyOfLabels(podLabels(record))));
    this.#shown = shownPods(samples, this.#options.pods, pods, this.#shown);
    this.#showTotals(pods);
    const info = exits.map(({ name, id, device, gateway = '' }) => ({
      exit: name,
      id: `${id}`,
      interface: device,
      gateway,
    }));
    this.#metrics.replace('exit_info', info.map(once));
    this.#metrics.replace('attachments', [{ labels: {}, value: records.length }]);
    this.#metrics.replace('policy_pods', records.flatMap(policiesOf).map(once));
    this.#hasRead = true;
  }

  #showTotals(pods: ReadonlySet<string>): void {
    this.#totals.forget(({ labels }) => 'pod_name' in labels && !pods.has(keyOfLabels(labels)));
    const all = this.#totals.all.filter(
      ({ labels }) => !('pod_name' in labels) || this.#shown.has(keyOfLabels(labels)),
    );
    for (const name of fromKernel)
      this.#metrics.replace(
        name,
        all.filter(({ metric }) => metric === name),
      );
    const omitted = [...pods].filter((key) => !this.#shown.has(key)).length;
    this.#metrics.replace('pods_omitted', [{ labels: {}, value: omitted }]);
  }

  #showUse(uses: readonly AddressUse[]): void {
    const connections = uses.map(({ exit, address, connections }) => ({
      labels: { exit, address },
      value: connections,
    }));
    this.#metrics.replace('address_connections', connections);
    const ports = uses.flatMap(({ exit, address, ports }) =>
      Object.entries(ports).map(([protocol, value]) => ({ labels: { exit, address, protocol }, value })),
    );
    this.#metrics.replace('address_ports_in_use', ports);
  }

  #readCalls(): void {
    const { calls, logs } = this.#calls.read(this.#entries);
    this.#metrics.replace('call_logs', [{ labels: {}, value: logs }]);
    for (const { command, seconds, code } of calls) {
      this.#metrics.observe('call_duration_seconds', { command }, seconds);
      if (code !== undefined) this.#metrics.add('call_errors_total', { command, code });
    }
  }

  [Symbol.dispose](): void {
    this.#server[Symbol.dispose]();
  }
}

const once = (labels: Labels) => ({ labels, value: 1 });

/** Each policy once, whatever number of matches it has. */
const policiesOf = ({ outline }: { readonly outline: readonly { readonly policy: string }[] }): Labels[] =>
  [...new Set(outline.map(({ policy }) => policy))].map((policy) => ({ policy }));
